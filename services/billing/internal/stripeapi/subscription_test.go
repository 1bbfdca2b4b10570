package stripeapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/stripeapi"
	"tenure/shared/plans"
)

// post makes a call as somebody else would, in Stripe's dashboard or with another program.
func (s *sim) post(path string, form url.Values) string {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk_test")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	var made struct{ ID string }
	if err := json.NewDecoder(answer.Body).Decode(&made); err != nil || answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s answers %s (%v)", path, answer.Status, err)
	}
	return made.ID
}

func TestADeclinedReinstatementIsAnOrdinaryDebt(t *testing.T) {
	s := simulate(t)
	sub := s.subscribed("starter")
	s.card("decline")
	back := got(s.ChangePlan(t.Context(), "k", sub, plan.Reinstate, "professional"))(t)
	equal(t, "plan", back.Plan, "professional")
	equal(t, "status", s.live(sub.CustomerID).Status, plan.PastDue)
	equal(t, "owed", got(s.PlanOwed(t.Context(), sub.ID))(t), true)

	s.card("ok")
	if err := s.Collect(t.Context(), back.LatestInvoice); err != nil {
		t.Fatal(err)
	}
	equal(t, "status", s.live(sub.CustomerID).Status, plan.Active)
	equal(t, "owed", got(s.PlanOwed(t.Context(), sub.ID))(t), false)
	equal(t, "net", s.net(), cents("professional"))
}

func TestADeclinedRaiseLeavesTheOldPlanAtStripe(t *testing.T) {
	s := simulate(t)
	sub := s.subscribed("starter")
	s.card("decline")
	_, err := s.ChangePlan(t.Context(), "k", sub, plan.Raise, "professional")
	var refused *app.Refused
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want a refusal", err)
	}
	s.card("ok")
	s.control(http.MethodPost, "/_sim/pay", map[string]any{"tenant": "acme"}, nil)
	live := s.live(sub.CustomerID)
	equal(t, "plan", live.Plan, "starter")
	equal(t, "status", live.Status, plan.Active)
	equal(t, "metered items", len(live.Usage), len(usage))
	equal(t, "net", s.net(), cents("starter"))
}

// While the invoice could not be voided the declined change could still be paid, and come true: it is not over.
func TestADeclinedRaiseIsNotOverBeforeItsInvoiceIsVoid(t *testing.T) {
	for _, outcome := range []string{"429", "503", "drop_after_apply"} {
		t.Run(outcome, func(t *testing.T) {
			s := simulate(t)
			sub := s.subscribed("starter")
			s.card("decline")
			s.fault("/v1/invoices/", outcome)
			if _, err := s.ChangePlan(t.Context(), "k", sub, plan.Raise, "professional"); !waits(err) {
				t.Fatalf("got %v, want to wait", err)
			}
			var refused *app.Refused
			if _, err := s.ChangePlan(t.Context(), "k", sub, plan.Raise, "professional"); !errors.As(err, &refused) {
				t.Errorf("got %v, want a refusal", err)
			}
			s.card("ok")
			s.control(http.MethodPost, "/_sim/pay", map[string]any{"tenant": "acme"}, nil)
			equal(t, "plan", s.live(sub.CustomerID).Plan, "starter")
			equal(t, "net", s.net(), cents("starter"))
		})
	}
}

// The step was given up before the invoice was void: the way back voids it, so that nobody pays for a plan that the tenant
// is not on.
func TestTheWayBackVoidsWhatADeclinedRaiseLeft(t *testing.T) {
	s := simulate(t)
	sub := s.subscribed("starter")
	s.card("decline")
	s.fault("/v1/invoices/", "503")
	if _, err := s.ChangePlan(t.Context(), "k", sub, plan.Raise, "professional"); !waits(err) {
		t.Fatalf("got %v, want to wait", err)
	}
	left := got(s.Invoices(t.Context(), sub.ID, sub.LatestInvoice))(t)
	if len(left) != 1 || !left[0].Open || !left[0].MovesMoney() {
		t.Fatalf("left: %+v", left)
	}
	for range 2 { // asked again after a crash
		if err := s.GiveBack(t.Context(), "back", left[0]); err != nil {
			t.Fatal(err)
		}
	}
	s.card("ok")
	s.control(http.MethodPost, "/_sim/pay", map[string]any{"tenant": "acme"}, nil)
	equal(t, "plan", s.live(sub.CustomerID).Plan, "starter")
	equal(t, "net", s.net(), cents("starter"))
}

func TestAnAddOnAloneIsNoDebtOfThePlan(t *testing.T) {
	s := simulate(t)
	sub := s.subscribed("starter")
	s.card("decline")
	price := s.post("/v1/prices", url.Values{
		"currency": {"usd"}, "unit_amount": {"900"}, "recurring[interval]": {"month"}, "product_data[name]": {"Add-on"},
	})
	s.post("/v1/subscription_items", url.Values{
		"subscription": {sub.ID}, "price": {price}, "proration_behavior": {"always_invoice"},
	})
	equal(t, "status", s.live(sub.CustomerID).Status, plan.PastDue)
	equal(t, "owed", got(s.PlanOwed(t.Context(), sub.ID))(t), false)
	equal(t, "plan", s.live(sub.CustomerID).Plan, "starter")

	s.renew(sub) // the retries are over by then: Stripe leaves the renewal a draft
	equal(t, "status", s.live(sub.CustomerID).Status, plan.Unpaid)
	equal(t, "owed", got(s.PlanOwed(t.Context(), sub.ID))(t), true)
}

// An invoice carries ten lines; the plan's may be among the rest.
func TestTheLinesOfALongInvoiceAreAllLookedAt(t *testing.T) {
	s := simulate(t)
	sub := s.subscribed("starter")
	s.card("decline")
	for i := range 11 {
		s.post("/v1/invoiceitems", url.Values{
			"customer": {sub.CustomerID}, "subscription": {sub.ID}, "amount": {"100"}, "currency": {"usd"}, "description": {fmt.Sprint(i)},
		})
	}
	s.renew(sub)
	equal(t, "owed", got(s.PlanOwed(t.Context(), sub.ID))(t), true)
}

func TestAllSubscriptionsAreWalkedThrough(t *testing.T) {
	s := simulate(t)
	const tenants = 120 // more than a page
	for i := range tenants {
		tenant := fmt.Sprint("t", i)
		id := got(s.CreateCustomer(t.Context(), "c"+tenant, tenant, int64(i)))(t)
		made := got(s.Subscribe(t.Context(), "s"+tenant, app.NewSubscription{CustomerID: id, Tenant: tenant, Generation: int64(i), Plan: "starter"}))(t)
		if i == 7 {
			got(s.Cancel(t.Context(), made.ID, false))(t)
		}
	}
	found := map[string]plan.Subscription{}
	for sub, err := range s.AllSubscriptions(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		found[sub.Tenant] = sub
	}
	equal(t, "subscriptions", len(found), tenants-1)
	equal(t, "generation", found["t119"].Generation, 119)
	equal(t, "plan", found["t0"].Plan, "starter")
	equal(t, "metered items", len(found["t0"].Usage), len(usage))

	for range s.AllSubscriptions(t.Context()) {
		break // nothing is fetched beyond
	}
	s.control(http.MethodPost, "/_sim/faults", map[string]any{"path_prefix": "/v1/subscriptions", "method": "GET", "outcome": "429"}, nil)
	for _, err := range s.AllSubscriptions(t.Context()) {
		if !waits(err) {
			t.Errorf("got %v, want to wait", err)
		}
	}
}

// A plan file with other amounts is for those who come from now on.
func TestANewAmountIsANewPrice(t *testing.T) {
	s := simulate(t)
	sub := s.subscribed("starter")
	dearer := plans.Catalogue{{Name: "starter", Cents: 5_900}}
	later := s.with(stripeapi.Config{Catalogue: dearer, Usage: []plans.UsagePrice{{Metric: "queries", Cents: 0.25}}})
	other := got(later.CreateCustomer(t.Context(), "c", "other", 1))(t)
	made := got(later.Subscribe(t.Context(), "s", app.NewSubscription{CustomerID: other, Tenant: "other", Plan: "starter"}))(t)
	for _, item := range []string{sub.Usage["queries"], made.Usage["queries"]} {
		if item == "" {
			t.Error("a metered item is not known any more")
		}
	}
	known := got(later.Subscriptions(t.Context(), sub.CustomerID))(t)
	equal(t, "plan", known[0].Plan, "starter")
	equal(t, "metered items", len(known[0].Usage), 2)
	s.renew(sub)
	equal(t, "net", s.net(), 2*cents("starter"))
	var money struct{ Net int64 }
	s.control(http.MethodGet, "/_sim/charges?tenant=other", nil, &money)
	equal(t, "net of the other", money.Net, 2*5_900)
}
