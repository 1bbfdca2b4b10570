package app

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/inbox"
)

var wanted = map[string]bool{
	(*events.TenantRegistered)(nil).EventType():       true,
	(*events.TenantReborn)(nil).EventType():           true,
	(*events.TenantReactivated)(nil).EventType():      true,
	(*events.SignupAbandoned)(nil).EventType():        true,
	(*events.ProvisioningRolledBack)(nil).EventType(): true,
	(*events.StepRequested)(nil).EventType():          true,
	(*events.DowngradeScheduled)(nil).EventType():     true,
	(*events.DowngradeCancelled)(nil).EventType():     true,
	(*events.DowngradeRolledBack)(nil).EventType():    true,
	(*events.DowngradeCompleted)(nil).EventType():     true,
	(*events.DeletionRequested)(nil).EventType():      true,
	(*events.TenantPurged)(nil).EventType():           true,
}

// Wants tells the reactor which events have work for billing.
func Wants(eventType string) bool {
	return wanted[eventType] || plan.IsNotice(eventType) || slices.Contains(plan.AgreementEvents, eventType)
}

// React does what an event of the lifecycle, or a notice of Stripe's, asks for.
func (a *App) React(ctx context.Context, e events.Event) (inbox.Commit, error) {
	if plan.IsNotice(e.Type) {
		return a.news(ctx, e)
	}
	p, err := e.Payload()
	if err != nil {
		return nil, fault.Permanent(err)
	}
	if err := a.yield(ctx, e, p); err != nil {
		return nil, err
	}
	commit, err := a.follows(ctx, e, p)
	if err != nil {
		return nil, err
	}
	return a.agreeing(e, p, commit), nil
}

// follows does what an event of the lifecycle asks of Stripe.
func (a *App) follows(ctx context.Context, e events.Event, p events.Payload) (inbox.Commit, error) {
	switch p := p.(type) {
	case *events.TenantRegistered:
		if !p.RequiresPayment && p.TrialEndsAt == nil && p.TrialDays == 0 {
			return nil, nil
		}
		return a.signUp(ctx, e, p)
	case *events.StepRequested:
		return a.step(ctx, e, p)
	case *events.DowngradeScheduled:
		return a.schedule(ctx, e, p)
	case *events.DowngradeCancelled:
		return a.callOff(ctx, e, p)
	case *events.DowngradeRolledBack:
		return a.rollBack(ctx, e, p)
	case *events.DowngradeCompleted:
		return a.endWhenFree(ctx, e, p.Plan)
	case *events.DeletionRequested:
		return a.change(ctx, e, request{changes: func(main *plan.Subscription, _ plan.Belief) []plan.Change { return plan.Leave(main) }})
	case *events.TenantPurged, *events.TenantReborn:
		// Again at the new life's begin: the last uses of the old one may be counted after its purge.
		return a.forgetUsage(e.Subject), nil
	case *events.TenantReactivated:
		return a.reactivated(ctx, e, p)
	case *events.SignupAbandoned, *events.ProvisioningRolledBack:
		return a.change(ctx, e, request{giveBack: true, ends: true, changes: only(plan.End)})
	}
	return nil, nil
}

// reactivated ends what a tenant that comes back for nothing had paid for before, and forgets what was erased.
func (a *App) reactivated(ctx context.Context, e events.Event, p *events.TenantReactivated) (inbox.Commit, error) {
	ended, err := a.endWhenFree(ctx, e, p.Plan)
	if err != nil || p.RestoreData {
		return ended, err
	}
	forget := a.forgetUsage(e.Subject)
	if ended == nil {
		return forget, nil
	}
	return func(ctx context.Context, tx pgx.Tx) error {
		if err := ended(ctx, tx); err != nil {
			return err
		}
		return forget(ctx, tx)
	}, nil
}

func (a *App) forgetUsage(tenant string) inbox.Commit {
	return func(ctx context.Context, tx pgx.Tx) error { return a.store.ForgetUsage(ctx, tx, tenant) }
}

// signUp subscribes a new tenant. A card that does not work leaves a subscription that waits for its first payment.
func (a *App) signUp(ctx context.Context, e events.Event, p *events.TenantRegistered) (inbox.Commit, error) {
	account, err := a.store.Account(ctx, e.Subject, p.Generation)
	if err != nil {
		return nil, err
	}
	return a.carryOut(ctx, request{
		cause: e, id: e.ID, account: account, plan: p.Plan, trialEnd: p.TrialEndsAt, trialDays: p.TrialDays,
		changes: a.leadTo(p.Plan, ""),
	})
}

// change carries a request out on the tenant's last account, if it has any.
func (a *App) change(ctx context.Context, e events.Event, r request) (inbox.Commit, error) {
	account, err := a.store.Latest(ctx, e.Subject)
	if err != nil || account.CustomerID == "" {
		return nil, err
	}
	r.cause, r.account = e, account
	r.id = cmp.Or(r.id, e.ID)
	return a.carryOut(ctx, r)
}
