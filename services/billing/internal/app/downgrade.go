package app

import (
	"context"

	"tenure/services/billing/internal/plan"
	"tenure/shared/events"
	"tenure/shared/inbox"
)

// scheduleID names the work that schedules a downgrade, for whoever calls it off.
func scheduleID(operation string) string { return operation + "/schedule" }

// schedule has Stripe make the change itself when the paid period ends, so that it invoices the next one right.
func (a *App) schedule(ctx context.Context, e events.Event, p *events.DowngradeScheduled) (inbox.Commit, error) {
	return a.change(ctx, e, request{
		id: scheduleID(p.OperationID), fromPlan: p.FromPlan, plan: p.Plan,
		changes: func(main *plan.Subscription, _ plan.Belief) []plan.Change {
			return plan.AtPeriodEnd(a.catalogue, main, p.Plan)
		},
	})
}

// callOff takes schedule back, be it in time or after Stripe has made the change. What supersedes the change says itself
// what is to be paid: a tenant that leaves must not be charged for going back first.
func (a *App) callOff(ctx context.Context, e events.Event, p *events.DowngradeCancelled) (inbox.Commit, error) {
	scheduled, _, err := a.store.Work(ctx, e.Subject, scheduleID(p.OperationID))
	if err != nil {
		return nil, err
	}
	stays := scheduled.FromPlan
	if p.Superseded {
		stays = ""
	}
	return a.change(ctx, e, request{
		fromPlan: p.Plan, plan: stays,
		changes: func(main *plan.Subscription, told plan.Belief) []plan.Change {
			return plan.CallOff(a.catalogue, main, told, stays)
		},
	})
}

// rollBack follows a downgrade that failed. What its own step changed was taken back by then; what Stripe changed at the
// period's end was not. A subscription that ran out begins again with a period that costs nothing.
func (a *App) rollBack(ctx context.Context, e events.Event, p *events.DowngradeRolledBack) (inbox.Commit, error) {
	free := e.Time.AddDate(0, 1, 0)
	return a.change(ctx, e, request{
		plan: p.Plan, trialEnd: &free, trialDays: 30,
		changes: func(main *plan.Subscription, told plan.Belief) []plan.Change {
			return plan.RollBack(a.catalogue, main, told, p.Plan)
		},
	})
}

// endWhenFree ends what a change to a free plan has only retired: from here there is no way back any more. What is left of
// the paid period is credited.
func (a *App) endWhenFree(ctx context.Context, e events.Event, name string) (inbox.Commit, error) {
	if target, ok := a.catalogue.Find(name); !ok || !target.Free() {
		return nil, nil
	}
	return a.change(ctx, e, request{credit: true, changes: only(plan.End)})
}
