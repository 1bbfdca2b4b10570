package app_test

import (
	"testing"

	"tenure/shared/query"
)

func TestQuote(t *testing.T) {
	f := newFixture(t)
	ask := func(of string) {
		t.Helper()
		q := query.QuoteRequest{Tenant: of, Generation: 1, Plan: "enterprise", AtPeriodEnd: true}
		if got, err := f.app.Quote(t.Context(), q); err != nil || got.NextCents != 99900 {
			t.Errorf("quoted %+v, %v", got, err)
		}
	}
	ask("nobody")
	if q := f.stripe.quoted; q.CustomerID != "" || q.Subscription != nil || q.Plan != "enterprise" || !q.AtPeriodEnd {
		t.Errorf("Stripe was asked for %+v of a tenant that it does not know", q)
	}
	f.signUp("starter")
	ask(tenant)
	if q := f.stripe.quoted; q.CustomerID != "cus_acme1" || q.Subscription == nil || q.Subscription.ID != "sub_1" {
		t.Errorf("Stripe was asked for %+v", q)
	}
}
