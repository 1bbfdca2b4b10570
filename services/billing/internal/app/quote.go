package app

import (
	"context"

	"tenure/services/billing/internal/plan"
	"tenure/shared/query"
)

// Quote asks Stripe what a change of plan would cost. Of a tenant that never paid, or that nobody knows, Stripe knows
// nothing: it is the plan's price.
func (a *App) Quote(ctx context.Context, q query.QuoteRequest) (query.Quote, error) {
	account, err := a.store.Account(ctx, q.Tenant, q.Generation)
	if err != nil {
		return query.Quote{}, err
	}
	live, err := a.look(ctx, account)
	if err != nil {
		return query.Quote{}, err
	}
	return a.stripe.Quote(ctx, plan.QuoteOf{
		CustomerID: account.CustomerID, Subscription: plan.Main(live), Plan: q.Plan, AtPeriodEnd: q.AtPeriodEnd, Cancel: q.Cancel,
		Stays: q.Stays, Coupon: q.Coupon,
	})
}
