package app

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/export/internal/store"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/inbox"
)

// Wants picks the events that React is called with: all of the lifecycle's, which are the timeline, and the facts of
// billing.
func Wants(eventType string) bool {
	service, _ := events.SplitType(eventType)
	if service != billing {
		return service == lifecycle
	}
	payload, known := events.NewPayload(eventType)
	_, usage := payload.(*events.UsageUpdated) // a figure of the moment, once a second
	return known && !usage
}

const (
	lifecycle = "lifecycle"
	billing   = "billing"
)

// React keeps the event for the archives and does what it asks for. Removing a purged tenant's archives is the one thing
// it does outside; doing that again harms nobody.
func (a *App) React(ctx context.Context, e events.Event) (inbox.Commit, error) {
	if e.Service() == billing {
		return a.keepBilling(e), nil
	}
	act, err := a.action(ctx, e)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, tx pgx.Tx) error {
		if err := keep(ctx, tx, e); err != nil || act == nil {
			return err
		}
		return act(ctx, tx)
	}, nil
}

// action is what an event of the lifecycle asks of this service; nil: nothing.
func (a *App) action(ctx context.Context, e events.Event) (inbox.Commit, error) {
	payload, known := events.NewPayload(e.Type)
	if !known {
		return nil, nil // of a newer lifecycle: it stands in the timeline all the same
	}
	if err := json.Unmarshal(e.Data, payload); err != nil {
		return nil, fault.Permanent(fmt.Errorf("data of %s: %w", e.ID, err))
	}
	switch p := payload.(type) {
	case *events.ExportRequested:
		return a.enqueue(e, p)
	case *events.StepDone:
		if p.Action != exportAction {
			return nil, nil
		}
		answer := store.Contribution{At: e.Time, Result: p.Result}
		return func(ctx context.Context, tx pgx.Tx) error {
			return store.Contribute(ctx, tx, p.OperationID, p.Participant, answer)
		}, nil
	case *events.ExportFailed:
		return func(ctx context.Context, tx pgx.Tx) error { return store.Drop(ctx, tx, p.ExportID, p.Error) }, nil
	case *events.ExportCancelled:
		return func(ctx context.Context, tx pgx.Tx) error { return store.RequestCancel(ctx, tx, p.ExportID) }, nil
	case *events.TenantPurged:
		if err := a.blobs.RemoveTenant(ctx, e.Subject); err != nil {
			return nil, err
		}
		return func(ctx context.Context, tx pgx.Tx) error { return a.forget(ctx, tx, e.Subject) }, nil
	}
	return nil, nil
}

// exportID keeps an id that names an object and a path segment from being anything else.
var exportID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)

// exportAction is what participants with files of their own are asked for; the operation is the export.
const exportAction = "export"

func (a *App) enqueue(e events.Event, p *events.ExportRequested) (inbox.Commit, error) {
	if !exportID.MatchString(p.ExportID) {
		return nil, fault.Permanent(fmt.Errorf("%q cannot be an export's id", p.ExportID))
	}
	job := store.Job{
		ExportID: p.ExportID, TenantID: e.Subject, RequestedAt: e.Time, DueBy: dueBy(e.Time, a.cfg.Day),
		CorrelationID: e.CorrelationID, CausationID: e.ID,
		Include: p.Include, EncryptTo: p.EncryptTo, Parquet: p.Parquet, Participants: p.Participants,
		Rank: max(a.cfg.Plans.Rank(p.Plan), 0),
	}
	if at, err := time.Parse(time.RFC3339, p.Since); err == nil {
		job.Since = &at
	} else {
		job.SinceExport = p.Since // what is no export's id either fails the export, with the reason
	}
	return func(ctx context.Context, tx pgx.Tx) error { return store.Enqueue(ctx, tx, job) }, nil
}

// forget ends the purged tenant's exports.
func (a *App) forget(ctx context.Context, tx pgx.Tx, tenant string) error {
	jobs, err := store.WithArchive(ctx, tx, tenant)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if err := a.expired(ctx, tx, job); err != nil {
			return err
		}
	}
	return store.Forget(ctx, tx, tenant)
}

// timelineRow is a row of audit.ndjson: as GET /v1/tenants/{id}/events shows it.
type timelineRow struct {
	ID            string          `json:"id"`
	Tenant        string          `json:"tenant"`
	EventType     string          `json:"event_type"`
	FromState     string          `json:"from_state"`
	ToState       string          `json:"to_state"`
	Time          time.Time       `json:"time"`
	Actor         string          `json:"actor"`
	Reason        string          `json:"reason,omitempty"`
	Data          json.RawMessage `json:"data"`
	Version       int64           `json:"version"`
	Hash          string          `json:"hash,omitempty"`
	CausationID   string          `json:"causationid"`
	CorrelationID string          `json:"correlationid"`
}

// keep notes what is told by every event of the lifecycle: a row of the timeline, and the tenant's state.
func keep(ctx context.Context, tx pgx.Tx, e events.Event) error {
	change := events.ChangeOf(e.Data)
	if err := keepAudit(ctx, tx, e, change); err != nil || change.To == "" {
		return err
	}
	return store.SaveState(ctx, tx, e.Subject, change.To)
}

func keepAudit(ctx context.Context, tx pgx.Tx, e events.Event, change events.Change) error {
	link, err := eventlog.Follow(ctx, tx, e)
	if err != nil {
		return err
	}
	row, err := json.Marshal(timelineRow{
		ID: e.ID, Tenant: e.Subject, EventType: e.Type, FromState: change.From, ToState: change.To, Time: e.Time, Actor: e.Actor,
		Reason: change.Reason, Data: e.Data, Version: e.Sequence, Hash: hex.EncodeToString(link.Hash), CausationID: e.CausationID, CorrelationID: e.CorrelationID,
	})
	if err != nil {
		return fmt.Errorf("encode %s for the archive: %w", e.ID, err)
	}
	return store.KeepAudit(ctx, tx, e.Subject, e.Sequence, e.Time, row)
}

// billingRow is a row of billing.ndjson.
type billingRow struct {
	EventType string          `json:"event_type"`
	Time      time.Time       `json:"time"`
	Data      json.RawMessage `json:"data"`
	Version   int64           `json:"version"`
}

func (a *App) keepBilling(e events.Event) inbox.Commit {
	return func(ctx context.Context, tx pgx.Tx) error {
		row, err := json.Marshal(billingRow{EventType: e.Type, Time: e.Time, Data: e.Data, Version: e.Sequence})
		if err != nil {
			return fmt.Errorf("encode %s for the archive: %w", e.ID, err)
		}
		return store.KeepBilling(ctx, tx, e.Subject, e.Sequence, e.Time, row)
	}
}
