package tenant

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"tenure/shared/events"
	"tenure/shared/retention"
)

func deleting(t tb) *world {
	return active(t).after(CmdDelete, &events.Delete{RetentionDays: days(10), Reason: "leaving"})
}

func purging(t tb) *world {
	w := deleting(t)
	w.fire(TimerPurgeDue, "purge.started", "step.requested")
	return w
}

func deleted(t tb) *world {
	w := purging(t)
	w.finish()
	w.is(Deleted)
	return w
}

func TestDeletionNamesItsWindow(t *testing.T) {
	w := deleting(t)
	w.is(Deleting)
	p := last[*events.DeletionRequested](w)
	due := epoch.Add(10 * day)
	if p.ScheduledFor != due || p.Latest != due.Add(time.Hour) || p.RetentionDays != 10 || p.PreviousState != "active" || p.Reason != "leaving" {
		t.Errorf("requested %+v", p)
	}
	w.refused(CodeInvalidTransition, CmdDelete, &events.Delete{})
}

func TestRetentionIsRefusedNeverCorrected(t *testing.T) {
	for _, c := range []struct {
		gdpr bool
		days string // as it is written in JSON; "": not at all
		want int    // 0: refused
	}{
		{false, "", 30},
		{false, "1", 1},
		{false, "90", 90},
		{true, "", 30},
		{true, "30", 30},
		{false, "0", 0},
		{false, "-1", 0},
		{false, "91", 0},
		{true, "31", 0},
		{false, "99999999999999999999999", 0},
		{false, "1e400", 0},
		{false, "1.5", 0},
		{false, "29.9999999999999999999", 0},
		{false, `"30"`, 0},
		{true, `"thirty"`, 0},
		{false, "null", 0},
		{false, "true", 0},
		{false, "[30]", 0},
		{false, "{}", 0},
	} {
		w := newWorld(t)
		w.after(CmdRegister, &events.Register{Plan: "free", GDPR: c.gdpr})
		w.finish()
		asked := &events.Delete{}
		if c.days != "" {
			asked.RetentionDays = json.RawMessage(c.days)
		}
		if c.want == 0 {
			says := "retention_days must be a whole number from 1 to 90"
			if c.gdpr {
				says = "retention_days must be a whole number from 1 to 30"
			}
			if r := w.refused(CodeRetentionOutOfRange, CmdDelete, asked); r.Kind != Invalid || r.Message != says {
				t.Errorf("%+v: %s %q", c, r.Kind, r.Message)
			}
			continue
		}
		w.do(CmdDelete, asked, "deletion.requested")
		if got := w.state.Deletion.RetentionDays; got != c.want {
			t.Errorf("%+v: %d days", c, got)
		}
	}
}

func TestDayScalesTheRetentionAndNotTheWindow(t *testing.T) {
	w := active(t)
	w.facts.Policy.Day = time.Second
	w.after(CmdDelete, &events.Delete{})
	if d := w.state.Deletion; d.ScheduledFor != epoch.Add(30*time.Second) || d.Latest.Sub(d.ScheduledFor) != time.Hour {
		t.Errorf("deletion %+v", d)
	}
}

// A tenant's own token must say whom it deletes, by the id or by the name that only the vault knows; an operator's need not,
// and is held to what it says.
func TestDeleteIsConfirmed(t *testing.T) {
	for _, c := range []struct {
		actor, confirm string
		named          bool
		code           string
	}{
		{"operator:ann", "", false, ""},
		{"service:crm", "", false, ""},
		{"operator:ann", "acme", false, ""},
		{"operator:ann", "acne", false, CodeConfirmMismatch},
		{"tenant:acme", "", false, CodeConfirmRequired},
		{"tenant:acme", "acne", false, CodeConfirmMismatch},
		{"tenant:acme", "acme", false, ""},
		{"tenant:acme", "Acme Ltd", true, ""},
	} {
		w := active(t)
		w.actor, w.facts.Named = c.actor, c.named
		if asked := (&events.Delete{Confirm: c.confirm}); c.code == "" {
			w.do(CmdDelete, asked, "deletion.requested")
		} else if r := w.refused(c.code, CmdDelete, asked); r.Kind != Invalid || strings.Contains(r.Message, "acne") {
			t.Errorf("%+v: %s %q", c, r.Kind, r.Message)
		}
	}
}

func TestADeletionNamesItsPolicy(t *testing.T) {
	w := active(t)
	w.facts.Policy.Retention.Rules = []retention.Rule{{Plan: "starter", Max: ptr(60)}}
	want := events.RetentionPolicy{Hash: w.facts.Policy.Retention.Hash(), Min: 1, Max: 60}
	w.refused(CodeRetentionOutOfRange, CmdDelete, &events.Delete{RetentionDays: days(61)})
	w.after(CmdDelete, &events.Delete{RetentionDays: days(60)})
	w.facts.Policy.Retention = retention.Default() // what holds is what was promised
	w.fire(TimerPurgeDue, "purge.started", "step.requested")
	if got := last[*events.DeletionRequested](w).Policy; got != want {
		t.Errorf("requested under %+v", got)
	}
	if got := last[*events.PurgeStarted](w).Policy; got != want {
		t.Errorf("purged under %+v", got)
	}
}

func TestPurgeErasesVerifiesAndCertifies(t *testing.T) {
	w := purging(t)
	w.is(Purging)
	if w.now != w.state.Deletion.ScheduledFor {
		t.Errorf("it began at %s", w.now)
	}
	w.done(billing, actionBill, "step.requested", "step.requested", "step.requested", "step.requested")
	w.done("sample", actionErase)
	w.done(deletion, actionErase)
	w.done(billing, actionErase)
	w.done("search", actionErase, "step.requested", "step.requested", "step.requested")
	w.done("sample", actionVerify)
	w.done("search", actionVerify)
	w.done(deletion, actionVerify, "step.requested")
	s := w.step(deletion, actionCertify)
	w.do(CmdCompleteStep, &CompleteStep{StepID: s.ID, Participant: deletion, Result: json.RawMessage(`{"key":"certificates/acme/1.json"}`)},
		"step.done", "tenant.purged")
	w.is(Deleted)
	if p := last[*events.TenantPurged](w); p.Certificate != "certificates/acme/1.json" || p.Generation != 1 {
		t.Errorf("purged %+v", p)
	}
	if len(w.armed()) > 0 || w.state.Lease != nil {
		t.Errorf("armed %v, lease %+v", w.armed(), w.state.Lease)
	}
}

func TestPurgeIsNeverTooEarlyNorCancelled(t *testing.T) {
	w := deleting(t)
	due := w.state.Deletion.ScheduledFor
	w.now = due.Add(-time.Nanosecond)
	w.do(CmdFireTimer, &FireTimer{Kind: TimerPurgeDue, Due: due, Generation: 1})
	w.is(Deleting)
	d := &decision{state: w.state, cmd: Command{Now: w.now}}
	if d.beginPurge(); len(d.out) > 0 {
		t.Error("whoever passes the timer by can purge early")
	}
	w.now = due
	w.refused(CodeInvalidTransition, CmdCancelDeletion, &events.CancelDeletion{})
	w.refused(CodeInvalidTransition, CmdReactivate, &events.Reactivate{})
	w.fire(TimerPurgeDue, "purge.started", "step.requested")
	w.refused(CodeInvalidTransition, CmdCancelDeletion, &events.CancelDeletion{})
}

func TestFailedStoreIsTriedUntilItIsEmpty(t *testing.T) {
	w := purging(t)
	w.finishAction(actionBill)
	w.done("search", actionErase)
	w.done(deletion, actionErase)
	for attempt := 1; attempt <= 12; attempt++ {
		s := w.step("sample", actionErase)
		want := []string{"step.errored"}
		if attempt%w.facts.Policy.StepAttempts == 0 {
			want = append(want, "purge.step_failed")
		}
		w.do(CmdFailStep, &FailStep{StepID: s.ID, Participant: "sample", Error: "down"}, want...)
		w.is(Purging)
		w.fire(TimerStepRetry, "step.requested")
	}
	w.finish()
	w.is(Deleted)
}

// finishAction answers the steps of this action that are asked.
func (w *world) finishAction(action string) {
	w.Helper()
	for _, s := range w.state.Lease.Steps {
		if s.Action == action && s.Status == StepRunning {
			w.after(CmdCompleteStep, &CompleteStep{StepID: s.key(), Participant: s.Participant})
		}
	}
}

func TestLatePurgeIsAViolation(t *testing.T) {
	w := purging(t)
	w.finishAction(actionBill)
	w.finishAction(actionErase)
	w.finishAction(actionVerify)
	w.now = w.state.Deletion.Latest.Add(time.Second)
	w.done(deletion, actionCertify, "tenant.purged", "compliance.violation")
	if p := last[*events.ComplianceViolation](w); p.Kind != "purge_late" {
		t.Errorf("violation %+v", p)
	}
}

func TestHoldDefersThePurgeOncePerReason(t *testing.T) {
	w := deleting(t)
	w.do(CmdPlaceHold, &events.PlaceHold{Reason: "court"}, "hold.placed")
	first := w.state.Holds[0].ID
	w.do(CmdExport, &events.Export{}, "export.requested")
	w.fire(TimerPurgeDue, "purge.deferred")
	if p := last[*events.PurgeDeferred](w); !slices.Equal(p.Holds, []string{first}) || p.ExportID != w.state.Export.ID {
		t.Errorf("deferred %+v", p)
	}
	if len(w.armed()) > 0 {
		t.Errorf("armed %v", w.armed())
	}
	w.do(CmdPlaceHold, &events.PlaceHold{Reason: "tax"}, "hold.placed", "purge.deferred")
	w.refused(CodeUnknownHold, CmdReleaseHold, &events.ReleaseHold{HoldID: "none"})
	w.do(CmdCompleteExport, &CompleteExport{ExportID: w.state.Export.ID}, "export.completed", "purge.deferred")
	w.do(CmdReleaseHold, &events.ReleaseHold{HoldID: first}, "hold.released", "purge.deferred")
	w.now = w.now.Add(30 * day)
	w.do(CmdReleaseHold, &events.ReleaseHold{}, "hold.released", "purge.started", "step.requested")
	w.finish()
	w.is(Deleted) // and no violation: the hour counts from the release
	if got := w.log[len(w.log)-1].event.Name(); got != "tenant.purged" {
		t.Errorf("the last event is %s", got)
	}
}

func TestHoldDuringThePurgeStopsTheErasing(t *testing.T) {
	w := purging(t)
	w.do(CmdPlaceHold, &events.PlaceHold{Reason: "court"}, "hold.placed")
	w.done(billing, actionBill, "purge.deferred")
	w.is(Purging)
	w.now = w.now.Add(30 * day)
	w.do(CmdReleaseHold, &events.ReleaseHold{}, "hold.released", "step.requested", "step.requested", "step.requested", "step.requested")

	// A store that failed is not asked again under a hold either.
	w.do(CmdFailStep, &FailStep{StepID: w.step("sample", actionErase).ID, Participant: "sample", Error: "down"}, "step.errored")
	w.after(CmdPlaceHold, &events.PlaceHold{})
	if slices.Contains(w.armed(), TimerStepRetry) {
		t.Errorf("armed %v", w.armed())
	}
	w.after(CmdReleaseHold, &events.ReleaseHold{})
	w.fire(TimerStepRetry, "step.requested")
	w.finish()
	if got := w.log[len(w.log)-1].event.Name(); got != "tenant.purged" {
		t.Errorf("the last event is %s", got)
	}
}

func TestQueuedDeletionUndoesTheChangeFirst(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.done("sample", actionProvision)
	w.done("search", actionProvision, "step.requested")
	w.now = w.now.Add(time.Minute)
	asked := w.now
	w.do(CmdDelete, &events.Delete{RetentionDays: days(7), Reason: "leaving"}, "deletion.queued", "step.requested")
	w.is(Upgrading)
	w.refused(CodeOperationInProgress, CmdDelete, &events.Delete{})
	w.now = w.now.Add(time.Minute)
	w.done("sample", actionDrain, "step.requested", "step.requested")
	w.done("sample", actionProvision)
	w.done("search", actionProvision, "upgrade.rolled_back", "deletion.requested")
	w.is(Deleting)
	d := w.state.Deletion
	if d.ScheduledFor != asked.Add(7*day) || d.PreviousState != Active || w.state.QueuedDeletion != nil {
		t.Errorf("deletion %+v", d)
	}
	if p := last[*events.DeletionRequested](w); p.Reason != "leaving" {
		t.Errorf("reason %q", p.Reason)
	}
}

func TestDeletionDuringASignUpRefunds(t *testing.T) {
	w := signedUp(t, "starter", 0).after(CmdConfirmPayment, &ConfirmPayment{Status: "active"})
	w.do(CmdDelete, &events.Delete{}, "deletion.queued", "step.requested", "step.requested")
	w.done("sample", actionProvision)
	w.done("search", actionProvision, "step.requested")
	w.done(billing, actionBill, "provisioning.rolled_back", "deletion.requested")
	w.is(Deleting)

	// Whoever stays after all begins where nothing was left: with resources and a bill.
	w.do(CmdCancelDeletion, &events.CancelDeletion{}, "deletion.cancelled", "reactivation.started", "step.requested", "step.requested")
	w.done("sample", actionProvision)
	w.done("search", actionProvision, "step.requested")
	w.done(billing, actionBill, "tenant.reactivated")
	w.is(Active)
}

func TestResidueIsAViolation(t *testing.T) {
	w := deleted(t)
	w.do(CmdReportResidue, &ReportResidue{Store: "documents", Rows: 3, Generation: 1}, "compliance.violation")
	w.is(Deleted)
	if p := last[*events.ComplianceViolation](w); p.Kind != "residue" || !strings.Contains(p.Detail, "documents") {
		t.Errorf("violation %+v", p)
	}
}

func TestLateNewsOfADeletedTenantIsRefusedAndSoRecorded(t *testing.T) {
	w := deleted(t)
	w.refused(CodeInvalidTransition, CmdPaymentFailed, &PaymentFailed{})
	w.refused(CodeInvalidTransition, CmdPaymentRecovered, &PaymentRecovered{})
	r := w.refused(CodeInvalidTransition, CmdConfirmPayment, &ConfirmPayment{Status: "active"})
	before := w.state
	if got := w.append(r.Event(w.state, CmdConfirmPayment)); got != "command.refused" {
		t.Errorf("recorded as %s", got)
	}
	before.Version++
	if w.state.Name != before.Name || w.state.Version != before.Version {
		t.Errorf("the record changed the tenant: %+v", w.state)
	}
	if again := RefusalOf(last[*events.CommandRefused](w)); again.Kind != r.Kind || again.Code != r.Code || again.Message != r.Message {
		t.Errorf("remembered as %+v", again)
	}
}

func TestBillingNewsOfALeavingTenant(t *testing.T) {
	w := active(t)
	w.facts.Policy.Grace = 0
	w.after(CmdDelete, &events.Delete{})
	w.do(CmdPaymentFailed, &PaymentFailed{}, "block.added")
	w.do(CmdPaymentRecovered, &PaymentRecovered{}, "block.lifted")
	w.is(Deleting)
}

// A participant that counts what is left and calls that verified is not believed.
func TestAVerifyThatCountsRowsIsAFailure(t *testing.T) {
	for result, done := range map[string]bool{`{"after":0}`: true, `{}`: true, `{"after":3}`: false} {
		w := purging(t)
		running := func(s Step) bool { return s.Status == StepRunning }
		i := slices.IndexFunc(w.state.Lease.Steps, running)
		for w.state.Lease.Steps[i].Action != actionVerify {
			step := w.state.Lease.Steps[i]
			w.after(CmdCompleteStep, &CompleteStep{StepID: step.ID, Participant: step.Participant})
			i = slices.IndexFunc(w.state.Lease.Steps, running)
		}
		step := w.state.Lease.Steps[i]
		w.after(CmdCompleteStep, &CompleteStep{StepID: step.ID, Participant: step.Participant, Result: json.RawMessage(result)})
		if now := w.state.Lease.Steps[i].Status; (now == StepDone) != done {
			t.Errorf("%s: the step is %s", result, now)
		}
	}
}
