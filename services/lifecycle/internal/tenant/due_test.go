package tenant

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tenure/shared/events"
)

// toStarter is a tenant on professional that goes over to starter when its period ends.
func toStarter(t tb) *world {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.finish()
	return w.after(CmdDowngrade, &events.Downgrade{Plan: "starter"})
}

var begun = []string{"downgrade.started", "step.requested", "step.requested"}

func TestBillingsWordMakesAChangeDue(t *testing.T) {
	w := toStarter(t)
	id := w.state.Pending.OperationID
	w.do(CmdChangeDue, &ChangeDue{Plan: "professional"}) // a renewal, or an older piece of news
	w.do(CmdChangeDue, &ChangeDue{Plan: "enterprise"})
	w.do(CmdChangeDue, &ChangeDue{})
	w.do(CmdChangeDue, &ChangeDue{Plan: "starter"}, begun...)
	if w.state.Lease.ID != id || w.now != epoch {
		t.Errorf("lease %+v", w.state.Lease)
	}
	w.do(CmdChangeDue, &ChangeDue{Plan: "starter"}) // told twice
	w.finish()
	w.is(Active)
	w.do(CmdChangeDue, &ChangeDue{Plan: "starter"})
	if w.state.Plan != "starter" {
		t.Errorf("plan %s", w.state.Plan)
	}
}

func TestTheEndOfTheSubscriptionIsTheFreePlansDue(t *testing.T) {
	w := pending(t)
	w.do(CmdChangeDue, &ChangeDue{}, begun...)

	w = pending(t)
	w.facts.Plans[0].Cents = 100 // free is not free any more
	w.do(CmdChangeDue, &ChangeDue{})
}

func TestWordThatComesBehindTheTimer(t *testing.T) {
	w := toStarter(t)
	w.fire(TimerDowngradeDue, begun...)
	w.do(CmdChangeDue, &ChangeDue{Plan: "starter"})
	w.finish()
	if w.state.Plan != "starter" {
		t.Errorf("plan %s", w.state.Plan)
	}
}

func TestADueChangeThatNoLongerFits(t *testing.T) {
	for _, begin := range []func(*world){
		func(w *world) { w.fire(TimerDowngradeDue, "downgrade.cancelled") },
		func(w *world) { w.do(CmdChangeDue, &ChangeDue{Plan: "starter"}, "downgrade.cancelled") },
	} {
		w := toStarter(t)
		w.facts.Usage = Usage{Documents: 5_001, StorageGB: 6}
		begin(w)
		p := last[*events.DowngradeCancelled](w)
		if len(p.Violations) != 2 || p.Superseded || !strings.Contains(p.Reason, "documents 5001 of 5000, storage_gb 6 of 5") {
			t.Errorf("dropped %+v", p)
		}
		w.is(Active)
	}

	w := toStarter(t)
	w.facts.Plans = slices.Delete(slices.Clone(w.facts.Plans), 1, 2)
	w.fire(TimerDowngradeDue, "downgrade.cancelled")
	if p := last[*events.DowngradeCancelled](w); !strings.Contains(p.Reason, "starter is no plan below professional") {
		t.Errorf("dropped %+v", p)
	}
}

// The renewal at the lower price is declined: the tenant goes over all the same, and still owes.
func TestAChangeThatFallsDueWhileSomethingIsOwed(t *testing.T) {
	w := toStarter(t).after(CmdPaymentFailed, &PaymentFailed{})
	w.do(CmdChangeDue, &ChangeDue{Plan: "starter"}, begun...)
	if got := w.armed(); slices.Contains(got, TimerGraceEnd) {
		t.Errorf("armed %v", got)
	}
	w.finish()
	w.is(PastDue)
	if w.state.Plan != "starter" || !w.state.Grace.EndsAt.Equal(epoch.Add(7*day)) {
		t.Errorf("state %+v", w.state)
	}
	w.fire(TimerGraceEnd, "tenant.suspended")

	w = toStarter(t).after(CmdPaymentFailed, &PaymentFailed{}).after(CmdChangeDue, &ChangeDue{Plan: "starter"})
	w.do(CmdPaymentRecovered, &PaymentRecovered{}, "payment.recovered")
	w.finish()
	w.is(Active)

	// Paid, and owed again: the new debt has a grace of its own.
	w = toStarter(t).after(CmdPaymentFailed, &PaymentFailed{}).after(CmdChangeDue, &ChangeDue{Plan: "starter"})
	w.now = w.now.Add(day)
	w.after(CmdPaymentRecovered, &PaymentRecovered{}).after(CmdPaymentFailed, &PaymentFailed{})
	w.finish()
	w.is(PastDue)
	if w.state.Blocks != nil || !w.state.Grace.EndsAt.Equal(epoch.Add(8*day)) {
		t.Errorf("blocks %v, grace %v", w.state.Blocks, w.state.Grace)
	}

	w = toStarter(t).after(CmdPaymentFailed, &PaymentFailed{}).after(CmdChangeDue, &ChangeDue{Plan: "starter"})
	w.do(CmdSuspend, &events.Suspend{}, "block.added")
	w.finish()
	w.is(Suspended)

	w = toStarter(t).after(CmdPaymentFailed, &PaymentFailed{}).after(CmdChangeDue, &ChangeDue{Plan: "starter"})
	w.after(CmdDelete, &events.Delete{})
	w.finish()
	w.is(Deleting)
	w.after(CmdCancelDeletion, &events.CancelDeletion{})
	w.finish()
	w.is(PastDue)
}

// A suspended tenant has nothing to change yet. What fell due meanwhile begins as soon as it is back, whenever our own
// clock would have begun it.
func TestAChangeThatFallsDueDuringASuspension(t *testing.T) {
	w := toStarter(t).after(CmdSuspend, &events.Suspend{})
	w.do(CmdChangeDue, &ChangeDue{Plan: "starter"}, "downgrade.due")
	w.do(CmdChangeDue, &ChangeDue{Plan: "starter"})
	w.do(CmdResume, &events.Resume{}, "reactivation.started", "tenant.reactivated")
	w.refused(CodeInvalidTransition, CmdCancelChange, &events.CancelChange{})
	w.refused(CodeInvalidTransition, CmdDowngrade, &events.Downgrade{Plan: "free"})
	w.refused(CodeInvalidTransition, CmdUpgrade, &events.Upgrade{Plan: "enterprise"})
	w.fire(TimerDowngradeDue, begun...)
	if w.now != epoch {
		t.Errorf("it waited until %s", w.now)
	}

	// Our clock was first: nothing needs to be written down.
	w = toStarter(t).after(CmdSuspend, &events.Suspend{})
	w.now = w.state.Pending.DueAt
	w.do(CmdChangeDue, &ChangeDue{Plan: "starter"})
	w.after(CmdResume, &events.Resume{})
	w.fire(TimerDowngradeDue, begun...)
}

// Coming back is paid for at the price that Stripe charges by now: anything else would raise it again.
func TestAReturnWithAChangeDueIsPaidAtTheLowerPrice(t *testing.T) {
	w := toStarter(t)
	w.facts.Policy.Grace = 0
	w.after(CmdPaymentFailed, &PaymentFailed{}).after(CmdChangeDue, &ChangeDue{Plan: "starter"})
	w.do(CmdReactivate, &events.Reactivate{}, "reactivation.started", "step.requested")
	if p := last[*events.StepRequested](w); p.Participant != billing || p.FromPlan != "starter" || p.ToPlan != "starter" {
		t.Errorf("asked %+v", p)
	}
	w.failed(billing, actionBill, "step.requested")
	w.done(billing, actionBill, "reactivation.failed")
	if w.state.Pending == nil {
		t.Fatal("the change is lost")
	}
	w.after(CmdReactivate, &events.Reactivate{})
	w.finish()
	if w.state.Plan != "professional" {
		t.Errorf("plan %s before the change", w.state.Plan)
	}
	w.fire(TimerDowngradeDue, begun...)
	w.finish()
	if w.state.Plan != "starter" {
		t.Errorf("plan %s", w.state.Plan)
	}
}

// A tenant that comes back on another plan, or leaves, does not go back to the dearer one in between.
func TestADueChangeThatIsSuperseded(t *testing.T) {
	due := func() *world {
		return toStarter(t).after(CmdSuspend, &events.Suspend{}).after(CmdChangeDue, &ChangeDue{Plan: "starter"})
	}
	w := due().after(CmdReactivate, &events.Reactivate{Plan: "enterprise"})
	if p := last[*events.StepRequested](w); w.state.Pending == nil || p.ToPlan != "enterprise" {
		t.Errorf("pending %+v, asked %+v", w.state.Pending, p)
	}
	w.finish()
	w.is(Active)
	if p := last[*events.DowngradeCancelled](w); !p.Superseded || w.state.Pending != nil || w.state.Plan != "enterprise" {
		t.Errorf("dropped %+v, state %+v", p, w.state)
	}

	w = due()
	w.do(CmdDelete, &events.Delete{}, "downgrade.cancelled", "deletion.requested")
	if p := last[*events.DowngradeCancelled](w); !p.Superseded {
		t.Errorf("dropped %+v", p)
	}

	// Whoever goes down at once has no use for the dearer plan before, even if Stripe's clock was faster than ours.
	w = toStarter(t).after(CmdDowngrade, &events.Downgrade{Plan: "free", At: atNow})
	if p := last[*events.DowngradeCancelled](w); !p.Superseded {
		t.Errorf("dropped %+v", p)
	}

	// Before it is due, the tenant may well stay on its plan: the upgrade can fail.
	w = toStarter(t).after(CmdUpgrade, &events.Upgrade{Plan: "enterprise"})
	if p := last[*events.DowngradeCancelled](w); p.Superseded {
		t.Errorf("dropped %+v", p)
	}
}

func TestOnePendingChange(t *testing.T) {
	w := toStarter(t)
	first := w.state.Pending.OperationID
	w.do(CmdDowngrade, &events.Downgrade{Plan: "free"}, "downgrade.cancelled", "downgrade.scheduled")
	if w.state.Pending.Plan != "free" || w.state.Pending.OperationID == first {
		t.Errorf("pending %+v", w.state.Pending)
	}
	w.do(CmdChangeDue, &ChangeDue{Plan: "starter"}) // the schedule that was replaced
	w.do(CmdCancelChange, &events.CancelChange{}, "downgrade.cancelled")
	w.do(CmdChangeDue, &ChangeDue{})
	w.is(Active)

	w.after(CmdDowngrade, &events.Downgrade{Plan: "starter"})
	w.now = w.state.Pending.DueAt.Add(-time.Nanosecond)
	w.do(CmdCancelChange, &events.CancelChange{}, "downgrade.cancelled")
}
