package reconcile_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/reconcile"
	"tenure/services/billing/internal/store"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/plans"
	"tenure/shared/testkit"
)

const soon = 20 * time.Second

// TestEveryKindIsFoundToldOnceAndHealedOrNot makes each difference by hand, at a tenant that is named after it. A second
// pass is silent, and healing moves no money.
func TestEveryKindIsFoundToldOnceAndHealedOrNot(t *testing.T) {
	w := newWorld(t)
	retire := url.Values{"cancel_at_period_end": {"true"}}
	due := time.Now().AddDate(0, 1, 0)

	w.active("in_order", "starter")
	w.active("free_of_charge", "free")

	w.active("missed_news", "starter")
	w.byHand(http.MethodDelete, "/v1/subscriptions/"+w.main("missed_news").ID, nil)

	w.active("missing_subscription", "free")
	w.send("missing_subscription", &events.UpgradeCompleted{FromPlan: "free", Plan: "starter"})

	w.active("extra_subscription", "starter")
	w.subscribe(w.customer("extra_subscription"), "starter", "")
	w.webhook("extra_subscription")

	w.active("charged_after_end", "starter")
	w.send("charged_after_end", &events.PurgeStarted{}, &events.TenantPurged{Generation: 1})
	w.webhook("charged_after_end")

	w.active("not_leaving", "starter")
	w.send("not_leaving", &events.DeletionRequested{})
	w.byHand(http.MethodPost, "/v1/subscriptions/"+w.main("not_leaving").ID, url.Values{"cancel_at_period_end": {"false"}})
	w.webhook("not_leaving")

	w.active("not_staying", "starter")
	w.byHand(http.MethodPost, "/v1/subscriptions/"+w.main("not_staying").ID, retire)
	w.webhook("not_staying")

	w.active("left_schedule", "professional")
	if _, err := w.stripe.Schedule(t.Context(), "by-hand", w.main("left_schedule"), "starter"); err != nil {
		t.Fatal(err)
	}
	w.webhook("left_schedule")

	w.active("not_scheduled", "professional")
	w.send("not_scheduled", &events.DowngradeScheduled{OperationID: "d", FromPlan: "professional", Plan: "starter", DueAt: due})
	w.byHand(http.MethodPost, "/v1/subscription_schedules/"+w.main("not_scheduled").ScheduleID+"/release", nil)
	w.webhook("not_scheduled")

	w.active("plan_differs", "starter")
	s := w.main("plan_differs")
	w.byHand(http.MethodPost, "/v1/subscriptions/"+s.ID, url.Values{
		"items[0][id]": {s.ItemID}, "items[0][price]": {w.price("professional")}, "proration_behavior": {"none"},
	})
	w.webhook("plan_differs")

	stranger := w.byHand(http.MethodPost, "/v1/customers", nil)
	w.subscribe(stranger, "starter", "unknown_customer")

	before := w.charged()
	want := map[string]bool{ // kind and tenant: healed
		"missed_news": true, "charged_after_end": true, "not_leaving": true, "left_schedule": true,
		"missing_subscription": false, "extra_subscription": false, "plan_differs": false, "not_staying": false,
		"not_scheduled": false, "unknown_customer": false,
	}
	w.wantLook(want)

	report := w.heal()
	if got := healed(report); !cmp.Equal(got, want) {
		t.Errorf("found (-want +got):\n%s", cmp.Diff(want, got))
	}
	if lives := len(w.sequence) + 1; report.Checked != lives || report.More {
		t.Errorf("checked %d lives of %d, more: %v", report.Checked, lives, report.More)
	}
	for kind, healed := range want {
		told := w.found(kind)
		if len(told) != 1 || told[0].Kind != kind || told[0].Healed != healed {
			t.Errorf("told of %s: %+v", kind, told)
		}
	}
	if s := w.main("charged_after_end"); s.ID != "" {
		t.Errorf("still charged: %+v", s)
	}
	if s := w.main("not_leaving"); !s.CancelAtPeriodEnd {
		t.Errorf("still renewed: %+v", s)
	}
	if s := w.main("left_schedule"); s.ScheduledPlan != "" || s.Plan != "professional" {
		t.Errorf("still scheduled: %+v", s)
	}
	if standing := w.account("missed_news").Belief.Standing; standing != plan.InDefault {
		t.Errorf("the lost news were not told: %q", standing)
	}

	for _, item := range w.heal().Items {
		if want[item.Tenant] {
			t.Errorf("not healed for good: %+v", item)
		}
	}
	for kind := range want {
		if told := w.facts(kind); told != nil {
			t.Errorf("the second pass told of %s: %v", kind, told)
		}
	}
	if after := w.charged(); after > before {
		t.Errorf("healing charged %d cents", after-before)
	}
}

// subscribe makes a subscription by hand; naming a tenant makes it look like billing's own.
func (w *world) subscribe(customer, name, tenant string) string {
	form := url.Values{"customer": {customer}, "items[0][price]": {w.price(name)}}
	if tenant != "" {
		form.Set("metadata[tenant_id]", tenant)
	}
	return w.byHand(http.MethodPost, "/v1/subscriptions", form)
}

func healed(r reconcile.Report) map[string]bool {
	out := map[string]bool{}
	for _, item := range r.Items {
		out[string(item.Kind)] = item.Healed
		if item.Tenant != string(item.Kind) {
			out[string(item.Kind)+" of "+item.Tenant] = item.Healed
		}
	}
	return out
}

// wantLook looks, twice: that shows everything and leaves no trace.
func (w *world) wantLook(want map[string]bool) {
	w.Helper()
	for range 2 {
		report, err := w.reconciler.Look(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		got := healed(report)
		for kind := range want {
			if healed, found := got[kind]; !found || healed {
				w.Errorf("a look found %s: %v, healed: %v", kind, found, healed)
			}
		}
		if len(got) != len(want) {
			w.Errorf("a look found %v", got)
		}
	}
	var rows int
	if err := w.db.QueryRow(w.Context(), `SELECT count(*) FROM drift`).Scan(&rows); err != nil || rows > 0 {
		w.Errorf("a look left %d rows (%v)", rows, err)
	}
}

// TestDriftThatIsGoneIsClosed: and told anew when it comes again.
func TestDriftThatIsGoneIsClosed(t *testing.T) {
	w := newWorld(t)
	w.active("acme", "starter")
	for range 2 {
		extra := w.subscribe(w.customer("acme"), "starter", "")
		w.webhook("acme")
		w.heal()
		w.heal()
		if told := w.found("acme"); len(told) != 1 || told[0].Kind != "extra_subscription" {
			t.Errorf("told %+v", told)
		}
		w.byHand(http.MethodDelete, "/v1/subscriptions/"+extra, nil)
		w.webhook("acme")
		if items := w.heal().Items; len(items) > 0 {
			t.Errorf("still there: %+v", items)
		}
		open, err := w.store.AllOpenDrift(t.Context(), 10)
		if err != nil || len(open) > 0 {
			t.Errorf("open: %+v (%v)", open, err)
		}
	}
}

// TestAnEarlierLifeThatIsStillCharged: each life has a customer of its own.
func TestAnEarlierLifeThatIsStillCharged(t *testing.T) {
	w := newWorld(t)
	w.active("acme", "starter")
	first := w.customer("acme")
	w.send("acme", &events.PurgeStarted{}, &events.TenantPurged{Generation: 1}, &events.TenantReborn{Plan: "free", Generation: 2})
	report := w.heal()
	if len(report.Items) != 1 || report.Items[0].Kind != plan.ChargedAfterEnd || !report.Items[0].Healed {
		t.Fatalf("found %+v", report.Items)
	}
	if all, err := w.stripe.Subscriptions(t.Context(), first); err != nil || len(all) > 0 {
		t.Errorf("still live: %+v (%v)", all, err)
	}
}

func TestWhatIsUnderWayIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.active("operating", "free")
	w.send("operating", &events.UpgradeCompleted{Plan: "starter"}, &events.UpgradeStarted{Operation: events.OperationPlan{ID: "op"}})
	w.active("working", "free")
	w.send("working", &events.UpgradeCompleted{Plan: "starter"})
	if _, err := w.store.Begin(t.Context(), store.Work{Tenant: "working", ID: "work", Generation: 1}); err != nil {
		t.Fatal(err)
	}
	if items := w.heal().Items; len(items) > 0 {
		t.Errorf("found %+v", items)
	}
}

// notLeaving is a tenant whose retirement somebody took back.
func (w *world) notLeaving(tenant string) {
	w.Helper()
	w.active(tenant, "starter")
	w.send(tenant, &events.DeletionRequested{})
	w.byHand(http.MethodPost, "/v1/subscriptions/"+w.main(tenant).ID, url.Values{"cancel_at_period_end": {"false"}})
	w.webhook(tenant)
}

// begun is a cure that was written down, as a crash leaves it before anything else.
func (w *world) begun(tenant string) store.OpenDrift {
	w.Helper()
	agreement, err := w.store.Agreement(w.Context(), tenant)
	if err != nil {
		w.Fatal(err)
	}
	seen, err := w.store.SeeDrift(w.Context(), store.LifeID{Tenant: tenant, Generation: 1}, agreement.Version,
		plan.Difference{Kind: plan.NotLeaving, SubscriptionID: w.main(tenant).ID})
	if err != nil {
		w.Fatal(err)
	}
	return seen
}

// TestACureThatWasCutOffIsGoneOnWith: it was done at Stripe, and neither stored nor told.
func TestACureThatWasCutOffIsGoneOnWith(t *testing.T) {
	w := newWorld(t)
	w.notLeaving("acme")
	if _, err := w.app.Cure(t.Context(), w.begun("acme"), w.account("acme")); err != nil {
		t.Fatal(err)
	}
	w.heal()
	if told := w.found("acme"); len(told) != 1 || !told[0].Healed {
		t.Errorf("told %+v", told)
	}
	w.wantNothingOpen()
	if !w.account("acme").Belief.Retired {
		t.Error("the subscription's end will be taken for a default")
	}
}

// TestACureThatWasCutOffIsNotForALaterAgreement: the tenant has come back meanwhile.
func TestACureThatWasCutOffIsNotForALaterAgreement(t *testing.T) {
	w := newWorld(t)
	w.notLeaving("acme")
	seen := w.begun("acme")
	if _, err := w.store.Begin(t.Context(), store.Work{
		Tenant: "acme", ID: seen.WorkID(), Generation: 1, Changes: []plan.Change{plan.Retire},
	}); err != nil {
		t.Fatal(err)
	}
	w.send("acme", &events.TenantReactivated{Plan: "starter", RestoreData: true})
	if items := w.heal().Items; len(items) > 0 {
		t.Errorf("found %+v", items)
	}
	if w.main("acme").CancelAtPeriodEnd {
		t.Error("a tenant that stays was retired")
	}
	w.wantNothingOpen()
}

func (w *world) wantNothingOpen() {
	w.Helper()
	var works, drift int
	err := w.db.QueryRow(w.Context(), `SELECT (SELECT count(*) FROM works WHERE done_at IS NULL), (SELECT count(*) FROM drift WHERE closed_at IS NULL)`).
		Scan(&works, &drift)
	if err != nil || works+drift > 0 {
		w.Errorf("%d works and %d differences are open (%v)", works, drift, err)
	}
}

// TestACureAndAnOperationDoNotMeet: the one that comes second gives way.
func TestACureAndAnOperationDoNotMeet(t *testing.T) {
	w := newWorld(t)
	w.notLeaving("acme")
	step := &events.StepRequested{StepRequest: events.StepRequest{
		StepID: "r-1", OperationID: "r", Operation: "reactivate", Participant: "billing", Action: "bill", Attempt: 1,
		FromPlan: "starter", ToPlan: "starter", Generation: 1, Deadline: time.Now().Add(time.Hour),
	}}
	seen, account := w.begun("acme"), w.account("acme")

	if _, err := w.store.Begin(t.Context(), store.Work{Tenant: "acme", ID: seen.WorkID(), Generation: 1}); err != nil {
		t.Fatal(err)
	}
	w.send("acme", &events.ReactivationStarted{Operation: events.OperationPlan{ID: "r"}})
	asked := w.event("acme", step)
	if _, waits := fault.Delay(w.deliver(asked)); !waits {
		t.Error("the step did not wait for the cure")
	}
	if _, err := w.app.Cure(t.Context(), seen, account); !errors.Is(err, app.ErrMoved) {
		t.Errorf("the cure goes on under an operation: %v", err)
	}
	if w.main("acme").CancelAtPeriodEnd {
		t.Error("the subscription was retired")
	}
	if err := w.deliver(asked); err != nil {
		t.Errorf("the step still waits: %v", err)
	}
}

// TestProcessesTellOnce: two that find the same at the same time.
func TestProcessesTellOnce(t *testing.T) {
	w := newWorld(t)
	w.notLeaving("acme")
	w.active("other", "starter")
	w.subscribe(w.customer("other"), "starter", "")
	w.webhook("other")
	var all sync.WaitGroup
	for range 4 {
		r := reconcile.New(w.store, w.stripe, w.app, plans.Default())
		all.Go(func() {
			_, err := r.Heal(t.Context())
			if _, overtaken := fault.Delay(err); err != nil && !overtaken {
				t.Error(err)
			}
		})
	}
	all.Wait()
	w.heal()
	for tenant, healed := range map[string]bool{"acme": true, "other": false} {
		if told := w.found(tenant); len(told) != 1 || told[0].Healed != healed {
			t.Errorf("told of %s: %+v", tenant, told)
		}
	}
}

// TestStripeAwayTellsNothing: half a list is no list.
func TestStripeAwayTellsNothing(t *testing.T) {
	w := newWorld(t)
	w.active("acme", "starter")
	down := reconcile.New(w.store, half{w.stripe}, w.app, plans.Default())
	if _, err := down.Heal(t.Context()); err == nil {
		t.Error("half a list passes for all")
	}
	if told := w.facts("acme"); told != nil {
		t.Errorf("told %v", told)
	}
}

func TestRunTellsByItself(t *testing.T) {
	w := newWorld(t)
	w.notLeaving("acme")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan bool, 1)
	go func() {
		w.reconciler.Run(ctx, 10*time.Millisecond, time.Millisecond)
		done <- true
	}()
	testkit.WaitFor(t, soon, "the cure", func() bool { return slices.Contains(w.facts("acme"), "drift.found") })
	stop()
	testkit.Receive(t, soon, done)
}

// TestStripeMayRefuseACure: it is told as it is, and tried anew by the next pass.
func TestStripeMayRefuseACure(t *testing.T) {
	w := newWorld(t)
	w.notLeaving("acme")
	w.control(http.MethodPost, "/_sim/faults", `{"path_prefix":"/v1/subscriptions/","method":"POST","outcome":"402","times":1}`)
	for _, healed := range []bool{false, true} {
		w.heal()
		if told := w.found("acme"); len(told) != 1 || told[0].Healed != healed {
			t.Errorf("told %+v, want healed: %v", told, healed)
		}
	}
	if !w.main("acme").CancelAtPeriodEnd {
		t.Error("still renewed")
	}
	w.wantNothingOpen()
}
