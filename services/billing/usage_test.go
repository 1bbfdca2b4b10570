package billing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/billing"
	"tenure/services/devstack/stripesim" // of the workspace: the module itself does not need it
	"tenure/shared/bus"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/runner"
	"tenure/shared/testkit"
)

const usagePlans = `
plans:
  - {name: free}
  - {name: starter, price_cents: 4900, limits: {queries: 20000}, included: {queries: 100}}
usage:
  - {metric: queries, cents: 0.5}
`

// metered is the billing service beside a simulated Stripe, on a real database and bus.
type metered struct {
	t      *testing.T
	bus    *bus.Bus
	stripe string // the simulator's address
}

func startMetered(t *testing.T) *metered {
	t.Helper()
	url := testkit.Postgres(t)
	if err := bus.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	open := func(ctx context.Context, schema string) (*pgxpool.Pool, error) {
		if err := pg.CreateSchema(ctx, url, schema); err != nil {
			return nil, err
		}
		pool, err := pg.Open(ctx, url, schema)
		if err == nil {
			t.Cleanup(pool.Close)
		}
		return pool, err
	}
	letters, err := open(t.Context(), bus.Schema)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bus.Connect(t.Context(), bus.Config{URL: testkit.NATS(t).URL(), Name: "test", DB: letters})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.EnsureTopology(t.Context()); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	hooks := httptest.NewServer(mux)
	t.Cleanup(hooks.Close)
	m := &metered{t: t, bus: b, stripe: simulate(t, hooks.URL+"/webhooks/stripe")}
	file := filepath.Join(t.TempDir(), "plans.yaml")
	if err := os.WriteFile(file, []byte(usagePlans), 0o600); err != nil {
		t.Fatal(err)
	}
	service, err := billing.New(t.Context(), runner.Deps{
		Bus: b, Mux: mux, API: humago.New(mux, huma.DefaultConfig("billing", "test")), Open: open,
		Environ: runner.Environ{
			"STRIPE_API_KEY": "sk", "STRIPE_API_BASE": m.stripe, "STRIPE_WEBHOOK_SECRET": "whsec", "TENURE_PLANS": file,
			"TENURE_STRIPE_RATE": "1000", "TENURE_USAGE_REPORT_INTERVAL": "50ms",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, "the service", service.Run)
	return m
}

// simulate starts a Stripe and returns its address.
func simulate(t *testing.T, webhooks string) string {
	t.Helper()
	server, err := stripesim.Open(t.Context(), stripesim.Config{
		Dir: t.TempDir(), WebhookURL: webhooks, WebhookSecrets: "whsec", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	run(t, "the simulator", server.Run)
	front := httptest.NewServer(server.Handler())
	t.Cleanup(front.Close)
	return front.URL
}

// run runs something until the test ends.
func run(t *testing.T, what string, do func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := testkit.Receive(t, soon, done); err != nil {
			t.Errorf("%s stopped with %v", what, err)
		}
	})
}

// call asks the simulator, as a browser would.
func (m *metered) call(method, path string, in, out any) {
	m.t.Helper()
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			m.t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(m.t.Context(), method, m.stripe+path, &body)
	if err != nil {
		m.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		m.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		m.t.Fatalf("%s %s answers %d", method, path, answer.StatusCode)
	}
	if err := json.NewDecoder(answer.Body).Decode(out); err != nil {
		m.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// register has a tenant sign up, and returns when Stripe has its subscription.
func (m *metered) register(tenant string, told <-chan events.Event) {
	m.t.Helper()
	e, err := events.New(&events.TenantRegistered{Plan: "starter", RequiresPayment: true, Generation: 1}, tenant)
	if err != nil {
		m.t.Fatal(err)
	}
	e.ID, e.Source, e.Sequence, e.Time = tenant+".1", "tenure/lifecycle", 1, time.Now()
	if err := m.bus.Publish(m.t.Context(), e); err != nil {
		m.t.Fatal(err)
	}
	m.await(told, &events.BillingPaymentConfirmed{})
}

// await takes the next event of this type and passes over others.
func (m *metered) await(told <-chan events.Event, want events.Payload) events.Payload {
	m.t.Helper()
	for {
		e := testkit.Receive(m.t, time.Minute, told)
		if e.Type != want.EventType() {
			continue
		}
		p, err := e.Payload()
		if err != nil {
			m.t.Fatal(err)
		}
		return p
	}
}

// publish sends uses from several publishers at once. Each has a source of its own, so that the server does not know
// duplicates by their message ids.
func (m *metered) publish(tenant string, publishers int, uses []events.Event) {
	m.t.Helper()
	var sending sync.WaitGroup
	for p := range publishers {
		sending.Go(func() {
			var batch []eventlog.Message
			for i := p; i < len(uses); i += publishers {
				e := uses[i]
				e.Source = fmt.Sprint("publisher-", p)
				body, err := events.Encode(e)
				if err != nil {
					m.t.Error(err)
					return
				}
				batch = append(batch, eventlog.Message{Subject: "tenure.usage." + tenant, ID: e.Source + "/" + e.ID, Data: body})
			}
			if n, err := m.bus.PublishBatch(m.t.Context(), batch); err != nil || n != len(batch) {
				m.t.Errorf("published %d of %d, %v", n, len(batch), err)
			}
		})
	}
	sending.Wait()
}

func queries(t *testing.T, tenant, id string, quantity float64) events.Event {
	t.Helper()
	e, err := events.New(&events.UsageRecorded{Metric: "queries", Quantity: quantity, Time: time.Now()}, tenant)
	if err != nil {
		t.Fatal(err)
	}
	e.ID, e.Time = id, time.Now()
	return e
}

// charged is the line for queries on the tenant's invoices: its quantities and cents, oldest first.
func (m *metered) charged() (quantities, cents []int64) {
	m.t.Helper()
	var invoices struct {
		Data []struct {
			Status string
			Lines  struct {
				Data []struct {
					Amount, Quantity int64
					Price            struct {
						Recurring struct {
							UsageType string `json:"usage_type"`
						}
					}
				}
			}
		}
	}
	m.call(http.MethodGet, "/v1/invoices?limit=100", nil, &invoices)
	for _, invoice := range invoices.Data {
		for _, line := range invoice.Lines.Data {
			if line.Price.Recurring.UsageType == "metered" && invoice.Status == "paid" {
				quantities, cents = append([]int64{line.Quantity}, quantities...), append([]int64{line.Amount}, cents...)
			}
		}
	}
	return quantities, cents
}

// reported waits until Stripe was told a total.
func (m *metered) reported(total int64) {
	m.t.Helper()
	testkit.WaitFor(m.t, time.Minute, fmt.Sprintf("a total of %d at Stripe", total), func() bool {
		var calls []struct {
			Path   string
			Params map[string]any
			Status int
		}
		m.call(http.MethodGet, "/_sim/log", nil, &calls)
		for i := len(calls) - 1; i >= 0; i-- {
			if quantity, ok := calls[i].Params["quantity"]; ok && calls[i].Status == http.StatusOK {
				return fmt.Sprint(quantity) == fmt.Sprint(total)
			}
		}
		return false
	})
}

func (m *metered) advance(by time.Duration) {
	m.t.Helper()
	var ignored any
	m.call(http.MethodPost, "/_sim/clock", map[string]string{"advance": by.String()}, &ignored)
}

// TestInvoiceIsTheDistinctSum of 10,000 uses, 1% of them duplicates, from 4 publishers at once, while reports to Stripe
// fail and answers are lost; then of what comes after the period's end.
func TestInvoiceIsTheDistinctSum(t *testing.T) {
	const tenant = "acme"
	m := startMetered(t)
	told := listen(t, m.bus, "tenure.events.billing."+tenant+".>")
	m.register(tenant, told)

	var uses []events.Event
	sum := int64(0)
	for i := range 9_900 {
		quantity := int64(1 + i%3)
		uses = append(uses, queries(t, tenant, fmt.Sprint("use-", i), float64(quantity)))
		sum += quantity
	}
	for i := range 100 { // the same id from another publisher
		uses = append(uses, queries(t, tenant, fmt.Sprint("use-", i*99+1), float64(1+(i*99+1)%3)))
	}
	var ignored any
	for _, outcome := range []any{"drop_after_apply", 500, "drop_after_apply"} { // reports do arrive, or fail, and are lost
		m.call(http.MethodPost, "/_sim/faults", map[string]any{"path_prefix": "/v1/subscription_items", "outcome": outcome, "times": 2}, &ignored)
	}
	m.publish(tenant, 4, uses)
	m.reported(sum - 100)

	m.advance(31*24*time.Hour + 2*time.Hour) // the period ends, and the draft of its invoice is finalized
	billed := m.await(told, &events.UsageBilled{}).(*events.UsageBilled)
	if billed.Quantity != sum-100 || billed.Metric != "queries" {
		t.Errorf("told %+v, want %d billed", billed, sum-100)
	}
	m.publish(tenant, 2, []events.Event{uses[7], queries(t, tenant, "late", 300), uses[8]})
	m.reported(300 - 100)
	m.advance(31*24*time.Hour + 2*time.Hour)
	m.await(told, &events.UsageBilled{})
	quantities, cents := m.charged()
	if fmt.Sprint(quantities) != fmt.Sprint([]int64{sum - 100, 200}) || fmt.Sprint(cents) != fmt.Sprint([]int64{(sum - 100) / 2, 100}) {
		t.Errorf("invoices charge %v for %v cents; %d were used, then 300, and 100 are included in each period", quantities, cents, sum)
	}
}
