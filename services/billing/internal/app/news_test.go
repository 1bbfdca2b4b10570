package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/pg"
)

// situation is what is live at Stripe when the news come, and what is to be told of it, whatever the news say.
type situation struct {
	name  string
	begin func(f *fixture) // as it was told before
	live  func(stripe *fakeStripe, s *plan.Subscription)
	want  []string
	// vanished: nothing is live any more, which is no news while billing may have done it.
	vanished bool
}

func onProfessional(f *fixture) { f.signUp("professional") }

func inTrial(f *fixture) {
	end := now.AddDate(0, 0, 14)
	f.send(&events.TenantRegistered{Plan: "starter", TrialDays: 14, TrialEndsAt: &end, Generation: 1})
	f.wantTold("subscription.created", "payment.confirmed")
}

func unpaidSignUp(f *fixture) {
	f.stripe.decline = true
	f.send(&events.TenantRegistered{Plan: "starter", RequiresPayment: true, Generation: 1})
	f.wantTold("subscription.created")
	f.stripe.decline = false
}

func goingDown(f *fixture) {
	onProfessional(f)
	f.send(&events.DowngradeScheduled{OperationID: "downgrade1", FromPlan: "professional", Plan: "starter", DueAt: now.AddDate(0, 1, 0)})
	f.wantTold("subscription.scheduled")
}

func leaving(f *fixture) {
	onProfessional(f)
	f.send(&events.DeletionRequested{})
	f.wantTold("subscription.cancelled")
}

func status(name string) func(*fakeStripe, *plan.Subscription) {
	return func(_ *fakeStripe, s *plan.Subscription) { s.Status = name }
}

func trialOver(decline bool) func(*fakeStripe, *plan.Subscription) {
	return func(stripe *fakeStripe, s *plan.Subscription) {
		s.Status, s.LatestInvoice, s.InvoiceStatus = plan.Active, "in_first", plan.InvoiceDraft
		stripe.decline = decline
	}
}

var situations = []situation{
	{name: "as it was told", begin: onProfessional, live: status(plan.Active)},
	{name: "past due", begin: onProfessional, live: status(plan.PastDue), want: []string{"payment.failed"}},
	{name: "unpaid", begin: onProfessional, live: status(plan.Unpaid), want: []string{"payment.failed"}},
	{name: "cancelled", begin: onProfessional, live: status(plan.Canceled), want: []string{"subscription.cancelled", "payment.failed"}, vanished: true},
	{
		name: "none", begin: onProfessional, want: []string{"subscription.cancelled", "payment.failed"}, vanished: true,
		live: func(stripe *fakeStripe, _ *plan.Subscription) { stripe.subs = nil },
	},
	{
		name: "renewed", begin: onProfessional, want: []string{"subscription.changed"},
		live: func(stripe *fakeStripe, _ *plan.Subscription) { stripe.turnPeriod() },
	},
	{
		name: "another plan, by a person", begin: onProfessional, want: []string{"subscription.changed"},
		live: func(_ *fakeStripe, s *plan.Subscription) { s.Plan = "enterprise" },
	},
	{
		name: "leaving, by a person", begin: onProfessional, want: []string{"subscription.cancelled"},
		live: func(_ *fakeStripe, s *plan.Subscription) { s.CancelAtPeriodEnd = true },
	},
	{
		name: "a lower plan scheduled, by a person", begin: onProfessional, want: []string{"subscription.scheduled"},
		live: func(_ *fakeStripe, s *plan.Subscription) { s.ScheduleID, s.ScheduledPlan = "sub_sched_x", "starter" },
	},
	{
		name: "an unpaid add-on beside it", begin: onProfessional,
		live: func(stripe *fakeStripe, s *plan.Subscription) {
			stripe.subs = append(stripe.subs, plan.Subscription{ID: "sub_addon", CustomerID: s.CustomerID, Status: plan.Unpaid})
		},
	},
	{
		name: "past due for an add-on", begin: onProfessional,
		live: func(stripe *fakeStripe, s *plan.Subscription) { s.Status, stripe.addOnsOwed = plan.PastDue, true },
	},
	{name: "scheduled, and not due", begin: goingDown, live: status(plan.Active)},
	{
		name: "scheduled, and due", begin: goingDown, want: []string{"subscription.changed"},
		live: func(stripe *fakeStripe, _ *plan.Subscription) { stripe.turnPeriod() },
	},
	{
		name: "scheduled, and released by a person", begin: goingDown, want: []string{"subscription.unscheduled"},
		live: func(_ *fakeStripe, s *plan.Subscription) { s.ScheduleID, s.ScheduledPlan = "", "" },
	},
	{name: "let run out, and not over", begin: leaving, live: status(plan.Active)},
	{
		name: "let run out, and over", begin: leaving, want: []string{"subscription.cancelled"},
		live: func(stripe *fakeStripe, _ *plan.Subscription) { stripe.turnPeriod() },
	},
	{name: "in its trial", begin: inTrial, live: status(plan.Trialing)},
	{name: "trial over, and paid for", begin: inTrial, live: trialOver(false), want: []string{"payment.confirmed"}},
	{name: "trial over, and declined", begin: inTrial, live: trialOver(true), want: []string{"payment.failed"}},
	{name: "trial over, without a card", begin: inTrial, live: status(plan.Paused), want: []string{"payment.failed"}},
	{name: "a sign-up not paid for", begin: unpaidSignUp, live: status(plan.Incomplete)},
	{name: "a sign-up paid for late", begin: unpaidSignUp, live: status(plan.Active), want: []string{"payment.confirmed"}},
	{name: "a sign-up given up", begin: unpaidSignUp, live: status(plan.IncompleteExpired), want: []string{"subscription.cancelled"}},
}

// change makes the situation's subscription live; the slice may move, so that it is found anew.
func (s situation) change(f *fixture) { s.live(f.stripe, &f.stripe.subs[0]) }

// orders are the ways in which two notices come.
var orders = []struct {
	name string
	tell func(f *fixture, s situation, customer string, kinds [2]string)
}{
	{"in order", func(f *fixture, s situation, customer string, kinds [2]string) {
		s.begin(f)
		s.change(f)
		f.news(customer, kinds[0])
		f.news(customer, kinds[1])
		f.wantTold(s.want...)
	}},
	{"reversed", func(f *fixture, s situation, customer string, kinds [2]string) {
		s.begin(f)
		s.change(f)
		f.news(customer, kinds[1])
		f.news(customer, kinds[0])
		f.wantTold(s.want...)
	}},
	{"each twice", func(f *fixture, s situation, customer string, kinds [2]string) {
		s.begin(f)
		s.change(f)
		for _, kind := range kinds {
			f.take(customer, kind)
			for _, e := range f.undelivered(f.tenant) {
				f.deliver(e)
				f.deliver(e)
			}
		}
		f.wantTold(s.want...)
	}},
	{"before the tenant is known", func(f *fixture, s situation, customer string, kinds [2]string) {
		f.news(customer, kinds[0])
		f.news(customer, kinds[1])
		f.wantTold()
		s.begin(f)
		s.change(f)
		f.deliverNews(f.tenant)
		f.wantTold(s.want...)
	}},
	{"while a work is under way", func(f *fixture, s situation, customer string, kinds [2]string) {
		s.begin(f)
		w, err := f.store.Begin(f.Context(), store.Work{Tenant: f.tenant, ID: "work", Generation: 1})
		if err != nil {
			f.Fatal(err)
		}
		s.change(f)
		f.take(customer, kinds[0])
		f.take(customer, kinds[1])
		news := f.undelivered(f.tenant)
		if s.vanished {
			if _, err := f.handle(f.Context(), []bus.Message{{Event: news[0]}}); !waits(err) {
				f.Errorf("the news do not wait for the work: %v", err)
			}
			f.wantTold()
			finish := func(tx pgx.Tx) error { return f.store.Finish(f.Context(), tx, w) }
			if err := pg.WithTx(f.Context(), f.db, finish); err != nil {
				f.Fatal(err)
			}
		}
		f.deliver(news[0])
		f.deliver(news[1])
		f.wantTold(s.want...)
	}},
	{"after the life ended", func(f *fixture, s situation, customer string, kinds [2]string) {
		s.begin(f)
		f.send(bill("purge1", "professional", ""))
		f.told()
		s.change(f)
		f.news(customer, kinds[0])
		f.news(customer, kinds[1])
		f.wantTold()
	}},
}

func waits(err error) bool {
	_, waits := fault.Delay(err)
	return waits
}

// TestNewsTellWhatIsLive crosses every type of webhook with what is live and with the order in which news come: what is
// told depends on what is live alone, and is told once.
func TestNewsTellWhatIsLive(t *testing.T) {
	f := newFixture(t)
	for i, s := range situations {
		for j, order := range orders {
			t.Run(s.name+"/"+order.name, func(t *testing.T) {
				for k, kind := range plan.NoticeTypes {
					other := plan.NoticeTypes[(k+1)%len(plan.NoticeTypes)]
					id := fmt.Sprintf("t-%d-%d-%d", i, j, k)
					order.tell(f.of(t, id), s, "cus_"+id+"1", [2]string{kind, other})
					if t.Failed() {
						t.Fatalf("with %s and %s", kind, other)
					}
				}
			})
		}
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
	early := plan.Notice{StripeNotice: events.StripeNotice{
		EventID: "evt_early", Type: "customer.subscription.created", CustomerID: "cus_acme1", Created: now,
	}}
	for range 2 { // a duplicate
		if err := f.store.Take(t.Context(), early); err != nil {
			t.Fatal(err)
		}
	}
	f.deliverNews(events.NoTenant)
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
	notice := func() events.Event {
		return f.event(&events.StripeNotice{EventID: "evt_x", Type: "invoice.payment_failed", CustomerID: "cus_acme1"})
	}
	commit, err := f.app.React(t.Context(), notice())
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
