package stripesim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"github.com/stripe/stripe-go/v76/webhook"

	"tenure/services/devstack/stripesim"
	"tenure/services/devstack/stripesim/openapi"
)

const (
	apiKey  = "sk_test_simulated"
	secrets = "whsec_first, whsec_second"
)

// sim is a simulator and a client of it. Every call that it accepts and every
// answer that it gives is held to Stripe's description.
type sim struct {
	t   *testing.T
	url string
	dir string
	api *client.API

	server *stripesim.Server
	stop   func()
}

func start(t *testing.T, configure ...func(*stripesim.Config)) *sim {
	t.Helper()
	return startIn(t, t.TempDir(), configure...)
}

func startIn(t *testing.T, dir string, configure ...func(*stripesim.Config)) *sim {
	t.Helper()
	cfg := stripesim.Config{Dir: dir, APIKey: apiKey, WebhookSecrets: secrets, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, change := range configure {
		change(&cfg)
	}
	server, err := stripesim.Open(t.Context(), cfg)
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
			t.Errorf("run: %v", err)
		}
	})
	front := httptest.NewServer(checker.Wrap(server.Handler(), t.Errorf))
	s := &sim{t: t, url: front.URL, dir: dir, api: newClient(front.URL, apiKey), server: server}
	s.stop = sync.OnceFunc(func() {
		front.CloseClientConnections()
		front.Close()
		cancel()
		running.Wait()
		if err := server.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// newClient does not retry by itself: a test must see each answer.
func newClient(url, key string) *client.API {
	return client.New(key, &stripe.Backends{API: stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL: stripe.String(url), MaxNetworkRetries: stripe.Int64(0), LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
		HTTPClient: &http.Client{Timeout: 20 * time.Second},
	})})
}

// control calls /_sim and decodes the answer into out, which may be nil.
func (s *sim) control(method, path string, in, out any) {
	s.t.Helper()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			s.t.Fatal(err)
		}
	}
	if status := s.send(method, path, &body, out); status != http.StatusOK {
		s.t.Fatalf("%s %s answers %d", method, path, status)
	}
}

// send decodes a good answer into out, which may be nil.
func (s *sim) send(method, path string, body io.Reader, out any) (status int) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+apiKey)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if out == nil || response.StatusCode != http.StatusOK {
		return response.StatusCode
	}
	if err := json.NewDecoder(response.Body).Decode(out); err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return response.StatusCode
}

type object = map[string]any

func (s *sim) advance(d time.Duration) {
	s.t.Helper()
	s.control(http.MethodPost, "/_sim/clock", object{"advance": d.String()}, nil)
}

// renew goes on until the subscription's next invoice has been tried.
func (s *sim) renew(sub *stripe.Subscription) {
	s.t.Helper()
	s.advance(time.Unix(sub.CurrentPeriodEnd, 0).Sub(s.now()) + 2*time.Hour)
}

// use reports usage of a metered item, now.
func (s *sim) use(item string, quantity int64) {
	s.t.Helper()
	record, err := s.api.UsageRecords.New(&stripe.UsageRecordParams{
		SubscriptionItem: &item, Quantity: &quantity, TimestampNow: stripe.Bool(true), Action: stripe.String("set"),
	})
	must(s.t, record, err)
}

func (s *sim) card(tenant, outcome string) {
	s.t.Helper()
	s.control(http.MethodPost, "/_sim/payment-methods", object{"tenant": tenant, "outcome": outcome}, nil)
}

func (s *sim) net(tenant string) int64 {
	s.t.Helper()
	var money struct {
		Net int64 `json:"net"`
	}
	s.control(http.MethodGet, "/_sim/charges?tenant="+tenant, nil, &money)
	return money.Net
}

// events are the types of a tenant's events, oldest first.
func (s *sim) events(tenant string) []string {
	s.t.Helper()
	var events []struct {
		Type string `json:"type"`
	}
	s.control(http.MethodGet, "/_sim/events?tenant="+tenant, nil, &events)
	types := make([]string, len(events))
	for i, e := range events {
		types[i] = e.Type
	}
	return types
}

type logged struct {
	Method, Path   string
	IdempotencyKey string `json:"idempotency_key"`
	Status         int
	Replayed       bool
	Applied        bool
	Params         object
}

func (s *sim) log() []logged {
	s.t.Helper()
	var calls []logged
	s.control(http.MethodGet, "/_sim/log", nil, &calls)
	return calls
}

// price makes a monthly price in cents.
func (s *sim) price(name string, cents int64) *stripe.Price {
	s.t.Helper()
	p, err := s.api.Prices.New(&stripe.PriceParams{
		Currency: stripe.String("usd"), UnitAmount: stripe.Int64(cents), LookupKey: stripe.String(name),
		ProductData: &stripe.PriceProductDataParams{Name: stripe.String(name)},
		Recurring:   &stripe.PriceRecurringParams{Interval: stripe.String("month")},
	})
	return must(s.t, p, err)
}

func (s *sim) customer(tenant string) *stripe.Customer {
	s.t.Helper()
	params := &stripe.CustomerParams{Name: stripe.String("Customer of " + tenant), Email: stripe.String(tenant + "@example.com")}
	params.AddMetadata("tenant_id", tenant)
	c, err := s.api.Customers.New(params)
	return must(s.t, c, err)
}

// subscribe makes a customer of a tenant and subscribes it.
func (s *sim) subscribe(tenant string, p *stripe.Price, change ...func(*stripe.SubscriptionParams)) *stripe.Subscription {
	s.t.Helper()
	params := &stripe.SubscriptionParams{
		Customer: stripe.String(s.customer(tenant).ID),
		Items:    []*stripe.SubscriptionItemsParams{{Price: stripe.String(p.ID)}},
	}
	params.AddMetadata("tenant_id", tenant)
	params.AddExpand("latest_invoice.payment_intent")
	for _, f := range change {
		f(params)
	}
	sub, err := s.api.Subscriptions.New(params)
	return must(s.t, sub, err)
}

func (s *sim) subscription(id string) *stripe.Subscription {
	s.t.Helper()
	params := &stripe.SubscriptionParams{}
	params.AddExpand("latest_invoice.payment_intent")
	sub, err := s.api.Subscriptions.Get(id, params)
	return must(s.t, sub, err)
}

// switchTo is an update of a subscription's only item.
func switchTo(sub *stripe.Subscription, p *stripe.Price, proration string) *stripe.SubscriptionParams {
	params := &stripe.SubscriptionParams{
		Items:             []*stripe.SubscriptionItemsParams{{ID: stripe.String(sub.Items.Data[0].ID), Price: stripe.String(p.ID)}},
		ProrationBehavior: stripe.String(proration),
	}
	params.AddExpand("latest_invoice.payment_intent")
	return params
}

// until waits for a condition that the simulator brings about by itself.
func (s *sim) until(what string, condition func() bool) {
	s.t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			s.t.Fatalf("%s did not happen in time", what)
		case <-tick.C:
		}
	}
}

// endpoint receives webhooks and checks their signatures with stripe-go.
type endpoint struct {
	url string

	mu     sync.Mutex
	status int
	got    []stripe.Event
}

func receive(t *testing.T, secret string) *endpoint {
	t.Helper()
	e := &endpoint{status: http.StatusOK}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // cut off by the simulator's end
		}
		event, err := webhook.ConstructEventWithOptions(body, r.Header.Get("Stripe-Signature"), secret,
			webhook.ConstructEventOptions{IgnoreAPIVersionMismatch: true, Tolerance: 5 * time.Minute})
		if err != nil {
			t.Errorf("verify a webhook: %v", err)
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.status == http.StatusOK {
			e.got = append(e.got, event)
		}
		w.WriteHeader(e.status)
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

func (e *endpoint) answer(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = status
}

func (e *endpoint) count(kind string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, event := range e.got {
		if string(event.Type) == kind {
			n++
		}
	}
	return n
}

// order is when each event came.
func (e *endpoint) order() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := map[string]int{}
	for i, event := range e.got {
		at[event.ID] = i
	}
	return at
}

func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}
