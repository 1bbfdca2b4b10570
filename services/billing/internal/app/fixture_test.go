package app_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/services/billing/migrations"
	"tenure/shared/bus"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/inbox"
	"tenure/shared/pg"
	"tenure/shared/plans"
	"tenure/shared/testkit"
)

const tenant = "acme"

// now is what the app takes for the time.
var now = time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)

// fixture is billing on a real database with a fake Stripe; deliver plays the bus.
type fixture struct {
	*testing.T
	tenant   string
	stripe   *fakeStripe
	store    *store.Store
	db       *pgxpool.Pool
	log      *eventlog.Log
	app      *app.App
	handle   bus.Handler
	sequence map[string]int64 // by stream
	read     int64            // facts already looked at
	notices  int
}

// of returns a fixture for another tenant, with a fake Stripe of its own, on the same database.
func (f *fixture) of(t *testing.T, tenant string) *fixture {
	fake := newFakeStripe()
	other := f.with(t, tenant, fake)
	other.stripe = fake
	return other
}

// with is of with a Stripe that is at hand.
func (f *fixture) with(t *testing.T, tenant string, stripe app.Stripe) *fixture {
	other := &fixture{T: t, tenant: tenant, store: f.store, db: f.db, log: f.log, sequence: map[string]int64{}}
	other.app = app.New(f.store, stripe, plans.Default(), func() time.Time { return now })
	other.handle = inbox.Reactor(f.db, "billing", app.Wants, other.app.React, nil)
	return other
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return database(t).of(t, tenant)
}

// database is a fixture without a Stripe.
func database(t *testing.T) *fixture {
	t.Helper()
	url := testkit.Postgres(t)
	if err := pg.Migrate(t.Context(), url, "billing", migrations.Files); err != nil {
		t.Fatal(err)
	}
	db, err := pg.Open(t.Context(), url, "billing")
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
	return &fixture{store: store.New(db, log), db: db, log: log}
}

// event makes the next event of its service's log about the tenant.
func (f *fixture) event(p events.Payload) events.Event {
	f.Helper()
	e, err := events.New(p, f.tenant)
	if err != nil {
		f.Fatal(err)
	}
	stream := e.Service() + "/" + f.tenant
	f.sequence[stream]++
	e.Sequence, e.Source, e.Time = f.sequence[stream], "tenure/lifecycle", now
	e.ID, e.CorrelationID = stream+"."+strconv.FormatInt(e.Sequence, 10), "command-1"
	return e
}

// deliver hands an event over as often as the bus would.
func (f *fixture) deliver(e events.Event) {
	f.Helper()
	for range 5 {
		_, err := f.handle(f.Context(), []bus.Message{{Event: e}})
		if err == nil {
			return
		}
		if _, waits := fault.Delay(err); !waits {
			f.Fatalf("%s: %v", e.Type, err)
		}
	}
	f.Fatalf("%s still waits", e.Type)
}

func (f *fixture) send(p events.Payload) { f.Helper(); f.deliver(f.event(p)) }

// told returns what was told since the last call: names without version.
func (f *fixture) told() []string {
	f.Helper()
	var names []string
	for _, r := range f.toldEvents() {
		names = append(names, r.Name())
	}
	return names
}

func (f *fixture) toldEvents() []eventlog.Recorded {
	f.Helper()
	all, err := f.log.Read(f.Context(), f.db, f.tenant, f.read, 100)
	if err != nil {
		f.Fatal(err)
	}
	f.read += int64(len(all))
	return all
}

func (f *fixture) wantTold(want ...string) {
	f.Helper()
	if diff := cmp.Diff(want, f.told()); diff != "" {
		f.Errorf("told (-want +got):\n%s", diff)
	}
}

func (f *fixture) signUp(name string) {
	f.Helper()
	f.send(&events.TenantRegistered{Plan: name, RequiresPayment: true, Generation: 1})
	f.wantTold("subscription.created", "payment.confirmed")
}

// bill is the step of an operation for which billing is asked.
func bill(operation, from, to string) *events.StepRequested {
	return &events.StepRequested{StepRequest: events.StepRequest{
		StepID: operation + "-1", OperationID: operation, Operation: strings.TrimRight(operation, "0123456789"),
		Participant: "billing", Action: "bill", Attempt: 1, FromPlan: from, ToPlan: to, Generation: 1, Deadline: now.Add(time.Minute),
	}}
}

func undo(s *events.StepRequested) *events.StepRequested {
	back := *s
	back.StepID += "-undo"
	back.Compensate, back.FromPlan, back.ToPlan = true, s.ToPlan, s.FromPlan
	return &back
}

func (f *fixture) subscription() plan.Subscription {
	f.Helper()
	s := plan.Main(f.stripe.subs)
	if s == nil {
		return plan.Subscription{}
	}
	return *s
}

// news delivers what Stripe tells of a customer, as the webhook stores and the relay publishes it.
func (f *fixture) news(customer, kind string) {
	f.Helper()
	f.take(customer, kind)
	f.deliverNews(f.tenant)
}

// take stores what Stripe tells of a customer.
func (f *fixture) take(customer, kind string) {
	f.Helper()
	f.notices++
	id := "evt_" + f.tenant + "_" + strconv.Itoa(f.notices)
	n := plan.Notice{Tenant: f.tenant, StripeNotice: events.StripeNotice{EventID: id, Type: kind, CustomerID: customer, Created: now}}
	if err := f.store.Take(f.Context(), n); err != nil {
		f.Fatal(err)
	}
}

// deliverNews delivers what the log has in a stream of Stripe's events and was not delivered yet.
func (f *fixture) deliverNews(of string) {
	f.Helper()
	for _, e := range f.undelivered(of) {
		f.deliver(e)
	}
}

func (f *fixture) undelivered(of string) (out []events.Event) {
	f.Helper()
	stream := "stripe/" + of
	all, err := f.log.Read(f.Context(), f.db, stream, f.sequence[stream], 100)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range all {
		f.sequence[stream]++
		out = append(out, r.Event)
	}
	return out
}

// losesAll lets the event's work be done and its outcome be lost, then lets the step's time run out.
func (f *fixture) losesAll(e events.Event) {
	f.Helper()
	f.stripe.lose = true
	if _, err := f.handle(f.Context(), []bus.Message{{Event: e}}); err == nil {
		f.Fatal("nothing was lost")
	}
	late := func() time.Time { return now.Add(time.Hour) }
	a := app.New(f.store, f.stripe, plans.Default(), late)
	handle := inbox.Reactor(f.db, "billing", app.Wants, a.React, nil)
	if _, err := handle(f.Context(), []bus.Message{{Event: e}}); err != nil {
		f.Fatal(err)
	}
}
