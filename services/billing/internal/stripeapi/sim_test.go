package stripeapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/stripeapi"
	"tenure/services/devstack/stripesim" // of the workspace: the module itself does not need it
	"tenure/services/devstack/stripesim/openapi"
	"tenure/shared/fault"
	"tenure/shared/plans"
)

var (
	catalogue = plans.Default()
	usage     = []plans.UsagePrice{{Metric: "queries", Cents: 0.5}, {Metric: "documents", Cents: 2}}
)

// sim is a simulated Stripe with a frozen clock, and a client of it. Every call that it accepts and every answer that it
// gives is held to Stripe's own description.
type sim struct {
	*stripeapi.Client
	t   *testing.T
	url string
}

func simulate(t *testing.T) *sim {
	t.Helper()
	server, err := stripesim.Open(t.Context(), stripesim.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	checker, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Run(ctx); err != nil {
			t.Errorf("run the simulator: %v", err)
		}
	})
	front := httptest.NewServer(checker.Wrap(server.Handler(), t.Errorf))
	t.Cleanup(func() {
		front.Close()
		cancel()
		running.Wait()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &sim{t: t, url: front.URL}
	s.Client = s.with(stripeapi.Config{Catalogue: catalogue, Usage: usage})
	s.control(http.MethodPost, "/_sim/clock", map[string]any{"freeze": true}, nil)
	return s
}

// with is another client of the same Stripe.
func (s *sim) with(cfg stripeapi.Config) *stripeapi.Client {
	cfg.Key, cfg.Base = "sk_test", s.url
	return stripeapi.New(cfg)
}

func (s *sim) control(method, path string, in, out any) {
	s.t.Helper()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			s.t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, &body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk_test")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %s %s (%v)", method, path, answer.Status, content, err)
	}
	if out != nil {
		if err := json.Unmarshal(content, out); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *sim) advance(d time.Duration) {
	s.t.Helper()
	s.control(http.MethodPost, "/_sim/clock", map[string]any{"advance": d.String()}, nil)
}

func (s *sim) now() time.Time {
	s.t.Helper()
	var clock struct{ Now time.Time }
	s.control(http.MethodGet, "/_sim/clock", nil, &clock)
	return clock.Now
}

// renew goes on until the subscription's next invoice is paid.
func (s *sim) renew(sub plan.Subscription) {
	s.t.Helper()
	s.advance(sub.CurrentPeriodEnd.Sub(s.now()) + 2*time.Hour)
}

func (s *sim) card(outcome string) {
	s.t.Helper()
	s.control(http.MethodPost, "/_sim/payment-methods", map[string]any{"tenant": "acme", "outcome": outcome}, nil)
}

func (s *sim) fault(path, outcome string) {
	s.t.Helper()
	s.control(http.MethodPost, "/_sim/faults", map[string]any{"path_prefix": path, "method": "POST", "outcome": outcome}, nil)
}

// net is what the tenant has paid, in cents.
func (s *sim) net() int64 {
	s.t.Helper()
	var money struct{ Net int64 }
	s.control(http.MethodGet, "/_sim/charges?tenant=acme", nil, &money)
	return money.Net
}

// credit is what is on the customer's balance.
func (s *sim) credit(customerID string) int64 {
	s.t.Helper()
	var customer struct{ Balance int64 }
	s.control(http.MethodGet, "/v1/customers/"+customerID, nil, &customer)
	return -customer.Balance
}

// applied counts the calls that had an effect.
func (s *sim) applied() int {
	s.t.Helper()
	var calls []struct {
		Method  string
		Applied bool
	}
	s.control(http.MethodGet, "/_sim/log", nil, &calls)
	n := 0
	for _, call := range calls {
		if call.Applied && call.Method != http.MethodGet {
			n++
		}
	}
	return n
}

// customer makes the tenant's customer.
func (s *sim) customer() string {
	s.t.Helper()
	id, err := s.CreateCustomer(s.t.Context(), "customer", "acme", 1)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// subscribed is a tenant on a plan, paid for.
func (s *sim) subscribed(name string, change ...func(*app.NewSubscription)) plan.Subscription {
	s.t.Helper()
	wanted := app.NewSubscription{CustomerID: s.customer(), Tenant: "acme", Generation: 1, Plan: name}
	for _, f := range change {
		f(&wanted)
	}
	made, err := s.Subscribe(s.t.Context(), "subscribe", wanted)
	if err != nil {
		s.t.Fatal(err)
	}
	return made
}

// live looks the tenant's only subscription up.
func (s *sim) live(customerID string) plan.Subscription {
	s.t.Helper()
	all, err := s.Subscriptions(s.t.Context(), customerID)
	if err != nil || len(all) != 1 {
		s.t.Fatalf("%d subscriptions are live (%v), want one", len(all), err)
	}
	return all[0]
}

// trial makes the first payment fall due after a while.
func trial(after time.Duration, s *sim) func(*app.NewSubscription) {
	return func(n *app.NewSubscription) {
		end := s.now().Add(after)
		n.TrialEnd = &end
	}
}

// got takes the result of a call that must succeed.
func got[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func waits(err error) bool {
	_, ok := fault.Delay(err)
	return ok
}

func keySpent(err error) bool { return waits(err) && errors.Is(err, app.ErrKeySpent) }

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// cents is a plan's price.
func cents(name string) int64 {
	p, _ := catalogue.Find(name)
	return p.Cents
}
