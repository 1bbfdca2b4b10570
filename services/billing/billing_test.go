package billing_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/jackc/pgx/v5/pgxpool"
	stripewebhook "github.com/stripe/stripe-go/v76/webhook"

	"tenure/services/billing"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/query"
	"tenure/shared/runner"
	"tenure/shared/testkit"
)

const soon = 20 * time.Second

// start runs the service on a real database and bus; Stripe is a server that knows nothing.
func start(t *testing.T) (*bus.Bus, http.Handler) {
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
	stripe := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"object":"list","data":[]}`))
	}))
	t.Cleanup(stripe.Close)
	mux := http.NewServeMux()
	service, err := billing.New(t.Context(), runner.Deps{
		Bus: b, Mux: mux, API: humago.New(mux, huma.DefaultConfig("billing", "test")), Open: open,
		Environ: runner.Environ{"STRIPE_API_KEY": "sk", "STRIPE_API_BASE": stripe.URL, "STRIPE_WEBHOOK_SECRET": "whsec"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := testkit.Receive(t, soon, done); err != nil {
			t.Errorf("the service stopped with %v", err)
		}
	})
	if err := service.Ready(t.Context()); err != nil {
		t.Errorf("not ready: %v", err)
	}
	return b, mux
}

// listen collects what is published to a subject.
func listen(t *testing.T, b *bus.Bus, subject string) <-chan events.Event {
	t.Helper()
	out := make(chan events.Event, 16)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- b.Consume(ctx, bus.ConsumerConfig{
			Name: "listener", Stream: bus.StreamEvents, Filters: []string{subject},
			Handler: func(_ context.Context, messages []bus.Message) (int, error) {
				for _, m := range messages {
					out <- m.Event
				}
				return len(messages), nil
			},
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	return out
}

func TestSignedWebhookIsPublishedOnce(t *testing.T) {
	b, handler := start(t)
	published := listen(t, b, "tenure.events.stripe.>")
	deliver := func(body string) {
		t.Helper()
		signed := stripewebhook.GenerateTestSignedPayload(&stripewebhook.UnsignedPayload{Payload: []byte(body), Secret: "whsec"})
		r := httptest.NewRequest(http.MethodPost, "/webhooks/stripe", strings.NewReader(body))
		r.Header.Set("Stripe-Signature", signed.Header)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatalf("answer %d %s", w.Code, w.Body)
		}
	}
	event := func(id string) string {
		return `{"id":"` + id + `","type":"invoice.paid","created":1,"data":{"object":{"id":"in_1","object":"invoice","customer":"cus_1","customer_email":"ann@example.com"}}}`
	}
	deliver(event("evt_1"))
	deliver(event("evt_1"))
	deliver(event("evt_2"))
	for sequence, id := range []string{"evt_1", "evt_2"} {
		e := testkit.Receive(t, soon, published)
		if e.Type != "tenure.stripe.invoice.paid.v1" || e.Subject != "_" || e.Sequence != int64(sequence+1) {
			t.Errorf("published %+v", e)
		}
		if data := string(e.Data); !strings.Contains(data, id) || strings.Contains(data, "ann") {
			t.Errorf("data %s, want ids alone, of %s", data, id)
		}
	}
}

func TestUsageIsMetered(t *testing.T) {
	b, _ := start(t)
	told := listen(t, b, "tenure.events.billing.acme.usage.updated")
	for range 2 {
		e, err := events.New(&events.UsageRecorded{Metric: "documents", Quantity: 3, Time: time.Now()}, "acme")
		if err != nil {
			t.Fatal(err)
		}
		e.ID, e.Source, e.Time = "use-1", "test", time.Now()
		if err := b.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	p, err := testkit.Receive(t, soon, told).Payload()
	if err != nil || p.(*events.UsageUpdated).Documents != 3 {
		t.Errorf("told %+v, %v", p, err)
	}
}

// TestQuoteIsAnswered for a tenant that Stripe does not know: its plan's price.
func TestQuoteIsAnswered(t *testing.T) {
	b, _ := start(t)
	ask := func(plan string) (got query.Quote, err error) {
		err = b.Ask(t.Context(), query.BillingQuote, query.QuoteRequest{Tenant: "acme", Generation: 1, Plan: plan}, &got)
		return got, err
	}
	testkit.WaitFor(t, soon, "a quote, once the service has subscribed", func() bool {
		got, err := ask("professional")
		return err == nil && got.DueNowCents == 19900 && got.NextCents == 19900
	})
	if _, err := ask("gold"); err == nil || !strings.Contains(err.Error(), "gold") {
		t.Errorf("a plan that is not there: %v", err)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for missing, environ := range map[string]runner.Environ{
		"STRIPE_API_KEY":              {"STRIPE_WEBHOOK_SECRET": "whsec"},
		"STRIPE_WEBHOOK_SECRET":       {"STRIPE_API_KEY": "sk", "STRIPE_WEBHOOK_SECRET": ","},
		"TENURE_STRIPE_RATE":          {"STRIPE_API_KEY": "sk", "STRIPE_WEBHOOK_SECRET": "whsec", "TENURE_STRIPE_RATE": "0"},
		"TENURE_RECONCILE_INTERVAL":   {"STRIPE_API_KEY": "sk", "STRIPE_WEBHOOK_SECRET": "whsec", "TENURE_RECONCILE_INTERVAL": "0s"},
		"TENURE_PLANS":                {"STRIPE_API_KEY": "sk", "STRIPE_WEBHOOK_SECRET": "whsec", "TENURE_PLANS": "no-such-file.yaml"},
		"TENURE_STRIPE_POLL_INTERVAL": {"STRIPE_API_KEY": "sk", "STRIPE_WEBHOOK_SECRET": "whsec", "TENURE_STRIPE_POLL_INTERVAL": "0s"},
	} {
		_, err := billing.New(t.Context(), runner.Deps{Environ: environ})
		if err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("error %v does not name %s", err, missing)
		}
	}
}
