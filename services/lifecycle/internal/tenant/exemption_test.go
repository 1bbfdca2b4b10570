package tenant

import (
	"slices"
	"testing"

	"tenure/shared/events"
)

var exemption = &events.Exempt{Reason: "disputed with sales"}

func TestAnExemptTenantIsNeverSuspendedForMoney(t *testing.T) {
	w := active(t)
	w.do(CmdExempt, exemption, "tenant.exempted")
	if e := w.state.Exempt; e == nil || e.Reason != "disputed with sales" || !e.Since.Equal(epoch) {
		t.Errorf("exemption %+v", e)
	}
	w.refused(CodeInvalidTransition, CmdExempt, exemption)
	w.do(CmdPaymentFailed, &PaymentFailed{}, "payment.past_due")
	w.is(PastDue)
	if got := w.armed(); got != nil {
		t.Errorf("armed %v", got)
	}
	w.do(CmdPaymentRecovered, &PaymentRecovered{}, "payment.recovered")
	w.is(Active)

	w.facts.Policy.Grace = 0
	w.do(CmdPaymentFailed, &PaymentFailed{}, "payment.past_due")
	w.do(CmdSuspend, &events.Suspend{}, "tenant.suspended") // the exemption is about money alone
	w.do(CmdResume, &events.Resume{}, "reactivation.started", "tenant.reactivated")
	w.is(PastDue)
}

func TestAnExemptionStopsTheGrace(t *testing.T) {
	w := active(t).after(CmdPaymentFailed, &PaymentFailed{})
	timer := w.state.Timers()[0]
	w.do(CmdExempt, exemption, "tenant.exempted")
	w.is(PastDue)
	w.now = timer.Due
	w.do(CmdFireTimer, &FireTimer{Kind: timer.Kind, Due: timer.Due, Generation: timer.Generation})

	w.do(CmdEndExemption, &events.EndExemption{Reason: "settled"}, "exemption.ended")
	if !w.state.Grace.EndsAt.Equal(timer.Due.Add(7 * day)) {
		t.Errorf("grace %+v", w.state.Grace)
	}
	w.fire(TimerGraceEnd, "tenant.suspended")
	w.refused(CodeInvalidTransition, CmdEndExemption, &events.EndExemption{})
}

func TestAnExemptionBringsBackWhoOwes(t *testing.T) {
	w := unpaidTenant(t)
	w.do(CmdExempt, exemption, "tenant.exempted", "reactivation.started", "tenant.reactivated")
	w.is(PastDue) // it has its access, and owes on
	w.do(CmdEndExemption, &events.EndExemption{}, "exemption.ended")
	w.fire(TimerGraceEnd, "tenant.suspended") // without a grace at once
	if !w.now.Equal(epoch) {
		t.Errorf("suspended at %s", w.now)
	}

	w = unpaidTenant(t).after(CmdSuspend, &events.Suspend{})
	w.do(CmdExempt, exemption, "tenant.exempted")
	w.is(Suspended)
	if got := kinds(w.state.Blocks); !slices.Equal(got, []string{BlockAdmin}) {
		t.Errorf("blocks %v", got)
	}
	w.do(CmdResume, &events.Resume{}, "reactivation.started", "tenant.reactivated")
	w.is(PastDue)
}

func TestAnExemptionDuringAChange(t *testing.T) {
	w := upgrading(t).after(CmdPaymentFailed, &PaymentFailed{})
	w.do(CmdExempt, exemption, "tenant.exempted")
	if w.state.Blocks != nil {
		t.Errorf("blocks %v", w.state.Blocks)
	}
	w.finish()
	w.is(PastDue)

	w = upgrading(t).after(CmdExempt, exemption)
	w.do(CmdPaymentFailed, &PaymentFailed{}, "payment.past_due")
	w.finish()
	w.is(PastDue)
	if got := w.armed(); got != nil {
		t.Errorf("armed %v", got)
	}
}

func TestAnExemptTrialGoesOn(t *testing.T) {
	w := trialing(t).after(CmdExempt, exemption)
	w.fire(TimerTrialEnd, "payment.past_due")
	w.is(PastDue)
	w.do(CmdConfirmPayment, &ConfirmPayment{Status: "active"}, "payment.recovered")
	w.is(Active)

	w = trialing(t)
	w.fire(TimerTrialEnd, "trial.expired")
	w.do(CmdExempt, exemption, "tenant.exempted", "reactivation.started", "tenant.reactivated")
	w.is(PastDue)
}

func TestAnExemptionEndsWithTheLife(t *testing.T) {
	w := deleting(t).after(CmdExempt, exemption)
	w.fire(TimerPurgeDue, "purge.started", "step.requested")
	w.finish()
	if w.state.Exempt != nil {
		t.Errorf("exemption %+v", w.state.Exempt)
	}
}

func TestOnlyOperatorsExempt(t *testing.T) {
	w := active(t)
	w.actor = "tenant:acme"
	w.refused(CodeForbidden, CmdExempt, exemption)
	w.refused(CodeForbidden, CmdEndExemption, &events.EndExemption{})
}
