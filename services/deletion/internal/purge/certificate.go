package purge

import (
	"errors"
	"fmt"
	"time"
)

// Format names the layout of Certificate. A reader refuses any other.
const Format = "tenure-deletion-certificate/1"

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

	Stores     []StoreCount `json:"stores"`
	Exceptions []Exception  `json:"exceptions" doc:"What is kept, and why"`
	ChainHead  ChainHead    `json:"chain_head"`
}

// Policy is the promise that the deletion was held to.
type Policy struct {
	RetentionDays int    `json:"retention_days" doc:"Days of 24 hours"`
	Region        string `json:"region"`
	GDPR          bool   `json:"gdpr"`
}

// StoreCount is what one store held and holds: rows, or objects with their versions.
type StoreCount struct {
	Store  string `json:"store"`
	Before *int64 `json:"before" doc:"null: a participant erased without telling counts"`
	After  int64  `json:"after"`
}

// Exception is something that outlives the tenant.
type Exception struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// ChainHead is the newest event of the tenant's log that the certificate rests on. The log's hash chain covers it and
// everything before it.
type ChainHead struct {
	Version int64  `json:"version"`
	EventID string `json:"event_id"`
}

// exceptions are the same for every tenant: Tenure keeps them for all.
var exceptions = []Exception{
	{"the audit log: the tenant's id, states, times and reasons", "it proves what was done; the names and addresses behind it were destroyed"},
	{"this certificate and the counts in it", "they prove the deletion"},
	{"invoices and payments at Stripe, if there were any", "tax law asks for them to be kept"},
}

// Certificate says what was erased, as of now. It fails unless every store was found empty and the times are in
// order: better no certificate than a wrong one.
func (p Purge) Certificate(listed []string, head ChainHead, now time.Time) (Certificate, error) {
	if left := p.Unfinished(listed); len(left) > 0 {
		return Certificate{}, fmt.Errorf("the purge of %s is not complete: %q", p.Tenant, left)
	}
	c := Certificate{
		Format: Format, Tenant: p.Tenant, Generation: p.Generation, OperationID: p.OperationID,
		Policy:      Policy{RetentionDays: p.RetentionDays, Region: p.Region, GDPR: p.GDPR},
		RequestedAt: p.RequestedAt.UTC(), ScheduledFor: p.ScheduledFor.UTC(), StartedAt: p.StartedAt.UTC(),
		FinishedAt: p.finishedAt().UTC(), IssuedAt: now.UTC(),
		Stores: make([]StoreCount, len(p.Stores)), Exceptions: exceptions, ChainHead: head,
	}
	for i, s := range p.Stores {
		c.Stores[i] = StoreCount{Store: s.Name, Before: s.Before, After: *s.After}
	}
	return c, c.Check()
}

// Check tells what in the content contradicts a complete deletion in time. Whether it is genuine is another question.
func (c Certificate) Check() error {
	var wrong []error
	if c.Format != Format {
		return fmt.Errorf("its format is %q, not %q", c.Format, Format)
	}
	if c.Tenant == "" || c.Generation < 1 || c.OperationID == "" {
		wrong = append(wrong, errors.New("it does not say what was deleted"))
	}
	if len(c.Stores) == 0 {
		wrong = append(wrong, errors.New("it names no store"))
	}
	for _, s := range c.Stores {
		if s.After != 0 {
			wrong = append(wrong, fmt.Errorf("%s holds %d rows", s.Store, s.After))
		}
	}
	times := []struct {
		name string
		at   time.Time
	}{
		{"requested_at", c.RequestedAt},
		{"scheduled_for", c.ScheduledFor},
		{"started_at", c.StartedAt},
		{"finished_at", c.FinishedAt},
		{"issued_at", c.IssuedAt},
	}
	for i := 1; i < len(times); i++ {
		if times[i].at.Before(times[i-1].at) {
			wrong = append(wrong, fmt.Errorf("%s is before %s", times[i].name, times[i-1].name))
		}
	}
	return errors.Join(wrong...)
}
