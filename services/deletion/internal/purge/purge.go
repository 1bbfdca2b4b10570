// Package purge decides whether an erasure may be called complete, and what its certificate says. It is pure: no clock,
// no randomness, no I/O; everything it looks at was written down by others.
package purge

import (
	"fmt"
	"slices"
	"time"
)

// Purge is what is known about the end of one life of a tenant.
type Purge struct {
	Tenant      string
	Generation  int64
	OperationID string
	Policy      Policy

	RequestedAt  time.Time
	ScheduledFor time.Time
	StartedAt    time.Time

	// Participants erase what they hold themselves.
	Participants []string
	Stores       []Store
}

// Store is what was written down and read of one store in an operation.
type Store struct {
	Name string
	// Kind, Targets and Class are the store's Traits.
	Kind    string
	Targets []string
	Class   string
	// Stays is why it is left as it is; "" when it is erased. Data that a law keeps has a Basis, and an Until when its tenant is
	// purged.
	Stays string
	Basis string
	Until *time.Time
	// Before is what the first look found, at CountedAt, before anything of the operation was erased. Of a participant's
	// store it is what that told, if anything, and CountedAt is zero.
	Before    *int64
	CountedAt time.Time
	// After is what the last look found, at ReadAt; nil when nobody has looked since the erasing began.
	After  *int64
	ReadAt time.Time
	// Kept is what a participant says that it keeps all the same.
	Kept []Exception
}

func (s Store) empty() bool { return s.After != nil && *s.After == 0 }

// Rows is what the first look found, 0 when nobody told.
func (s Store) Rows() int64 {
	if s.Before == nil {
		return 0
	}
	return *s.Before
}

// VaultStore names the one place of personal data, which is emptied last: see shared/vault. As no store of a data map has
// "tenure/" in front of its name, none is taken for it.
const VaultStore = "tenure/vault"

// ParticipantStore names what a participant holds.
func ParticipantStore(participant string) string { return "participant/" + participant }

// Unfinished tells what keeps the purge from being called complete: of the stores named in listed, of the
// participants', and of any other that was ever counted, each one that does not stay and was not found empty at its last
// look. The vault counts when it is listed: its turn comes when everything else is done.
func (p Purge) Unfinished(listed []string) []string {
	wanted := slices.Clone(listed)
	for _, name := range p.Participants {
		wanted = append(wanted, ParticipantStore(name))
	}
	for _, s := range p.Stores {
		if s.Name != VaultStore && !slices.Contains(wanted, s.Name) {
			wanted = append(wanted, s.Name) // it was taken off the data map while it was erased
		}
	}
	return unfinished(wanted, p.Stores)
}

func names(stores []Store) []string {
	out := make([]string, len(stores))
	for i, s := range stores {
		out[i] = s.Name
	}
	return out
}

func unfinished(wanted []string, stores []Store) []string {
	var out []string
	for _, name := range wanted {
		i := slices.IndexFunc(stores, func(s Store) bool { return s.Name == name })
		switch {
		case i >= 0 && stores[i].Stays != "":
		case i < 0 || stores[i].After == nil:
			out = append(out, name+" was not read again")
		case !stores[i].empty():
			out = append(out, fmt.Sprintf("%s holds %d rows", name, *stores[i].After))
		}
	}
	return out
}

// finishedAt is when the last of the erased stores was found empty.
func finishedAt(stores []Store) time.Time {
	var last time.Time
	for _, s := range stores {
		if s.Stays == "" && s.ReadAt.After(last) {
			last = s.ReadAt
		}
	}
	return last.UTC()
}
