package tenant

import (
	"testing"
	"time"

	"tenure/shared/events"
)

// views folds the whole log into operations.
func (w *world) views() map[string]OperationView {
	out := map[string]OperationView{}
	for _, e := range w.log {
		if id := OperationOf(e.payload); id != "" {
			out[id] = ProjectOperation(out[id], e.event, e.payload)
		}
	}
	return out
}

func TestOperationIsShownFromStartToEnd(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	id := w.state.Lease.ID
	w.finishAction(actionProvision)
	v := w.views()[id]
	if v.Kind != OpUpgrade || v.Status != OpRunning || v.Step != actionDrain || v.FromPlan != "starter" || v.ToPlan != "professional" {
		t.Errorf("view %+v", v)
	}
	if v.Progress != 2.0/7 || len(v.Steps) != 7 || v.Steps[0].Status != StepDone || v.Steps[2].Status != StepRunning {
		t.Errorf("view %+v", v)
	}
	w.now = w.now.Add(time.Minute)
	w.finish()
	v = w.views()[id]
	if v.Status != OpSucceeded || v.Progress != 1 || v.Step != "" || !v.StartedAt.Equal(epoch) || !v.EndedAt.Equal(w.now) {
		t.Errorf("view %+v", v)
	}
}

func TestOperationThatIsUndoneOrStuck(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	id := w.state.Lease.ID
	w.failed("sample", actionProvision, "step.requested", "step.requested")
	if v := w.views()[id]; v.Status != OpRunning || v.Error != "broken" || !v.Steps[0].Compensate || v.Progress != 0 {
		t.Errorf("view %+v", v)
	}
	w.failed("sample", actionProvision, "upgrade.stuck")
	if v := w.views()[id]; v.Status != OpRunning || !v.NeedsOperator {
		t.Errorf("view %+v", v)
	}
	w.after(CmdRetryOperation, &RetryOperation{})
	if v := w.views()[id]; v.NeedsOperator {
		t.Errorf("view %+v", v)
	}
	w.finish()
	if v := w.views()[id]; v.Status != OpRolledBack || v.Error != "broken" {
		t.Errorf("view %+v", v)
	}
}

func TestOperationThatIsScheduled(t *testing.T) {
	w := active(t).after(CmdDowngrade, &events.Downgrade{Plan: "free"})
	id := w.state.Pending.OperationID
	if v := w.views()[id]; v.Kind != OpDowngrade || v.Status != OpPending || v.ToPlan != "free" {
		t.Errorf("view %+v", v)
	}
	w.fire(TimerDowngradeDue, "downgrade.started", "step.requested", "step.requested")
	w.finish()
	if v := w.views()[id]; v.Status != OpSucceeded || !v.StartedAt.Equal(epoch) {
		t.Errorf("view %+v", v)
	}

	w = active(t).after(CmdDowngrade, &events.Downgrade{Plan: "free"})
	id = w.state.Pending.OperationID
	w.after(CmdCancelChange, &events.CancelChange{})
	if v := w.views()[id]; v.Status != OpCancelled {
		t.Errorf("view %+v", v)
	}
}

func TestExportIsAnOperation(t *testing.T) {
	w := active(t).after(CmdExport, &events.Export{})
	id := w.state.Export.ID
	if v := w.views()[id]; v.ID != id || v.Tenant != "acme" || v.Kind != OpExport || v.Status != OpRunning {
		t.Errorf("view %+v", v)
	}
	w.after(CmdFailExport, &FailExport{ExportID: id, Error: "no space"})
	if v := w.views()[id]; v.Status != OpFailed || v.Error != "no space" {
		t.Errorf("view %+v", v)
	}
}

func TestFailedSignUpEndsTwice(t *testing.T) {
	w := signedUp(t, "starter", 0).after(CmdConfirmPayment, &ConfirmPayment{Status: "active"})
	id := w.state.Lease.ID
	w.failed("sample", actionProvision, "provisioning.failed")
	if v := w.views()[id]; v.Status != OpFailed || v.Steps[0].Status != StepDone {
		t.Errorf("view %+v", v)
	}
	w.after(CmdAbandon, &events.Abandon{})
	if v := w.views()[id]; v.Status != OpRunning || !v.EndedAt.IsZero() {
		t.Errorf("view %+v", v)
	}
	w.finish()
	if v := w.views()[id]; v.Status != OpRolledBack {
		t.Errorf("view %+v", v)
	}
}

func TestPurgeAndReturnAreOperations(t *testing.T) {
	w := deleted(t)
	for _, v := range w.views() {
		if v.Status != OpSucceeded {
			t.Errorf("view %+v", v)
		}
	}
	w = deleting(t).after(CmdReactivate, &events.Reactivate{})
	id := w.state.Lease.ID
	w.failed("sample", actionRestore, "step.requested")
	w.finish()
	if v := w.views()[id]; v.Status != OpFailed || v.Kind != OpReactivate {
		t.Errorf("view %+v", v)
	}
}
