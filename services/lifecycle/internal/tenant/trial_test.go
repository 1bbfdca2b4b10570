package tenant

import (
	"testing"
	"time"

	"tenure/shared/events"
)

// Billing needs moments to tell what became of the first payment: nobody who pays loses access for as long.
func TestATrialWaitsForBillingsWord(t *testing.T) {
	w := trialing(t)
	over := w.state.TrialEndsAt
	if timers := w.state.Timers(); len(timers) != 1 || !timers[0].Due.Equal(over.Add(5*time.Minute)) {
		t.Fatalf("timers %+v", timers)
	}
	w.now = over.Add(5*time.Minute - time.Nanosecond)
	w.do(CmdFireTimer, &FireTimer{Kind: TimerTrialEnd, Due: over, Generation: 1})
	w.do(CmdConfirmPayment, &ConfirmPayment{Status: "active"}, "trial.converted")
	w.is(Active)

	w = trialing(t)
	w.fire(TimerTrialEnd, "trial.expired")
	if !w.now.Equal(over.Add(5 * time.Minute)) {
		t.Errorf("closed at %s", w.now)
	}
	w.do(CmdPaymentFailed, &PaymentFailed{}) // billing's word comes late: all is said
	w.is(Suspended)
}

func TestAFailedPaymentEndsATrialThatIsOver(t *testing.T) {
	w := trialing(t)
	w.now = w.state.TrialEndsAt
	w.do(CmdPaymentFailed, &PaymentFailed{}, "trial.expired")
	w.is(Suspended)
	if got := kinds(w.state.Blocks); len(got) != 1 || got[0] != BlockTrial {
		t.Errorf("blocks %v", got)
	}
	w.do(CmdPaymentRecovered, &PaymentRecovered{}, "reactivation.started", "tenant.reactivated")
	w.is(Active)

	w = trialing(t)
	w.now = w.state.TrialEndsAt.Add(-time.Nanosecond)
	w.do(CmdPaymentFailed, &PaymentFailed{}, "payment.past_due")
	w.now = w.state.TrialEndsAt.Add(w.state.TrialSettle)
	w.do(CmdPaymentFailed, &PaymentFailed{}) // the grace goes on
	w.is(PastDue)
}

// The trial's end does not wait for the end of an operation, what follows from it does.
func TestATrialThatEndsDuringAnOperation(t *testing.T) {
	during := func(news func(*world)) *world {
		w := trialing(t).after(CmdUpgrade, &events.Upgrade{Plan: "enterprise"})
		w.now = w.state.TrialEndsAt.Add(time.Second)
		news(w)
		w.finish()
		return w
	}
	w := during(func(w *world) { w.do(CmdPaymentFailed, &PaymentFailed{}, "block.added") })
	w.is(Suspended)
	if !w.state.Blocked(BlockTrial) || w.state.Grace != nil {
		t.Errorf("state %+v", w.state)
	}
	w.do(CmdReactivate, &events.Reactivate{}, "reactivation.started", "step.requested")
	w.finish()
	w.is(Active) // it is paid: no trial begins anew

	during(func(w *world) { w.do(CmdConfirmPayment, &ConfirmPayment{Status: "active"}, "trial.converted") }).is(Active)

	w = during(func(*world) {}) // no news
	w.is(Trialing)
	w.fire(TimerTrialEnd, "trial.expired")
}

// A conversion counts wherever the tenant is.
func TestAConversionInAnyState(t *testing.T) {
	paid := &ConfirmPayment{Status: "active"}
	for name, s := range map[string]struct {
		tenant *world
		want   StateName
	}{
		"provisioning": {signedUp(t, "starter", 14), Active},
		"upgrading":    {trialing(t).after(CmdUpgrade, &events.Upgrade{Plan: "enterprise"}), Active},
		"past_due":     {trialing(t).after(CmdPaymentFailed, &PaymentFailed{}), Active},
		"suspended":    {trialing(t).after(CmdSuspend, &events.Suspend{}), Suspended},
		"deleting":     {trialing(t).after(CmdDelete, &events.Delete{}), Deleting},
		"reactivating": {trialing(t).after(CmdDelete, &events.Delete{}).after(CmdCancelDeletion, &events.CancelDeletion{}), Active},
	} {
		w := s.tenant.after(CmdConfirmPayment, paid)
		w.finish()
		if w.state.Name != s.want || !w.state.TrialEndsAt.IsZero() || w.state.TrialSettle != 0 {
			t.Errorf("%s: %s, a trial until %s", name, w.state.Name, w.state.TrialEndsAt)
		}
	}
}
