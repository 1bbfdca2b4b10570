package app_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
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
	"tenure/shared/testkit"
)

const tenant = "acme"

// now is what the app takes for the time.
var now = time.Date(2026, 1, 10, 12, 0, 0, 0, time.UTC)

// fixture is billing on a real database with a fake Stripe; deliver plays the bus.
type fixture struct {
	*testing.T
	stripe   *fakeStripe
	store    *store.Store
	db       *pgxpool.Pool
	log      *eventlog.Log
	handle   bus.Handler
	sequence map[string]int64 // by service
	read     int64            // facts already looked at
	notices  int
}

func newFixture(t *testing.T) *fixture {
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
	f := &fixture{T: t, stripe: newFakeStripe(), store: store.New(db, log), db: db, log: log, sequence: map[string]int64{}}
	a := app.New(f.store, f.stripe, plan.Default(), func() time.Time { return now })
	f.handle = inbox.Reactor(db, "billing", app.Wants, a.React, nil)
	return f
}

// event makes the next event of its service's log about the tenant.
func (f *fixture) event(p events.Payload) events.Event {
	f.Helper()
	e, err := events.New(p, tenant)
	if err != nil {
		f.Fatal(err)
	}
	service := e.Service()
	f.sequence[service]++
	e.Sequence, e.Source = f.sequence[service], "tenure/lifecycle"
	e.ID, e.CorrelationID = service+"/"+tenant+"."+strconv.FormatInt(e.Sequence, 10), "command-1"
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
	all, err := f.log.Read(f.Context(), f.db, tenant, f.read, 100)
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

func TestSignUp(t *testing.T) {
	f := newFixture(t)
	registered := f.event(&events.TenantRegistered{Plan: "starter", RequiresPayment: true, Generation: 1})
	f.deliver(registered)
	f.wantTold("subscription.created", "payment.confirmed")
	f.deliver(registered)
	f.wantTold()
	if f.stripe.net() != 4900 || len(f.stripe.subs) != 1 {
		t.Errorf("charged %d for %d subscriptions", f.stripe.net(), len(f.stripe.subs))
	}
}

func TestSignUpForFreeAsksNothingOfStripe(t *testing.T) {
	f := newFixture(t)
	f.send(&events.TenantRegistered{Plan: "free", Generation: 1})
	f.wantTold()
	if len(f.stripe.keys) != 0 {
		t.Errorf("calls %v", f.stripe.keys)
	}
}

func TestSignUpForTrial(t *testing.T) {
	f := newFixture(t)
	end := now.Add(14 * 24 * time.Hour)
	f.send(&events.TenantRegistered{Plan: "starter", Generation: 1, TrialDays: 14, TrialEndsAt: &end})
	f.wantTold("subscription.created", "payment.confirmed")
	if f.stripe.net() != 0 {
		t.Errorf("a trial was charged %d", f.stripe.net())
	}
}

func TestDeclinedSignUpWaitsForItsPayment(t *testing.T) {
	f := newFixture(t)
	f.stripe.decline = true
	f.send(&events.TenantRegistered{Plan: "starter", RequiresPayment: true, Generation: 1})
	f.wantTold("subscription.created")

	f.stripe.subs[0].Status = plan.Active
	f.news("cus_acme1", "invoice.paid")
	f.wantTold("payment.confirmed")
}

// TestLostAnswers loses the answer of each call in turn: the second try finds, or is replayed, what the first has done.
func TestLostAnswers(t *testing.T) {
	for calls := range 2 { // customer, subscription
		f := newFixture(t)
		registered := f.event(&events.TenantRegistered{Plan: "starter", RequiresPayment: true, Generation: 1})
		f.stripe.lose = calls == 0
		if calls == 1 { // the customer is there, as after a crash
			_, err := f.store.Open(t.Context(), store.Account{Tenant: tenant, Generation: 1, CustomerID: "cus_acme1"})
			if err != nil {
				t.Fatal(err)
			}
			f.stripe.lose = true
		}
		f.deliver(registered)
		f.wantTold("subscription.created", "payment.confirmed")
		if len(f.stripe.subs) != 1 || f.stripe.net() != 4900 {
			t.Errorf("%d subscriptions, net %d", len(f.stripe.subs), f.stripe.net())
		}
	}
}

func TestUpgrade(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.send(bill("upgrade1", "starter", "professional"))
	got := f.toldEvents()
	if len(got) != 2 || got[0].Name() != "subscription.changed" || got[1].Name() != "step.completed" {
		t.Fatalf("told %v", got)
	}
	if p, err := got[0].Payload(); err != nil || p.(*events.SubscriptionChanged).StepID != "upgrade1-1" {
		t.Errorf("the fact names step %v, %v", p, err)
	}
	if got[1].Type != "tenure.billing.step.completed.v1" || got[1].CorrelationID != "command-1" || got[1].CausationID == "" {
		t.Errorf("answer %+v", got[1].Event)
	}
	if f.subscription().Plan != "professional" || f.stripe.net() != 19900 {
		t.Errorf("on %s, net %d", f.subscription().Plan, f.stripe.net())
	}
}

func TestDeclinedUpgrade(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.stripe.decline = true
	step := bill("upgrade1", "starter", "professional")
	f.send(step)
	got := f.toldEvents()
	if len(got) != 1 || got[0].Name() != "step.failed" {
		t.Fatalf("told %v", got)
	}
	if a, err := got[0].DecodeAnswer(); err != nil || !a.Permanent || a.Error != "Your card was declined." {
		t.Errorf("answer %+v, %v", a, err)
	}
	f.send(undo(step))
	f.wantTold("step.completed")
	if f.subscription().Plan != "starter" || f.stripe.net() != 4900 {
		t.Errorf("on %s, net %d", f.subscription().Plan, f.stripe.net())
	}
}

func TestStepAskedAgainIsAnsweredAgain(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	step := bill("upgrade1", "starter", "professional")
	f.send(step)
	f.told()
	before := f.stripe.changes
	again := *step
	again.Attempt = 2
	f.send(&again)
	f.wantTold("step.completed")
	if f.stripe.changes != before {
		t.Errorf("%d more changes", f.stripe.changes-before)
	}
}

func TestUpgradeWhoseAnswerIsLost(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.stripe.lose = true
	f.send(bill("upgrade1", "starter", "professional"))
	f.wantTold("subscription.changed", "step.completed")
	if f.stripe.net() != 19900 {
		t.Errorf("net %d", f.stripe.net())
	}
}

func TestKeyThatFailedIsRenewed(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.stripe.fail = true
	f.send(bill("upgrade1", "starter", "professional"))
	f.wantTold("subscription.changed", "step.completed")
	keys := f.stripe.keys[len(f.stripe.keys)-2:]
	if keys[0] == keys[1] {
		t.Errorf("Stripe was asked again by the key it had failed: %v", keys)
	}
}

func TestStepPastItsDeadlineIsLeftAlone(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	step := bill("upgrade1", "starter", "professional")
	step.Deadline = now.Add(-time.Second)
	f.send(step)
	f.wantTold()
	if f.subscription().Plan != "starter" {
		t.Error("changed for nobody")
	}
}

// TestUndoLeavesTheMoneyAsItWas takes back every kind of change, and the change whose answer nobody ever got.
func TestUndoLeavesTheMoneyAsItWas(t *testing.T) {
	tests := []struct{ name, operation, from, to string }{
		{"upgrade", "upgrade1", "starter", "professional"},
		{"downgrade", "downgrade1", "professional", "starter"},
		{"to free", "downgrade1", "starter", "free"},
		{"from free", "upgrade1", "free", "starter"},
	}
	for _, tt := range tests {
		for _, answered := range []bool{true, false} {
			t.Run(tt.name+"/answered="+strconv.FormatBool(answered), func(t *testing.T) {
				f := newFixture(t)
				if tt.from != "free" {
					f.signUp(tt.from)
				}
				was, net, credit := f.subscription(), f.stripe.net(), f.stripe.credit
				step := bill(tt.operation, tt.from, tt.to)
				request := f.event(step)
				if answered {
					f.deliver(request)
				} else {
					f.losesAll(request)
				}
				f.send(undo(step))
				told := f.told()
				if told[len(told)-1] != "step.completed" {
					t.Errorf("told %v", told)
				}
				got := f.subscription()
				got.LatestInvoice, was.LatestInvoice = "", ""
				if got != was {
					t.Errorf("subscription is %+v, was %+v", got, was)
				}
				if f.stripe.net() != net || f.stripe.credit != credit {
					t.Errorf("net %d and credit %d, were %d and %d", f.stripe.net(), f.stripe.credit, net, credit)
				}
			})
		}
	}
}

// losesAll lets the event's work be done and its outcome be lost, then lets the step's time run out.
func (f *fixture) losesAll(e events.Event) {
	f.Helper()
	f.stripe.lose = true
	if _, err := f.handle(f.Context(), []bus.Message{{Event: e}}); err == nil {
		f.Fatal("nothing was lost")
	}
	late := func() time.Time { return now.Add(time.Hour) }
	a := app.New(f.store, f.stripe, plan.Default(), late)
	handle := inbox.Reactor(f.db, "billing", app.Wants, a.React, nil)
	if _, err := handle(f.Context(), []bus.Message{{Event: e}}); err != nil {
		f.Fatal(err)
	}
}

func TestDowngradeToFreeEndsWithTheOperation(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.send(bill("downgrade1", "starter", "free"))
	f.wantTold("subscription.cancelled", "step.completed")
	if s := f.subscription(); !s.CancelAtPeriodEnd || s.Status != plan.Active {
		t.Errorf("before the switch the way back is closed: %+v", s)
	}
	f.send(&events.DowngradeCompleted{OperationID: "downgrade1", FromPlan: "starter", Plan: "free"})
	f.wantTold("subscription.cancelled")
	if s := f.subscription(); s.ID != "" {
		t.Errorf("still live: %+v", s)
	}
}

func TestLeavingReturningAndPurge(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.send(&events.DeletionRequested{})
	f.wantTold("subscription.cancelled")
	f.send(bill("reactivate1", "starter", "starter"))
	f.wantTold("subscription.changed", "step.completed")
	if f.subscription().CancelAtPeriodEnd {
		t.Error("still leaving")
	}
	f.send(&events.DeletionRequested{})
	f.send(bill("purge1", "starter", ""))
	f.wantTold("subscription.cancelled", "subscription.cancelled", "step.completed")
	if len(f.stripe.subs) != 1 || f.stripe.net() != 4900 {
		t.Errorf("%d subscriptions, net %d", len(f.stripe.subs), f.stripe.net())
	}

	// Late news of the life that is over, then a new one.
	f.stripe.subs[0].Status = plan.PastDue
	f.news("cus_acme1", "invoice.payment_failed")
	f.wantTold()
	f.send(&events.TenantReborn{Plan: "professional", Generation: 2})
	f.wantTold("subscription.created", "payment.confirmed")
	f.news("cus_acme1", "invoice.payment_failed")
	f.wantTold()
}

func TestReactivationAfterTheSubscriptionIsGone(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.stripe.subs[0].Status = plan.Canceled
	f.send(bill("reactivate1", "starter", "starter"))
	f.wantTold("subscription.created", "step.completed")
	if f.subscription().ID != "sub_2" {
		t.Errorf("on %+v", f.subscription())
	}
}

func TestReactivationWithAnUnpaidSubscriptionFails(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.stripe.subs[0].Status = plan.Unpaid
	f.send(bill("reactivate1", "starter", "starter"))
	f.wantTold("payment.failed", "step.failed")
}

func TestUnknownPlanFailsTheStep(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.send(bill("upgrade1", "starter", "gold"))
	f.wantTold("step.failed")
}

func TestAbandonedSignUpIsRefunded(t *testing.T) {
	for _, end := range []events.Payload{&events.SignupAbandoned{}, &events.ProvisioningRolledBack{}} {
		f := newFixture(t)
		f.signUp("starter")
		f.send(end)
		f.wantTold("subscription.cancelled")
		if f.stripe.net() != 0 || f.subscription().ID != "" {
			t.Errorf("after %s: net %d, %+v", end.EventType(), f.stripe.net(), f.subscription())
		}
		f.send(&events.TenantRegistered{Plan: "starter", RequiresPayment: true, Generation: 1})
		f.wantTold("subscription.created", "payment.confirmed")
	}
}

// news delivers what Stripe tells of a customer, as the webhook stores and the relay publishes it.
func (f *fixture) news(customer, kind string) {
	f.Helper()
	f.notices++
	n := plan.Notice{EventID: "evt_" + strconv.Itoa(f.notices), Type: kind, CustomerID: customer, Created: now}
	if err := f.store.Take(f.Context(), n); err != nil {
		f.Fatal(err)
	}
	f.deliverNews(tenant)
}

// deliverNews delivers what the log has in a stream of Stripe's events and was not delivered yet.
func (f *fixture) deliverNews(of string) {
	f.Helper()
	all, err := f.log.Read(f.Context(), f.db, "stripe/"+of, f.sequence["stripe/"+of], 100)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range all {
		f.sequence["stripe/"+of]++
		f.deliver(r.Event)
	}
}

func TestNewsTellOnlyWhatChanged(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.news("cus_acme1", "customer.subscription.created")
	f.wantTold()
	f.stripe.subs[0].Status = plan.PastDue
	f.news("cus_acme1", "invoice.paid") // whatever it says, what is live counts
	f.wantTold("payment.failed")
	f.news("cus_acme1", "invoice.payment_failed")
	f.wantTold()
	f.stripe.subs[0].Status = plan.Active
	f.news("cus_acme1", "invoice.payment_failed")
	f.wantTold("payment.recovered")
}

func TestNewsOfAnUnknownCustomerWaitForTheTenant(t *testing.T) {
	f := newFixture(t)
	early := plan.Notice{EventID: "evt_early", Type: "customer.subscription.created", CustomerID: "cus_acme1", Created: now}
	for range 2 { // a duplicate
		if err := f.store.Take(t.Context(), early); err != nil {
			t.Fatal(err)
		}
	}
	f.deliverNews(plan.NoTenant)
	f.signUp("starter")
	got, err := f.log.Read(t.Context(), f.db, "stripe/"+tenant, 0, 10)
	if err != nil || len(got) != 1 || !strings.Contains(string(got[0].Data), "evt_early") {
		t.Fatalf("published for the tenant: %v, %v", got, err)
	}
	f.deliverNews(tenant)
	f.wantTold()
}

// TestOlderLookNeverWins: a look at Stripe that was stored in between makes the event look again.
func TestOlderLookNeverWins(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.stripe.subs[0].Status = plan.PastDue
	a := app.New(f.store, f.stripe, plan.Default(), func() time.Time { return now })
	notice := func() events.Event {
		return f.event(&plan.Notice{EventID: "evt_x", Type: "invoice.payment_failed", CustomerID: "cus_acme1"})
	}
	commit, err := a.React(t.Context(), notice())
	if err != nil {
		t.Fatal(err)
	}
	f.stripe.subs[0].Status = plan.Active
	f.send(bill("upgrade1", "starter", "professional")) // stored meanwhile
	f.told()
	err = pg.WithTx(t.Context(), f.db, func(tx pgx.Tx) error { return commit(t.Context(), tx) })
	if _, waits := fault.Delay(err); !waits {
		t.Errorf("the older look was stored: %v", err)
	}
	if slices.Contains(f.told(), "payment.failed") {
		t.Error("told what is no longer so")
	}
}
