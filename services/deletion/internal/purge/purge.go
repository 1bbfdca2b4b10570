// Package purge decides whether a purge may be called complete, and what its certificate says. It is pure: no clock,
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

	RetentionDays int
	Region        string
	GDPR          bool

	RequestedAt  time.Time
	ScheduledFor time.Time
	StartedAt    time.Time

	// Participants erase what they hold themselves.
	Participants []string
	Stores       []Store
}

// Store is what was read of one store.
type Store struct {
	Name string
	// Before is what the first look found; nil when a participant erased without telling counts.
	Before *int64
	// After is what the last look found, at ReadAt; nil when nobody has looked since the erasing began.
	After  *int64
	ReadAt time.Time
}

func (s Store) empty() bool { return s.After != nil && *s.After == 0 }

// VaultStore names the one place of personal data, which is emptied last: see shared/vault. As no store of a data map has
// a "/" in its name, none is taken for it.
const VaultStore = "tenure/vault"

// ParticipantStore names what a participant holds.
func ParticipantStore(participant string) string { return "participant/" + participant }

// Unfinished tells what keeps the purge from being called complete: of the stores named in listed, of the
// participants', and of any other that was ever counted, each one that was not found empty at its last look. The vault
// counts when it is listed: its turn comes when everything else is done.
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
	var out []string
	for _, name := range wanted {
		i := slices.IndexFunc(p.Stores, func(s Store) bool { return s.Name == name })
		switch {
		case i < 0 || p.Stores[i].After == nil:
			out = append(out, name+" was not read again")
		case !p.Stores[i].empty():
			out = append(out, fmt.Sprintf("%s holds %d rows", name, *p.Stores[i].After))
		}
	}
	return out
}

// finishedAt is when the last store was found empty.
func (p Purge) finishedAt() time.Time {
	var last time.Time
	for _, s := range p.Stores {
		if s.ReadAt.After(last) {
			last = s.ReadAt
		}
	}
	return last
}
