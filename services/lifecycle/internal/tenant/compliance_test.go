package tenant

import (
	"strings"
	"testing"
	"time"

	"tenure/shared/events"
)

func TestAPurgeThatBeginsLateIsAViolation(t *testing.T) {
	w := deleting(t)
	w.now = w.state.Deletion.ScheduledFor.Add(PurgeLateness)
	w.fire(TimerPurgeDue, "purge.started", "step.requested")

	w = deleting(t)
	w.now = w.state.Deletion.ScheduledFor.Add(5 * day)
	w.fire(TimerPurgeDue, "compliance.violation", "purge.started", "step.requested")
	if p := last[*events.ComplianceViolation](w); p.Kind != "purge_overdue" || !strings.Contains(p.Detail, "120h") || p.From != p.To {
		t.Errorf("violation %+v", p)
	}
	w.is(Purging)
}

func TestAReturnThatFailedIsNoLateness(t *testing.T) {
	w := deleting(t)
	w.now = w.state.Deletion.ScheduledFor.Add(-time.Second)
	w.after(CmdCancelDeletion, &events.CancelDeletion{})
	w.now = w.now.Add(10 * time.Minute)
	w.failed("sample", actionRestore, "step.requested")
	w.done("sample", actionRestore, "reactivation.failed")
	if d := w.state.Deletion; !d.Latest.Equal(w.now.Add(window)) {
		t.Errorf("the window ends at %s", d.Latest)
	}
	w.fire(TimerPurgeDue, "purge.started", "step.requested")
}

func TestAnEarlyPurgeIsReported(t *testing.T) {
	due := epoch.Add(day)
	for _, w := range []*world{active(t), deleting(t), purging(t), deleted(t)} {
		w.do(CmdReportEarly, &ReportEarly{Version: 7, Began: epoch, Due: &due}, "compliance.violation")
		if p := last[*events.ComplianceViolation](w); p.Kind != ViolationEarly || !strings.Contains(p.Detail, "event 7") || !strings.Contains(p.Detail, "2026-02-01T12:00:00Z") {
			t.Errorf("violation %+v", p)
		}
	}
	w := active(t)
	w.do(CmdReportEarly, &ReportEarly{Version: 7, Began: epoch}, "compliance.violation")
	if p := last[*events.ComplianceViolation](w); !strings.Contains(p.Detail, "nobody had asked") {
		t.Errorf("violation %+v", p)
	}
}
