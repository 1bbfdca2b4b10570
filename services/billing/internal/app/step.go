package app

import (
	"context"

	"tenure/services/billing/internal/plan"
	"tenure/shared/events"
	"tenure/shared/inbox"
)

// The step that billing takes part in.
const (
	actionBill = "bill"
	opPurge    = "purge"
)

// step does the money's part of an operation, or takes it back.
func (a *App) step(ctx context.Context, e events.Event, s *events.StepRequested) (inbox.Commit, error) {
	if s.Participant != Participant || s.Action != actionBill {
		return nil, nil
	}
	// Whoever asked has given this try up: it asks again, or takes the change back. Acting now could charge for a change
	// that will not happen.
	if a.now().After(s.Deadline) {
		return nil, nil
	}
	account, err := a.store.Account(ctx, e.Subject, s.Generation)
	if err != nil {
		return nil, err
	}
	r := request{cause: e, id: s.StepID, operation: s.OperationID, account: account, plan: s.ToPlan, step: s}
	switch {
	case s.Compensate:
		return a.undo(ctx, r)
	case s.Operation == opPurge:
		r.ends = true
		r.changes = func(*plan.Subscription) []plan.Change { return []plan.Change{plan.End} }
	default:
		r.mustPay = true
		r.changes = func(main *plan.Subscription) []plan.Change { return a.catalogue.Changes(main, s.ToPlan) }
	}
	return a.carryOut(ctx, r)
}

// undo takes back what the step may have done: all that was written down before it was begun, since what became of a
// call without an answer is not known. Each change looks at what is live first.
func (a *App) undo(ctx context.Context, r request) (inbox.Commit, error) {
	done, found, err := a.store.Find(ctx, r.cause.Subject, r.id)
	if err != nil {
		return nil, err
	}
	r.id += "/undo"
	if found {
		r.giveBack, r.since = true, done.InvoiceBefore
	}
	r.changes = func(*plan.Subscription) []plan.Change { return plan.Undo(done.Changes) }
	return a.carryOut(ctx, r)
}
