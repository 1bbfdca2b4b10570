package purge

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Formats of Certificate. The first one had no inventory, no hash of the chain and less of the policy.
const (
	Format  = "tenure-deletion-certificate/2"
	format1 = "tenure-deletion-certificate/1"
)

// Certificate is the content of the proof that everything of one life of a tenant was erased. It holds ids, times and
// counts: no personal data.
type Certificate struct {
	Format      string `json:"format"`
	Tenant      string `json:"tenant"`
	Generation  int64  `json:"generation" doc:"Which life of the tenant, from 1"`
	OperationID string `json:"operation_id"`
	Policy      Policy `json:"policy"`

	RequestedAt  time.Time `json:"requested_at"`
	ScheduledFor time.Time `json:"scheduled_for" doc:"Nothing was destroyed before"`
	StartedAt    time.Time `json:"started_at"`
	FinishedAt   time.Time `json:"finished_at" doc:"When the last store was found empty"`
	IssuedAt     time.Time `json:"issued_at"`

	Inventory  []Inventoried `json:"inventory,omitempty" doc:"What was there before anything was erased"`
	Stores     []StoreCount  `json:"stores" doc:"What was erased"`
	Exceptions []Exception   `json:"exceptions" doc:"What is kept, and why"`
	ChainHead  ChainHead     `json:"chain_head"`
}

// Policy is the promise that the deletion was held to.
type Policy struct {
	RetentionDays int    `json:"retention_days" doc:"Days of 24 hours"`
	Region        string `json:"region"`
	GDPR          bool   `json:"gdpr"`
	Plan          string `json:"plan,omitempty"`
	MinDays       int    `json:"min_days,omitempty" doc:"What the retention policy allowed such a tenant when the deletion was asked for"`
	MaxDays       int    `json:"max_days,omitempty"`
	Hash          string `json:"hash,omitempty" doc:"Names the content of that policy"`
}

// Inventoried is one store as it was found before the erasing.
type Inventoried struct {
	Store     string    `json:"store"`
	Kind      string    `json:"kind"`
	Targets   []string  `json:"targets"`
	Class     string    `json:"class,omitempty"`
	Rows      int64     `json:"rows"`
	CountedAt time.Time `json:"counted_at"`
}

// StoreCount is what one store held and holds: rows, or objects with their versions.
type StoreCount struct {
	Store  string `json:"store"`
	Before *int64 `json:"before" doc:"null: a participant erased without telling counts"`
	After  int64  `json:"after"`
}

// Exception is something that outlives the erasure.
type Exception struct {
	What string `json:"what"`
	Why  string `json:"why"`
	// What follows is of a store that was left as it is.
	Store string     `json:"store,omitempty"`
	Class string     `json:"class,omitempty" doc:"The class of its data in the retention policy"`
	Basis string     `json:"basis,omitempty" doc:"The law that the class is kept by"`
	Until *time.Time `json:"until,omitempty" doc:"When it is erased, too"`
	Rows  *int64     `json:"rows,omitempty" doc:"What it held at the time"`
}

// ChainHead is the newest event of the tenant's log that the certificate rests on, with its link in the log's hash chain,
// which covers everything before it.
type ChainHead struct {
	Version int64  `json:"version"`
	EventID string `json:"event_id"`
	Hash    string `json:"hash,omitempty" doc:"SHA-256 in hex"`
}

// exceptions are the same for every tenant: Tenure keeps them for all.
var exceptions = []Exception{
	{What: "the audit log: the tenant's id, states, times and reasons", Why: "it proves what was done; the names and addresses behind it were destroyed"},
	{What: "this certificate and the counts in it", Why: "they prove the deletion"},
}

// Certificate says what was erased, as of now. It fails unless every store was found empty or stays for a reason, and the
// times are in order: better no certificate than a wrong one.
func (p Purge) Certificate(listed []string, head ChainHead, now time.Time) (Certificate, error) {
	if left := p.Unfinished(listed); len(left) > 0 {
		return Certificate{}, fmt.Errorf("the purge of %s is not complete: %q", p.Tenant, left)
	}
	c := Certificate{
		Format: Format, Tenant: p.Tenant, Generation: p.Generation, OperationID: p.OperationID, Policy: p.Policy,
		RequestedAt: p.RequestedAt.UTC(), ScheduledFor: p.ScheduledFor.UTC(), StartedAt: p.StartedAt.UTC(),
		FinishedAt: finishedAt(p.Stores), IssuedAt: now.UTC(),
		Inventory: inventory(p.Stores), Stores: Counts(p.Stores),
		Exceptions: append(Left(p.Stores), exceptions...), ChainHead: head,
	}
	return c, c.Check()
}

func inventory(stores []Store) (out []Inventoried) {
	for _, s := range stores {
		if !s.CountedAt.IsZero() {
			out = append(out, Inventoried{s.Name, s.Kind, s.Targets, s.Class, s.Rows(), s.CountedAt.UTC()})
		}
	}
	return out
}

// Counts are those of the stores that were erased.
func Counts(stores []Store) []StoreCount {
	out := []StoreCount{}
	for _, s := range stores {
		if s.Stays == "" && s.After != nil {
			out = append(out, StoreCount{Store: s.Name, Before: s.Before, After: *s.After})
		}
	}
	return out
}

// Left lists what participants keep, and the stores that an erasure leaves as they are.
func Left(stores []Store) []Exception {
	out := []Exception{}
	for _, s := range stores {
		out = append(out, s.Kept...)
		if s.Stays == "" {
			continue
		}
		e := Exception{What: "store " + s.Name, Why: s.Stays, Store: s.Name, Class: s.Class, Basis: s.Basis, Rows: s.Before}
		if s.Until != nil {
			until := s.Until.UTC()
			e.Until = &until
		}
		out = append(out, e)
	}
	return out
}

// Check tells what in the content contradicts a complete deletion in time. Whether it is genuine is another question.
func (c Certificate) Check() error {
	if c.Format != Format && c.Format != format1 {
		return fmt.Errorf("its format is %q, not %q", c.Format, Format)
	}
	var wrong []error
	if c.Tenant == "" || c.Generation < 1 || c.OperationID == "" {
		wrong = append(wrong, errors.New("it does not say what was deleted"))
	}
	wrong = append(wrong, checkStores(c.Stores)...)
	wrong = append(wrong, checkOrder([]moment{
		{"requested_at", c.RequestedAt},
		{"scheduled_for", c.ScheduledFor},
		{"started_at", c.StartedAt},
		{"finished_at", c.FinishedAt},
		{"issued_at", c.IssuedAt},
	})...)
	if c.Format != format1 {
		wrong = append(wrong, c.checkInventory()...)
		wrong = append(wrong, checkExceptions(c.Exceptions)...)
		wrong = append(wrong, c.ChainHead.check()...)
		if c.Policy.Hash == "" {
			wrong = append(wrong, errors.New("it does not say which retention policy was in force"))
		}
	}
	return errors.Join(wrong...)
}

// checkInventory: whatever was found before is now either empty or an exception.
func (c Certificate) checkInventory() (wrong []error) {
	if len(c.Inventory) == 0 {
		wrong = append(wrong, errors.New("it has no inventory"))
	}
	for _, s := range c.Inventory {
		erased := slices.ContainsFunc(c.Stores, func(e StoreCount) bool { return e.Store == s.Store })
		stays := slices.ContainsFunc(c.Exceptions, func(e Exception) bool { return e.Store == s.Store })
		if erased == stays {
			wrong = append(wrong, fmt.Errorf("%s must be either erased or an exception", s.Store))
		}
	}
	return wrong
}

func (h ChainHead) check() (wrong []error) {
	if h.Version < 1 || h.EventID == "" {
		wrong = append(wrong, errors.New("it does not say where the tenant's log ends"))
	}
	// The hash is not there for a tenant whose log began before it was followed.
	if hash, err := hex.DecodeString(h.Hash); err != nil || len(hash) != 0 && len(hash) != 32 {
		wrong = append(wrong, errors.New("the hash of the tenant's log is none"))
	}
	return wrong
}

func checkExceptions(exceptions []Exception) (wrong []error) {
	for _, e := range exceptions {
		if e.What == "" || e.Why == "" || e.Until != nil && e.Basis == "" {
			wrong = append(wrong, fmt.Errorf("there is no reason for the exception %q", e.What))
		}
	}
	return wrong
}

func checkStores(stores []StoreCount) (wrong []error) {
	if len(stores) == 0 {
		wrong = append(wrong, errors.New("it names no store"))
	}
	for _, s := range stores {
		if s.After != 0 {
			wrong = append(wrong, fmt.Errorf("%s holds %d rows", s.Store, s.After))
		}
	}
	return wrong
}

type moment struct {
	name string
	at   time.Time
}

func checkOrder(moments []moment) (wrong []error) {
	for i := 1; i < len(moments); i++ {
		if moments[i].at.Before(moments[i-1].at) {
			wrong = append(wrong, fmt.Errorf("%s is before %s", moments[i].name, moments[i-1].name))
		}
	}
	return wrong
}
