package app

import (
	"context"

	"tenure/services/billing/internal/plan"
	"tenure/shared/events"
	"tenure/shared/inbox"
)

// The steps that billing takes part in, and the operations in which it is special.
const (
	actionBill  = "bill"
	actionErase = "erase"
	opProvision = "provision"
	opDowngrade = "downgrade"
	opPurge     = "purge"
)

// step does billing's part of an operation, or takes it back.
func (a *App) step(ctx context.Context, e events.Event, s *events.StepRequested) (inbox.Commit, error) {
	// Past the deadline whoever asked has given this try up: it asks again, or takes the change back. Acting now could
	// charge for a change that will not happen.
	if s.Participant != Participant || a.now().After(s.Deadline) {
		return nil, nil
	}
	switch s.Action {
	case actionBill:
		return a.bill(ctx, e, s)
	case actionErase:
		return a.erase(ctx, e, s)
	}
	return nil, nil
}

// bill does the money's part of an operation, or takes it back.
func (a *App) bill(ctx context.Context, e events.Event, s *events.StepRequested) (inbox.Commit, error) {
	account, err := a.store.Account(ctx, e.Subject, s.Generation)
	if err != nil {
		return nil, err
	}
	r := request{cause: e, id: s.StepID, operation: s.OperationID, account: account, fromPlan: s.FromPlan, plan: s.ToPlan, step: s}
	switch {
	case s.Compensate && s.Operation == opProvision:
		// The sign-up is given up: whatever it was charged, for the first time or a new life's, goes back.
		r.giveBack = true
		r.changes = only(plan.End)
	case s.Compensate:
		if err := a.takeBack(ctx, &r); err != nil {
			return nil, err
		}
	case s.Operation == opPurge:
		r.ends = true
		r.changes = only(plan.End)
	default:
		target, _ := a.catalogue.Find(s.ToPlan)
		r.account.Ended = false
		// Whoever goes down need not be paid up: what is owed stays owed, and would only grow on the higher plan.
		r.mustPay = !target.Free() && s.Operation != opDowngrade
		r.coupon = s.Coupon
		r.changes = a.leadTo(s.ToPlan, s.Coupon)
	}
	return a.carryOut(ctx, r)
}

// leadTo plans what leads to the plan called name, now. coupon is what a tenant was offered to come back; "" is nothing.
func (a *App) leadTo(name, coupon string) planner {
	return func(main *plan.Subscription, _ plan.Belief) []plan.Change {
		return plan.Return(a.catalogue, main, name, coupon)
	}
}

func only(changes ...plan.Change) planner {
	return func(*plan.Subscription, plan.Belief) []plan.Change { return changes }
}

// takeBack plans the way back of what the operation's step may have done: all that was written down before it was begun,
// since what became of a call without an answer is not known. Each change looks at what is live first.
func (a *App) takeBack(ctx context.Context, r *request) error {
	done, found, err := a.store.WorkOf(ctx, r.cause.Subject, r.operation, r.id)
	if err != nil {
		return err
	}
	if found {
		r.giveBack, r.since, r.plan, r.coupon = true, done.InvoiceBefore, done.FromPlan, done.Coupon
	}
	r.changes = only(plan.Undo(done.Changes)...)
	return nil
}
