package tenant

import (
	"testing"

	"tenure/shared/events"
)

func TestACouponReachesBillingAndNobodyElse(t *testing.T) {
	w := deleting(t)
	w.actor = "link:m1"
	w.after(CmdReactivate, &events.Reactivate{Coupon: "BACK50"})
	if p := last[*events.ReactivationStarted](w); p.Operation.Coupon != "BACK50" {
		t.Errorf("began %+v", p.Operation)
	}
	if p := last[*events.StepRequested](w); p.Action != actionRestore || p.Coupon != "" {
		t.Errorf("asked %+v", p)
	}
	w.done("sample", actionRestore, "step.requested")
	if p := last[*events.StepRequested](w); p.Action != actionBill || p.Coupon != "BACK50" {
		t.Errorf("asked %+v", p)
	}
}

func TestACouponIsReasonEnoughToAskBilling(t *testing.T) {
	w := active(t).after(CmdSuspend, &events.Suspend{})
	w.do(CmdReactivate, &events.Reactivate{Coupon: "BACK50"}, "reactivation.started", "step.requested")
	if p := last[*events.StepRequested](w); p.Action != actionBill || p.Coupon != "BACK50" {
		t.Errorf("asked %+v", p)
	}
}

func TestANewLifeBeginsWithItsCouponAlsoWhenItIsBegunAgain(t *testing.T) {
	w := deleted(t)
	w.after(CmdReactivate, &events.Reactivate{RestoreData: ptr(false), Coupon: "BACK50"})
	billed := func() {
		t.Helper()
		w.finishAction(actionVerify)
		w.finishAction(actionProvision)
		if p := last[*events.StepRequested](w); p.Action != actionBill || p.Coupon != "BACK50" {
			t.Errorf("asked %+v", p)
		}
	}
	billed()
	w.failed(billing, actionBill, "provisioning.failed")
	w.is(ProvisioningFailed)
	w.after(CmdRetryProvisioning, &events.RetryProvisioning{})
	billed()
}

func TestATenantNamesNoCouponByItsOwnToken(t *testing.T) {
	w := deleting(t)
	w.actor = "tenant:acme"
	w.refused(CodeForbidden, CmdReactivate, &events.Reactivate{Coupon: "BACK50"})
}

func TestWhoeverHasALinkMayNoMoreThanTheTenant(t *testing.T) {
	w := active(t).after(CmdSuspend, &events.Suspend{Block: BlockAbuse})
	w.actor = "link:m1"
	w.refused(CodeForbidden, CmdReactivate, &events.Reactivate{})
	w.refused(CodeForbidden, CmdResume, &events.Resume{})
}
