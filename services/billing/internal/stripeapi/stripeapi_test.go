package stripeapi_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/stripeapi"
	"tenure/shared/fault"
	"tenure/shared/plans"
)

// The client is an app.Stripe.
var _ app.Stripe = (*stripeapi.Client)(nil)

// script answers requests by "METHOD path" and keeps them.
type script struct {
	t       *testing.T
	answers map[string]string // a status, a space, the body
	got     []request
}

type request struct {
	route, key string
	form       url.Values
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.t.Error(err)
	}
	route := r.Method + " " + r.URL.Path
	s.got = append(s.got, request{route, r.Header.Get("Idempotency-Key"), r.Form})
	answer, ok := s.answers[route]
	if !ok {
		s.t.Errorf("unexpected %s %v", route, r.Form)
	}
	status, body, _ := strings.Cut(answer, " ")
	var code int
	fmt.Sscan(status, &code)
	w.WriteHeader(code)
	_, _ = w.Write([]byte(body))
}

func (s *script) client() *stripeapi.Client {
	server := httptest.NewServer(s)
	s.t.Cleanup(server.Close)
	return stripeapi.New(stripeapi.Config{Key: "sk_test", Base: server.URL, Catalogue: plans.Default()})
}

// sent returns the form of the one request to a route.
func (s *script) sent(route string) request {
	s.t.Helper()
	for _, r := range s.got {
		if r.route == route {
			return r
		}
	}
	s.t.Fatalf("no %s among %v", route, s.got)
	return request{}
}

const (
	prices = `200 {"object":"list","data":[{"id":"price_pro","lookup_key":"tenure_professional_monthly",
		"currency":"usd","unit_amount_decimal":"19900"}]}`
	empty = `200 {"object":"list","data":[],"has_more":false}`
)

func subscriptionJSON(more string) string {
	return `{"id":"sub_1","object":"subscription","status":"active","customer":"cus_1","created":1767225600,
		"current_period_start":1767225600,"current_period_end":1769904000,
		"metadata":{"tenant_id":"acme","generation":"2"},"latest_invoice":{"id":"in_2","status":"open","payment_intent":
		{"id":"pi_1","last_payment_error":{"type":"card_error","message":"Your card was declined."}}},
		"items":{"object":"list","data":[{"id":"si_addon","price":{"id":"price_x"}},
		{"id":"si_2","price":{"id":"price_queries","recurring":{"usage_type":"metered"},"metadata":{"tenure_metric":"queries","tenure_plan":"professional"}}},
		{"id":"si_1","price":{"id":"price_pro","metadata":{"tenure_plan":"professional"}}}]}` + more + `}`
}

var starter = plan.Subscription{ID: "sub_1", ItemID: "si_1", CustomerID: "cus_1", Plan: "starter", Status: plan.Active}

func TestRaiseChargesAtOnceOrNotAtAll(t *testing.T) {
	s := &script{t: t, answers: map[string]string{
		"GET /v1/prices":               prices,
		"POST /v1/subscriptions/sub_1": "200 " + subscriptionJSON(""),
	}}
	got, err := s.client().ChangePlan(t.Context(), "key-1", starter, plan.Raise, "professional")
	if err != nil {
		t.Fatal(err)
	}
	want := plan.Subscription{
		ID: "sub_1", ItemID: "si_1", CustomerID: "cus_1", Plan: "professional", Status: plan.Active, LatestInvoice: "in_2", InvoiceStatus: "open",
		Created: time.Unix(1767225600, 0).UTC(), CurrentPeriodStart: time.Unix(1767225600, 0).UTC(),
		CurrentPeriodEnd: time.Unix(1769904000, 0).UTC(), Tenant: "acme", Generation: 2, Usage: map[string]string{"queries": "si_2"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	sent := s.sent("POST /v1/subscriptions/sub_1")
	if sent.key != "key-1" {
		t.Errorf("idempotency key %q", sent.key)
	}
	for name, value := range map[string]string{
		"items[0][id]": "si_1", "items[0][price]": "price_pro",
		"proration_behavior": "always_invoice", "payment_behavior": "pending_if_incomplete",
	} {
		if sent.form.Get(name) != value {
			t.Errorf("%s is %q, want %q", name, sent.form.Get(name), value)
		}
	}
}

func TestDeclinedRaiseLeavesNothingToPay(t *testing.T) {
	s := &script{t: t, answers: map[string]string{
		"GET /v1/prices":               prices,
		"POST /v1/subscriptions/sub_1": "200 " + subscriptionJSON(`,"pending_update":{"expires_at":1}`),
		"POST /v1/invoices/in_2/void":  `200 {"id":"in_2","status":"void"}`,
	}}
	_, err := s.client().ChangePlan(t.Context(), "key-1", starter, plan.Raise, "professional")
	var refused *app.Refused
	if !errors.As(err, &refused) || refused.Reason != "Your card was declined." {
		t.Fatalf("got %v, want Stripe's reason", err)
	}
	s.sent("POST /v1/invoices/in_2/void")
}

func TestPriceIsMadeOnce(t *testing.T) {
	s := &script{t: t, answers: map[string]string{
		"GET /v1/prices":         empty,
		"POST /v1/prices":        `200 {"id":"price_new"}`,
		"POST /v1/subscriptions": "200 " + subscriptionJSON(""),
	}}
	c := s.client()
	for range 2 {
		_, err := c.Subscribe(t.Context(), "k", app.NewSubscription{CustomerID: "cus_1", Tenant: "acme", Generation: 2, Plan: "professional", MustPay: true})
		if err != nil {
			t.Fatal(err)
		}
	}
	made := s.sent("POST /v1/prices").form
	if made.Get("unit_amount") != "19900" || made.Get("currency") != "usd" || made.Get("lookup_key") != "tenure_professional_monthly" {
		t.Errorf("price made with %v", made)
	}
	if n := len(s.got); n != 4 { // look, make, and two subscriptions
		t.Errorf("%d requests: %v", n, s.got)
	}
	sub := s.sent("POST /v1/subscriptions").form
	if sub.Get("metadata[tenant_id]") != "acme" || sub.Get("metadata[generation]") != "2" || sub.Get("payment_behavior") != "error_if_incomplete" {
		t.Errorf("subscribed with %v", sub)
	}
}

func TestErrors(t *testing.T) {
	stripeError := func(status int, kind, code string) string {
		body, _ := json.Marshal(map[string]any{"error": map[string]string{"type": kind, "code": code, "message": "why"}})
		return fmt.Sprintf("%d %s", status, body)
	}
	tests := []struct {
		name, answer             string
		refused, waits, keySpent bool
	}{
		{"declined", stripeError(402, "card_error", "card_declined"), true, false, false},
		{"rate limit", stripeError(429, "invalid_request_error", "rate_limit"), false, true, false},
		{"key in use", stripeError(409, "idempotency_error", "idempotency_key_in_use"), false, true, false},
		{"key with other parameters", stripeError(400, "idempotency_error", ""), false, true, true},
		{"broken", stripeError(500, "api_error", ""), false, true, true},
		{"away, by a proxy's word", "503 <html>", false, true, false},
		{"our key is wrong", stripeError(401, "invalid_request_error", ""), false, true, false},
		{"our mistake", stripeError(400, "invalid_request_error", "parameter_unknown"), false, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{t: t, answers: map[string]string{"POST /v1/customers": tt.answer}}
			_, err := s.client().CreateCustomer(t.Context(), "k", "acme", 1)
			var refused *app.Refused
			_, waits := fault.Delay(err)
			if got := errors.As(err, &refused); got != tt.refused {
				t.Errorf("refused: %v (%v)", got, err)
			}
			if waits != tt.waits {
				t.Errorf("waits: %v (%v)", waits, err)
			}
			if got := errors.Is(err, app.ErrKeySpent); got != tt.keySpent {
				t.Errorf("key spent: %v (%v)", got, err)
			}
		})
	}
	t.Run("out of reach", func(t *testing.T) {
		c := stripeapi.New(stripeapi.Config{Key: "sk", Base: "http://127.0.0.1:1", Catalogue: plans.Default()})
		_, err := c.Subscriptions(t.Context(), "cus_1")
		if _, waits := fault.Delay(err); !waits {
			t.Errorf("got %v, want a fault that waits", err)
		}
	})
}

func TestGiveBackRefundsAndRestoresTheBalanceOnce(t *testing.T) {
	const balances = "GET /v1/customers/cus_1/balance_transactions"
	s := &script{t: t, answers: map[string]string{
		"POST /v1/refunds": `200 {"id":"re_1"}`,
		balances:           empty,
		"POST /v1/customers/cus_1/balance_transactions": `200 {"id":"cbtxn_1"}`,
	}}
	c := s.client()
	i := plan.Invoice{ID: "in_2", CustomerID: "cus_1", ChargeID: "ch_1", Charged: 9000, CreditUsed: 1000}
	if err := c.GiveBack(t.Context(), "k", i); err != nil {
		t.Fatal(err)
	}
	if sent := s.sent("POST /v1/refunds"); sent.form.Get("charge") != "ch_1" || sent.form.Get("amount") != "9000" || sent.key != "k" {
		t.Errorf("refunded with %+v", sent)
	}
	if sent := s.sent("POST /v1/customers/cus_1/balance_transactions"); sent.form.Get("amount") != "-1000" {
		t.Errorf("restored with %+v", sent)
	}

	s.answers[balances] = `200 {"object":"list","data":[{"id":"cbtxn_1","metadata":{"tenure_invoice":"in_2"}}]}`
	delete(s.answers, "POST /v1/customers/cus_1/balance_transactions") // a second one would be unexpected
	i.Charged = 0                                                      // the charge shows its refund
	if err := c.GiveBack(t.Context(), "another key", i); err != nil {
		t.Fatal(err)
	}
}

func TestEndingTwiceIsEndingOnce(t *testing.T) {
	s := &script{t: t, answers: map[string]string{
		"DELETE /v1/subscriptions/sub_1": `404 {"error":{"type":"invalid_request_error","code":"resource_missing","message":"No such subscription"}}`,
	}}
	got, err := s.client().Cancel(t.Context(), "sub_1", false)
	if err != nil || got.Status != plan.Canceled {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestEventsComeOldestFirst(t *testing.T) {
	event := func(id string) string {
		return `{"id":"` + id + `","type":"customer.subscription.updated","created":1767225600,"data":{"object":
			{"id":"sub_1","object":"subscription","customer":"cus_1","metadata":{"tenant_id":"acme"}}}}`
	}
	s := &script{t: t, answers: map[string]string{
		"GET /v1/events": `200 {"object":"list","data":[` + event("evt_2") + "," + event("evt_1") + `]}`,
	}}
	got, err := s.client().Events(t.Context(), time.Unix(1767225000, 0))
	if err != nil || len(got) != 2 || got[0].EventID != "evt_1" || got[0].SubscriptionID != "sub_1" || got[0].Tenant != "acme" {
		t.Errorf("got %+v, %v", got, err)
	}
	if form := s.sent("GET /v1/events").form; form.Get("created[gte]") != "1767225000" || form.Get("types[0]") == "" {
		t.Errorf("asked with %v", form)
	}
}
