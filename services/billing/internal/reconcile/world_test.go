package reconcile_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/reconcile"
	"tenure/services/billing/internal/store"
	"tenure/services/billing/internal/stripeapi"
	"tenure/services/billing/migrations"
	"tenure/services/devstack/stripesim" // of the workspace: the module itself does not need it
	"tenure/shared/bus"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/inbox"
	"tenure/shared/pg"
	"tenure/shared/plans"
	"tenure/shared/testkit"
)

// world is billing on a real database and a simulated Stripe that sends no webhooks.
type world struct {
	*testing.T
	db         *pgxpool.Pool
	log        *eventlog.Log
	store      *store.Store
	stripe     *stripeapi.Client
	stripeURL  string
	app        *app.App
	reconciler *reconcile.Reconciler
	handle     bus.Handler
	sequence   map[string]int64 // of the lifecycle, by tenant
	read       map[string]int64 // of billing's facts, by tenant
	notices    int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dbURL := testkit.Postgres(t)
	if err := pg.Migrate(t.Context(), dbURL, "billing", migrations.Files); err != nil {
		t.Fatal(err)
	}
	db, err := pg.Open(t.Context(), dbURL, "billing")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := inbox.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Open(t.Context(), db, eventlog.Config{Service: "billing"})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, db: db, log: log, store: store.New(db, log), sequence: map[string]int64{}, read: map[string]int64{}}
	w.stripeURL = simulate(t)
	w.stripe = stripeapi.New(stripeapi.Config{Key: "sk_test", Base: w.stripeURL, Catalogue: plans.Default()})
	w.app = app.New(w.store, w.stripe, plans.Default(), time.Now)
	w.handle = inbox.Reactor(db, "billing", app.Wants, w.app.React, nil)
	w.reconciler = reconcile.New(w.store, w.stripe, w.app, plans.Default())
	return w
}

func simulate(t *testing.T) string {
	t.Helper()
	sim, err := stripesim.Open(t.Context(), stripesim.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- sim.Run(ctx) }()
	front := httptest.NewServer(sim.Handler())
	t.Cleanup(func() {
		front.Close()
		stop()
		if err := errors.Join(<-done, sim.Close()); err != nil {
			t.Error(err)
		}
	})
	return front.URL
}

// send lets billing handle what the lifecycle tells of a tenant.
func (w *world) send(tenant string, payloads ...events.Payload) {
	w.Helper()
	for _, p := range payloads {
		if err := w.deliver(w.event(tenant, p)); err != nil {
			w.Fatalf("%s of %s: %v", p.EventType(), tenant, err)
		}
	}
}

func (w *world) event(tenant string, p events.Payload) events.Event {
	w.Helper()
	e, err := events.New(p, tenant)
	if err != nil {
		w.Fatal(err)
	}
	w.sequence[tenant]++
	e.Source, e.Sequence, e.Time = "tenure/lifecycle", w.sequence[tenant], time.Now()
	e.ID = tenant + "." + strconv.FormatInt(e.Sequence, 10)
	return e
}

func (w *world) deliver(e events.Event) error {
	_, err := w.handle(w.Context(), []bus.Message{{Event: e}})
	return err
}

// active signs a tenant up for a plan; everything is told.
func (w *world) active(tenant, name string) {
	w.Helper()
	p, _ := plans.Default().Find(name)
	w.send(tenant, &events.TenantRegistered{Plan: name, RequiresPayment: !p.Free(), Generation: 1})
	if !p.Free() {
		w.send(tenant, &events.PaymentConfirmed{})
	}
	w.facts(tenant)
}

// webhook is how billing hears of what was done at Stripe by hand.
func (w *world) webhook(tenant string) {
	w.Helper()
	w.notices++
	n := events.StripeNotice{EventID: "evt_" + strconv.Itoa(w.notices), Type: "customer.subscription.updated", CustomerID: w.customer(tenant)}
	e, err := events.New(&n, tenant)
	if err != nil {
		w.Fatal(err)
	}
	e.ID, e.Source = n.EventID, "tenure/billing"
	if err := w.deliver(e); err != nil {
		w.Fatal(err)
	}
	w.facts(tenant)
}

// facts are the names of what billing has told of a tenant since the last call.
func (w *world) facts(tenant string) (names []string) {
	w.Helper()
	for _, r := range w.recorded(tenant) {
		names = append(names, r.Name())
	}
	return names
}

func (w *world) recorded(tenant string) []eventlog.Recorded {
	w.Helper()
	all, err := w.log.Read(w.Context(), w.db, tenant, w.read[tenant], 100)
	if err != nil {
		w.Fatal(err)
	}
	w.read[tenant] += int64(len(all))
	return all
}

// found are the drift.found among what was told since the last call.
func (w *world) found(tenant string) (out []events.DriftFound) {
	w.Helper()
	for _, r := range w.recorded(tenant) {
		if p, err := r.Payload(); err == nil && r.Name() == "drift.found" {
			out = append(out, *p.(*events.DriftFound))
		}
	}
	return out
}

func (w *world) account(tenant string) store.Account {
	w.Helper()
	a, err := w.store.Latest(w.Context(), tenant)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

func (w *world) customer(tenant string) string { w.Helper(); return w.account(tenant).CustomerID }

func (w *world) main(tenant string) plan.Subscription {
	w.Helper()
	all, err := w.stripe.Subscriptions(w.Context(), w.customer(tenant))
	if err != nil {
		w.Fatal(err)
	}
	if main := plan.Main(all); main != nil {
		return *main
	}
	return plan.Subscription{}
}

func (w *world) heal() reconcile.Report {
	w.Helper()
	report, err := w.reconciler.Heal(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return report
}

// byHand does at Stripe what a person does in its dashboard, and returns the object's id.
func (w *world) byHand(method, path string, form url.Values) string {
	w.Helper()
	content := w.call(method, path, "application/x-www-form-urlencoded", form.Encode())
	var object struct {
		ID   string
		Data []struct{ ID string }
	}
	if err := json.Unmarshal(content, &object); err != nil {
		w.Fatal(err)
	}
	if len(object.Data) > 0 {
		return object.Data[0].ID
	}
	return object.ID
}

// control calls what the simulator has beside Stripe's API.
func (w *world) control(method, path, body string) []byte {
	w.Helper()
	return w.call(method, path, "application/json", body)
}

func (w *world) call(method, path, kind, body string) []byte {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, w.stripeURL+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk_test")
	r.Header.Set("Content-Type", kind)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		w.Fatalf("%s %s: %s %s (%v)", method, path, answer.Status, content, err)
	}
	return content
}

// price is the plan's at Stripe; billing makes it when it needs it first.
func (w *world) price(name string) string {
	w.Helper()
	id := w.byHand(http.MethodGet, "/v1/prices?lookup_keys[]=tenure_"+name+"_monthly", nil)
	if id == "" {
		w.Fatalf("there is no price of %s yet", name)
	}
	return id
}

// charged is what all tenants have paid, refunds taken off, in cents.
func (w *world) charged() (net int64) {
	w.Helper()
	for tenant := range w.sequence {
		var money struct{ Net int64 }
		if err := json.Unmarshal(w.control(http.MethodGet, "/_sim/charges?tenant="+tenant, ""), &money); err != nil {
			w.Fatal(err)
		}
		net += money.Net
	}
	return net
}

// half is a Stripe that goes away in the middle of its list.
type half struct{ reconcile.Stripe }

func (h half) AllSubscriptions(ctx context.Context) iter.Seq2[plan.Subscription, error] {
	return func(yield func(plan.Subscription, error) bool) { yield(plan.Subscription{}, errors.New("no answer")) }
}
