package app_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/shared/events"
)

func TestSignUp(t *testing.T) {
	f := newFixture(t)
	registered := f.event(&events.TenantRegistered{Plan: "starter", RequiresPayment: true, Generation: 1})
	f.deliver(registered)
	f.wantTold("subscription.created", "payment.confirmed")
	f.deliver(registered)
	f.wantTold()
	if f.stripe.charged() != 4900 || len(f.stripe.subs) != 1 {
		t.Errorf("charged %d for %d subscriptions", f.stripe.charged(), len(f.stripe.subs))
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
	if f.stripe.charged() != 0 {
		t.Errorf("a trial was charged %d", f.stripe.charged())
	}
}

// TestTrialEndsPaidOrNot: Stripe calls a subscription active when its trial ends, an hour before it tries the card.
func TestTrialEndsPaidOrNot(t *testing.T) {
	for decline, fact := range map[bool]string{false: "payment.confirmed", true: "payment.failed"} {
		f := newFixture(t)
		end := now.AddDate(0, 0, 14)
		f.send(&events.TenantRegistered{Plan: "starter", TrialDays: 14, TrialEndsAt: &end, Generation: 1})
		f.told()
		s := &f.stripe.subs[0]
		s.Status, s.LatestInvoice, s.InvoiceStatus = plan.Active, "in_first", plan.InvoiceDraft
		f.stripe.decline = decline
		f.news("cus_acme1", "customer.subscription.updated")
		f.wantTold(fact)
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
		if len(f.stripe.subs) != 1 || f.stripe.charged() != 4900 {
			t.Errorf("%d subscriptions, net %d", len(f.stripe.subs), f.stripe.charged())
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
	if f.subscription().Plan != "professional" || f.stripe.charged() != 19900 {
		t.Errorf("on %s, net %d", f.subscription().Plan, f.stripe.charged())
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
	if f.subscription().Plan != "starter" || f.stripe.charged() != 4900 {
		t.Errorf("on %s, net %d", f.subscription().Plan, f.stripe.charged())
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
	if f.stripe.charged() != 19900 {
		t.Errorf("net %d", f.stripe.charged())
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
				was, net, credit := f.subscription(), f.stripe.charged(), f.stripe.credit
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
				if diff := cmp.Diff(was, got); diff != "" {
					t.Errorf("the subscription is another (-was +is):\n%s", diff)
				}
				if f.stripe.charged() != net || f.stripe.credit != credit {
					t.Errorf("net %d and credit %d, were %d and %d", f.stripe.charged(), f.stripe.credit, net, credit)
				}
			})
		}
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
	if len(f.stripe.subs) != 1 || f.stripe.charged() != 4900 {
		t.Errorf("%d subscriptions, net %d", len(f.stripe.subs), f.stripe.charged())
	}

	// Late news of the life that is over, then a new one.
	f.stripe.subs[0].Status = plan.PastDue
	f.news("cus_acme1", "invoice.payment_failed")
	f.wantTold()
	f.send(&events.TenantReborn{Plan: "professional", Generation: 2})
	again := bill("provision2", "", "professional")
	again.Generation = 2
	f.send(again)
	f.wantTold("subscription.created", "payment.confirmed", "step.completed")
	f.news("cus_acme1", "invoice.payment_failed")
	f.wantTold()
}

func TestOnlyAFreshStartForgetsTheUsage(t *testing.T) {
	f := newFixture(t)
	if err := f.store.Count(t.Context(), []store.Use{{Tenant: tenant, ID: "use-1", Metric: "documents", Quantity: 7}}); err != nil {
		t.Fatal(err)
	}
	for _, back := range []struct {
		restored bool
		want     int64
	}{{true, 7}, {false, 0}} {
		f.send(&events.TenantReactivated{Plan: "starter", RestoreData: back.restored})
		var documents int64
		err := f.db.QueryRow(t.Context(), `SELECT coalesce(sum(quantity), 0)::bigint FROM usage_totals`).Scan(&documents)
		if err != nil || documents != back.want {
			t.Errorf("restored %v: %d documents, want %d, %v", back.restored, documents, back.want, err)
		}
	}
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

func TestAddOnThatIsNotPaidForIsInNobodysWay(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.stripe.subs[0].Status, f.stripe.addOnsOwed = plan.PastDue, true
	f.send(bill("upgrade1", "starter", "professional"))
	f.wantTold("subscription.changed", "step.completed")
}

func TestSubscriptionThatVanishedIsPaidForAgain(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.stripe.subs[0].Status = plan.Canceled
	f.news("cus_acme1", "customer.subscription.deleted")
	f.wantTold("subscription.cancelled", "payment.failed")
	f.send(bill("reactivate1", "starter", "starter"))
	f.wantTold("subscription.created", "payment.recovered", "step.completed")
}

func TestUnknownPlanFailsTheStep(t *testing.T) {
	f := newFixture(t)
	f.signUp("starter")
	f.send(bill("upgrade1", "starter", "gold"))
	f.wantTold("step.failed")
}

func TestSignUpThatIsGivenUpIsRefunded(t *testing.T) {
	tests := []struct {
		name string
		send []events.Payload
		want []string
	}{
		{"abandoned", []events.Payload{&events.SignupAbandoned{}}, []string{"subscription.cancelled"}},
		{
			"rolled back",
			[]events.Payload{undo(bill("provision1", "", "starter")), &events.ProvisioningRolledBack{}},
			[]string{"subscription.cancelled", "step.completed"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.signUp("starter")
			for _, p := range tt.send {
				f.send(p)
			}
			f.wantTold(tt.want...)
			if f.stripe.charged() != 0 || f.subscription().ID != "" {
				t.Errorf("net %d, %+v", f.stripe.charged(), f.subscription())
			}
		})
	}
}
