package app

import (
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
	case *events.DeletionRequested:
		return a.follow(ctx, e, request{}, plan.Retire)
	case *events.DowngradeCompleted:
		return a.downgraded(ctx, e, p.Plan)
	case *events.TenantPurged, *events.TenantReborn:
		// Again at the new life's begin: the last uses of the old one may be counted after its purge.
		return a.forgetUsage(e.Subject), nil
	case *events.TenantReactivated:
		if p.RestoreData {
			return nil, nil
		}
		return a.forgetUsage(e.Subject), nil // what was metered is erased
	case *events.SignupAbandoned, *events.ProvisioningRolledBack:
		return a.follow(ctx, e, request{giveBack: true, ends: true}, plan.End)
	}
	return nil, nil
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
		changes: func(main *plan.Subscription) []plan.Change { return plan.Changes(a.catalogue, main, p.Plan) },
	})
}

// downgraded ends what a downgrade to a free plan has only retired: from here there is no way back any more.
func (a *App) downgraded(ctx context.Context, e events.Event, name string) (inbox.Commit, error) {
	if target, ok := a.catalogue.Find(name); !ok || !target.Free() {
		return nil, nil
	}
	return a.follow(ctx, e, request{credit: true}, plan.End)
}

// follow does one change to the tenant's last account, if it has any.
func (a *App) follow(ctx context.Context, e events.Event, r request, change plan.Change) (inbox.Commit, error) {
	account, err := a.store.Latest(ctx, e.Subject)
	if err != nil || account.CustomerID == "" {
		return nil, err
	}
	r.cause, r.id, r.account = e, e.ID, account
	r.changes = only(change)
	return a.carryOut(ctx, r)
}

// news takes a notice as a hint to look at the customer again: all that counts is what is live now. Notices may come
// twice, late and in any order.
func (a *App) news(ctx context.Context, e events.Event) (inbox.Commit, error) {
	n, err := plan.DecodeNotice(e)
	if err != nil {
		return nil, fault.Permanent(err)
	}
	account, err := a.store.AccountOf(ctx, n.CustomerID)
	switch {
	case err != nil:
		return nil, err
	case account.CustomerID == "":
		return func(ctx context.Context, tx pgx.Tx) error { return a.store.Park(ctx, tx, n.EventID) }, nil
	case account.Tenant != e.Subject: // published before its tenant was known, or with metadata that somebody changed
		return func(ctx context.Context, tx pgx.Tx) error { return a.store.Publish(ctx, tx, n, account.Tenant) }, nil
	}
	live, err := a.look(ctx, account)
	if err != nil {
		return nil, err
	}
	if main := plan.Main(live); main != nil && main.Converting(account.Belief) && main.InvoiceStatus == plan.InvoiceDraft {
		// Whether the trial goes over into a paid plan is to be known when it ends, not an hour later.
		if err := a.stripe.Collect(ctx, main.LatestInvoice); err != nil {
			return nil, err
		}
		if live, err = a.look(ctx, account); err != nil {
			return nil, err
		}
	}
	return a.commit(conclusion{cause: e, account: account, live: live}), nil
}
