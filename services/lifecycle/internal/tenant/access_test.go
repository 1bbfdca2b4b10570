package tenant

import (
	"slices"
	"testing"

	"tenure/shared/events"
)

func kinds(blocks []events.Block) []string {
	var out []string
	for _, b := range blocks {
		out = append(out, b.Kind)
	}
	return out
}

func TestUnpaidTenantHasItsGrace(t *testing.T) {
	w := active(t)
	w.do(CmdPaymentFailed, &PaymentFailed{}, "payment.past_due")
	w.is(PastDue)
	w.do(CmdPaymentFailed, &PaymentFailed{})
	w.do(CmdPaymentRecovered, &PaymentRecovered{}, "payment.recovered")
	w.is(Active)
	w.do(CmdPaymentRecovered, &PaymentRecovered{})

	w.after(CmdPaymentFailed, &PaymentFailed{})
	w.fire(TimerGraceEnd, "tenant.suspended")
	w.is(Suspended)
	if got := kinds(w.state.Blocks); !slices.Equal(got, []string{BlockPayment}) || w.state.Grace != nil {
		t.Errorf("blocks %v, grace %v", got, w.state.Grace)
	}
	w.do(CmdPaymentRecovered, &PaymentRecovered{}, "reactivation.started", "tenant.reactivated")
	w.is(Active)
	if w.state.Blocks != nil {
		t.Errorf("blocks %v", w.state.Blocks)
	}
}

func TestNoGraceSuspendsAtOnce(t *testing.T) {
	w := active(t)
	w.facts.Plans[1].Grace = ptr(0 * day)
	w.do(CmdPaymentFailed, &PaymentFailed{}, "tenant.suspended")
	w.is(Suspended)
}

func TestBlocksAreLiftedOneByOne(t *testing.T) {
	w := active(t)
	w.do(CmdSuspend, &events.Suspend{Reason: "spam", Block: "abuse"}, "tenant.suspended")
	w.do(CmdSuspend, &events.Suspend{Reason: "audit"}, "block.added")
	w.refused(CodeInvalidTransition, CmdSuspend, &events.Suspend{})
	w.refused(CodeInvalidArgument, CmdSuspend, &events.Suspend{Block: "payment"})
	w.do(CmdPaymentFailed, &PaymentFailed{}, "block.added")
	w.do(CmdPaymentFailed, &PaymentFailed{})
	w.do(CmdResume, &events.Resume{}, "block.lifted", "block.lifted")
	w.is(Suspended)
	w.refused(CodeInvalidTransition, CmdResume, &events.Resume{})
	w.do(CmdPaymentRecovered, &PaymentRecovered{}, "reactivation.started", "tenant.reactivated")
	w.is(Active)
}

func TestSuspensionDoesNotStopTheGrace(t *testing.T) {
	w := active(t).after(CmdPaymentFailed, &PaymentFailed{})
	w.do(CmdSuspend, &events.Suspend{}, "tenant.suspended")
	w.do(CmdResume, &events.Resume{}, "reactivation.started", "tenant.reactivated")
	w.is(PastDue)
	w.after(CmdSuspend, &events.Suspend{})
	w.fire(TimerGraceEnd, "block.added")
	w.do(CmdResume, &events.Resume{}, "block.lifted")
	w.is(Suspended)
}

func TestPaidWhileSuspendedForAnotherReason(t *testing.T) {
	w := active(t).after(CmdPaymentFailed, &PaymentFailed{}).after(CmdSuspend, &events.Suspend{})
	w.do(CmdPaymentRecovered, &PaymentRecovered{}, "payment.recovered")
	w.is(Suspended)
	w.do(CmdResume, &events.Resume{}, "reactivation.started", "tenant.reactivated")
	w.is(Active)
}

func TestBlocksWaitForTheEndOfAnOperation(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.do(CmdSuspend, &events.Suspend{Reason: "audit"}, "block.added")
	w.is(Upgrading)
	w.finish()
	w.is(Suspended)
	if got := w.log[len(w.log)-1].event.Name(); got != "tenant.suspended" {
		t.Errorf("the last event is %s", got)
	}
	if w.state.Plan != "professional" {
		t.Errorf("plan %s", w.state.Plan)
	}
}

func TestPaymentThatFailsDuringAnOperationHasItsGrace(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.do(CmdPaymentFailed, &PaymentFailed{}, "block.added")
	w.finish()
	w.is(PastDue)
	if w.state.Blocks != nil || !w.state.Grace.EndsAt.Equal(epoch.Add(7*day)) {
		t.Errorf("blocks %v, grace %v", w.state.Blocks, w.state.Grace)
	}

	w = active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.facts.Policy.Grace = 0
	w.do(CmdPaymentFailed, &PaymentFailed{}, "block.added")
	w.finish()
	w.is(Suspended)

	w = active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"}).after(CmdPaymentFailed, &PaymentFailed{})
	w.do(CmdPaymentRecovered, &PaymentRecovered{}, "block.lifted")
	w.finish()
	w.is(Active)
}

func TestATenantDoesNotCommandItsOperators(t *testing.T) {
	w := active(t)
	w.actor = "tenant:acme"
	if r := w.refused(CodeForbidden, CmdSuspend, &events.Suspend{}); r.Kind != Forbidden {
		t.Errorf("kind %s", r.Kind)
	}
	w.refused(CodeForbidden, CmdPlaceHold, &events.PlaceHold{})

	w.actor = "operator:ann"
	w.after(CmdSuspend, &events.Suspend{})
	w.actor = "tenant:acme"
	w.refused(CodeForbidden, CmdResume, &events.Resume{})
	w.refused(CodeForbidden, CmdReactivate, &events.Reactivate{})
	w.refused(CodeForbidden, CmdExport, &events.Export{})
}

func TestNewsOfWhomThereIsNone(t *testing.T) {
	w := newWorld(t)
	if r := w.refused(CodeUnknownTenant, CmdPaymentFailed, &PaymentFailed{}); r.Kind != NotFound {
		t.Errorf("kind %s", r.Kind)
	}
	w.do(CmdCompleteStep, &CompleteStep{StepID: "op1-1"})
	w.do(CmdFireTimer, &FireTimer{Kind: TimerPurgeDue})
	w.refused(CodeUnknownCommand, "launch", &events.Upgrade{})
	w.refused(CodeWrongPayload, CmdRegister, &events.Upgrade{})
}
