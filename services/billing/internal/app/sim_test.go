package app_test

import (
	"bytes"
	"context"
	"encoding/json"
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
	"tenure/shared/plans"
)

// world is a Stripe whose time and money a test controls: the fake, or the simulator behind the real client. What holds on
// both keeps the fake honest.
type world interface {
	app.Stripe
	// turnPeriod goes on to the end of the period, collect to when the invoices of the new one are paid.
	turnPeriod()
	collect()
	declineCard()
	// net is what the tenant has paid, less what it has as credit, in cents.
	net() int64
	now() time.Time
}

// simulated is the simulator, with a clock that stands still.
type simulated struct {
	*stripeapi.Client
	t      *testing.T
	url    string
	tenant string
}

func simulate(t *testing.T, tenant string) *simulated {
	t.Helper()
	server, err := stripesim.Open(t.Context(), stripesim.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
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
	front := httptest.NewServer(server.Handler())
	t.Cleanup(func() {
		front.Close()
		cancel()
		running.Wait()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &simulated{t: t, url: front.URL, tenant: tenant}
	s.Client = stripeapi.New(stripeapi.Config{Key: "sk_test", Base: front.URL, Catalogue: plans.Default()})
	s.call(http.MethodPost, "/_sim/clock", map[string]any{"freeze": true}, nil)
	return s
}

// call sends in and reads the answer into out; nil is nothing.
func (s *simulated) call(method, path string, in, out any) {
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
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %s", method, path, answer.Status)
	}
	if out != nil {
		if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *simulated) advance(d time.Duration) {
	s.call(http.MethodPost, "/_sim/clock", map[string]any{"advance": d.String()}, nil)
}

func (s *simulated) now() time.Time {
	var clock struct{ Now time.Time }
	s.call(http.MethodGet, "/_sim/clock", nil, &clock)
	return clock.Now
}

func (s *simulated) turnPeriod() {
	var customers struct{ Data []struct{ ID string } }
	s.call(http.MethodGet, "/v1/customers", nil, &customers)
	live, err := s.Subscriptions(s.t.Context(), customers.Data[0].ID)
	if err != nil {
		s.t.Fatal(err)
	}
	if main := plan.Main(live); main != nil {
		s.advance(main.CurrentPeriodEnd.Sub(s.now()))
	}
}

// collect waits for longer than an invoice is a draft.
func (s *simulated) collect() { s.advance(2 * time.Hour) }

func (s *simulated) declineCard() {
	s.call(http.MethodPost, "/_sim/payment-methods", map[string]any{"tenant": s.tenant, "outcome": "decline"}, nil)
}

func (s *simulated) net() int64 {
	var money struct{ Net int64 }
	s.call(http.MethodGet, "/_sim/charges?tenant="+s.tenant, nil, &money)
	var customers struct{ Data []struct{ Balance int64 } }
	s.call(http.MethodGet, "/v1/customers", nil, &customers)
	return money.Net + customers.Data[0].Balance // what a customer has as credit is negative
}
