package tenant

import (
	"slices"
	"testing"
	"time"

	"tenure/shared/events"
)

func TestCancelledDeletionRestores(t *testing.T) {
	w := deleting(t)
	w.do(CmdCancelDeletion, &events.CancelDeletion{Reason: "stays"}, "deletion.cancelled", "reactivation.started", "step.requested")
	w.is(Reactivating)
	if got := w.armed(); !slices.Equal(got, []string{TimerStepTimeout}) {
		t.Errorf("armed %v", got)
	}
	w.done("sample", actionRestore, "step.requested")
	w.done(billing, actionBill, "tenant.reactivated")
	w.is(Active)
	if w.state.Deletion != nil || len(w.armed()) > 0 {
		t.Errorf("deletion %+v, armed %v", w.state.Deletion, w.armed())
	}
}

func TestFailedReturnFallsBackOnTheSameDeadline(t *testing.T) {
	w := deleting(t)
	due := w.state.Deletion.ScheduledFor
	w.after(CmdReactivate, &events.Reactivate{})
	w.now = w.now.Add(day)
	w.done("sample", actionRestore, "step.requested")
	w.failed(billing, actionBill, "step.requested")
	w.done(billing, actionBill, "step.requested")
	w.done("sample", actionRestore, "reactivation.failed")
	w.is(Deleting)
	if got := w.state.Timers(); len(got) != 1 || got[0].Kind != TimerPurgeDue || got[0].Due != due {
		t.Errorf("timers %v", got)
	}
}

func TestReturnToBlocks(t *testing.T) {
	w := active(t).after(CmdSuspend, &events.Suspend{Block: BlockAbuse}).after(CmdDelete, &events.Delete{})
	w.after(CmdCancelDeletion, &events.CancelDeletion{})
	w.finish()
	w.is(Suspended)
	if !w.state.Blocked(BlockAbuse) {
		t.Error("leaving and coming back lifted the block")
	}
	if p := last[*events.TenantReactivated](w); p.To != "suspended" || len(p.Blocks) != 1 {
		t.Errorf("reactivated %+v", p)
	}
}

func TestSuspendedTenantPaysItsWayBack(t *testing.T) {
	w := active(t)
	w.facts.Policy.Grace = 0
	w.after(CmdPaymentFailed, &PaymentFailed{})
	w.actor = "tenant:acme"
	w.do(CmdReactivate, &events.Reactivate{}, "reactivation.started", "step.requested")
	w.failed(billing, actionBill, "step.requested")
	w.done(billing, actionBill, "reactivation.failed")
	w.is(Suspended)
	if !w.state.Blocked(BlockPayment) {
		t.Fatal("the block is gone without a payment")
	}
	w.after(CmdReactivate, &events.Reactivate{})
	w.done(billing, actionBill, "tenant.reactivated")
	w.is(Active)
	if w.state.Blocks != nil {
		t.Errorf("blocks %v", w.state.Blocks)
	}
}

func TestOperatorBringsATenantBackAtOnce(t *testing.T) {
	w := active(t).after(CmdSuspend, &events.Suspend{})
	w.do(CmdReactivate, &events.Reactivate{}, "reactivation.started", "tenant.reactivated")
	w.is(Active)
}

func TestReturnToAnotherPlan(t *testing.T) {
	w := trialing(t)
	w.fire(TimerTrialEnd, "trial.expired")
	w.refused(CodeUnknownPlan, CmdReactivate, &events.Reactivate{Plan: "gold"})
	w.facts.Usage.Documents = 51
	w.refused(CodeUsageOverLimit, CmdReactivate, &events.Reactivate{Plan: "free"})
	w.do(CmdReactivate, &events.Reactivate{Plan: "professional"}, "reactivation.started", "step.requested", "step.requested")
	w.done("sample", actionProvision)
	w.done("search", actionProvision, "step.requested")
	w.done(billing, actionBill, "step.requested")
	w.done("sample", actionSwitch, "step.requested")
	w.done("sample", actionRelease, "tenant.reactivated") // what the old plan had is not kept beside the new one's
	w.is(Active)
	if w.state.Plan != "professional" {
		t.Errorf("plan %s", w.state.Plan)
	}
}

func TestFreshReturnErasesFirst(t *testing.T) {
	fresh := &events.Reactivate{RestoreData: ptr(false)}
	w := deleting(t).after(CmdPlaceHold, &events.PlaceHold{})
	w.refused(CodeOnHold, CmdReactivate, fresh)
	w.after(CmdReleaseHold, &events.ReleaseHold{}).after(CmdExport, &events.Export{})
	w.refused(CodeOperationInProgress, CmdReactivate, fresh)
	w.after(CmdCancelExport, &events.CancelExport{ExportID: w.state.Export.ID})

	w.do(CmdReactivate, fresh, "deletion.cancelled", "reactivation.started", "step.requested", "step.requested", "step.requested")
	if p := last[*events.StepRequested](w); p.Action != actionErase || p.RestoreData == nil || *p.RestoreData {
		t.Errorf("asked %+v", p)
	}
	w.finishAction(actionErase)
	w.finishAction(actionVerify)
	w.finishAction(actionProvision)
	w.failed(billing, actionBill, "step.requested")
	// What is erased stays erased: only the bill and the new resources are taken back.
	w.finish()
	w.is(Deleting)
}

func TestWhatIsErasedStaysErased(t *testing.T) {
	w := deleting(t).after(CmdReactivate, &events.Reactivate{RestoreData: ptr(false)})
	w.done("search", actionErase)
	w.done(deletion, actionErase)
	w.failed("sample", actionErase, "reactivation.failed")
	w.is(Deleting)
}

// One participant cannot erase, the others still do: whoever came back now would meet them.
func TestNobodyComesBackBeneathTheErasing(t *testing.T) {
	for name, last := range map[string]func(*world, ...string){
		"the last erases": func(w *world, want ...string) { w.done(deletion, actionErase, want...) },
		"the last fails":  func(w *world, want ...string) { w.failed(deletion, actionErase, want...) },
		"the last is silent": func(w *world, want ...string) {
			for range w.facts.Policy.StepAttempts - 1 {
				w.fire(TimerStepTimeout, "step.errored")
				w.fire(TimerStepRetry, "step.requested")
			}
			w.fire(TimerStepTimeout, append([]string{"step.errored"}, want...)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := deleting(t).after(CmdReactivate, &events.Reactivate{RestoreData: ptr(false)})
			w.failed("sample", actionErase)
			w.is(Reactivating)
			w.done("search", actionErase)
			w.is(Reactivating)
			last(w, "reactivation.failed")
			w.is(Deleting)
		})
	}
}

// Whoever had no tries left answers after all, while another still erases: nothing has turned back yet.
func TestALateEraseSavesAFreshStart(t *testing.T) {
	w := deleting(t).after(CmdReactivate, &events.Reactivate{RestoreData: ptr(false)})
	w.failed("sample", actionErase)
	w.done("sample", actionErase)
	w.done("search", actionErase)
	w.done(deletion, actionErase, "step.requested", "step.requested", "step.requested")
	w.finish()
	w.is(Active)
}

func TestDeletionQueuedDuringAReturn(t *testing.T) {
	w := deleting(t).after(CmdCancelDeletion, &events.CancelDeletion{})
	w.now = w.now.Add(time.Hour)
	w.do(CmdDelete, &events.Delete{RetentionDays: days(20)}, "deletion.queued", "step.requested")
	w.done("sample", actionRestore, "reactivation.failed", "deletion.requested")
	w.is(Deleting)
	if d := w.state.Deletion; d.ScheduledFor != w.now.Add(20*day) || d.PreviousState != Active {
		t.Errorf("deletion %+v", d)
	}
}

func TestDeletedTenantBeginsANewLifeOnly(t *testing.T) {
	w := deleted(t)
	if r := w.refused(CodeDataDeleted, CmdReactivate, &events.Reactivate{}); r.Kind != Conflict {
		t.Errorf("kind %s", r.Kind)
	}
	w.refused(CodeInvalidTransition, CmdRegister, &events.Register{Plan: "free"})
	w.do(CmdReactivate, &events.Reactivate{Plan: "professional", RestoreData: ptr(false)},
		"tenant.reborn", "provisioning.started", "step.requested", "step.requested", "step.requested")
	w.is(Provisioning)
	if p := last[*events.StepRequested](w); p.Action != actionVerify || p.Generation != 2 {
		t.Errorf("the new life begins with %+v", p)
	}
	w.finishAction(actionVerify)
	w.failed("sample", actionProvision, "provisioning.failed")
	w.after(CmdRetryProvisioning, &events.RetryProvisioning{})
	w.finish()
	w.is(Active)
	if s := w.state; s.Generation != 2 || s.Plan != "professional" || s.Deletion != nil || s.Blocks != nil {
		t.Errorf("state %+v", s)
	}
	op := last[*events.ProvisioningRetried](w).Operation
	if bill := op.Steps[len(op.Steps)-1]; bill.Participant != billing || bill.Phase != 3 {
		t.Errorf("the last step is %+v", bill)
	}
}

// A fresh start that is erasing cannot turn back: the erasing would go on, and meet the data of a tenant that came back
// meanwhile. The deletion that is asked for then waits for the end.
func TestADeletionWaitsForAFreshStartThatErases(t *testing.T) {
	w := active(t)
	w.after(CmdDelete, &events.Delete{})
	w.after(CmdReactivate, &events.Reactivate{RestoreData: ptr(false)})
	if s := w.step("sample", actionErase); s.Status != StepRunning {
		t.Fatalf("the erasing is %s", s.Status)
	}
	w.do(CmdDelete, &events.Delete{}, "deletion.queued")
	w.is(Reactivating)
	if w.state.Lease.Status != LeaseRunning {
		t.Errorf("the fresh start is %s", w.state.Lease.Status)
	}
	w.finish()
	w.is(Deleting)
}
