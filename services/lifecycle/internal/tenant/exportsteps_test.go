package tenant

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"tenure/shared/events"
)

const noFiles = `{"files":[]}`

// exporting is a tenant with a running export that two participants add to.
func exporting(t *testing.T, p *events.Export) *world {
	w := active(t)
	for i := range w.facts.Participants {
		w.facts.Participants[i].Actions = append(w.facts.Participants[i].Actions, "export")
	}
	w.do(CmdExport, p, "export.requested", "step.requested", "step.requested")
	return w
}

// files answers the export step of a participant.
func (w *world) files(participant, result string, want ...string) {
	w.Helper()
	for _, s := range w.state.Export.Steps {
		if s.Participant == participant {
			w.do(CmdCompleteStep, &CompleteStep{StepID: s.ID, Participant: participant, Result: json.RawMessage(result)}, want...)
			return
		}
	}
	w.Fatalf("%s is not asked: %+v", participant, w.state.Export)
}

func TestParticipantsAddTheirFilesToAnExport(t *testing.T) {
	w := exporting(t, &events.Export{Since: "2026-01-01T01:00:00+01:00", Include: []string{"documents"}})
	requested := last[*events.ExportRequested](w)
	if !reflect.DeepEqual(requested.Participants, []string{"sample", "search"}) {
		t.Errorf("participants %v", requested.Participants)
	}
	asked := last[*events.StepRequested](w)
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	want := events.StepRequest{
		StepID: requested.ExportID + "-2", OperationID: requested.ExportID, Operation: "export", Participant: "search", Action: "export",
		Attempt: 1, Since: &since, Include: []string{"documents"}, Generation: 1, Deadline: w.now.Add(w.facts.Policy.StepTimeout),
	}
	if !reflect.DeepEqual(asked.StepRequest, want) {
		t.Errorf("asked %+v, not %+v", asked.StepRequest, want)
	}

	w.files("sample", `{"files":[{"kind":"documents","url":"https://files.example/1","rows":3}]}`, "step.done")
	if done := last[*events.StepDone](w); done.OperationID != requested.ExportID || !strings.Contains(string(done.Result), "files.example/1") {
		t.Errorf("done %+v", done)
	}
	w.files("sample", noFiles) // an answer counts once
	w.files("search", noFiles, "step.done")
	if got := w.armed(); len(got) != 0 {
		t.Errorf("armed %v", got)
	}
	w.do(CmdCompleteExport, &CompleteExport{ExportID: requested.ExportID}, "export.completed")
}

func TestAnExportStepIsTriedAgain(t *testing.T) {
	w := exporting(t, &events.Export{})
	w.files("search", noFiles, "step.done")
	w.facts.Participants[0].Timeout = 90 * time.Second // as it is registered now
	w.fire(TimerStepTimeout, "step.errored")
	w.fire(TimerStepRetry, "step.requested")
	p := last[*events.StepRequested](w)
	if p.Attempt != 2 || p.Participant != "sample" || p.Deadline.Sub(w.now) != 90*time.Second {
		t.Errorf("asked again %+v", p)
	}
	w.do(CmdFailStep, &FailStep{StepID: p.StepID, Participant: "search", Error: "not its own"})
	w.do(CmdFailStep, &FailStep{StepID: p.StepID, Participant: "sample", Error: "busy"}, "step.errored")
	w.files("sample", noFiles, "step.done") // late, but it counts
}

func TestAnExportFailsWithItsLastTry(t *testing.T) {
	for name, fail := range map[string]func(*world){
		"silence": func(w *world) {
			for range w.facts.Policy.StepAttempts - 1 {
				w.fire(TimerStepTimeout, "step.errored")
				w.fire(TimerStepRetry, "step.requested")
			}
			w.fire(TimerStepTimeout, "step.errored", "export.failed")
		},
		"for good": func(w *world) {
			s := w.state.Export.Steps[0]
			p := &FailStep{StepID: s.ID, Participant: "sample", Error: "no such tenant", Permanent: true}
			w.do(CmdFailStep, p, "step.errored", "export.failed")
		},
		"no result": func(w *world) { w.files("sample", "", "step.errored", "export.failed") },
		"no files":  func(w *world) { w.files("sample", `{}`, "step.errored", "export.failed") },
		"an unknown kind": func(w *world) {
			w.files("sample", `{"files":[{"kind":"keys","url":"https://x"}]}`, "step.errored", "export.failed")
		},
		"no url": func(w *world) {
			w.files("sample", `{"files":[{"kind":"usage","url":"/x"}]}`, "step.errored", "export.failed")
		},
		"less than none": func(w *world) {
			w.files("sample", `{"files":[{"kind":"usage","url":"https://x","rows":-1}]}`, "step.errored", "export.failed")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := exporting(t, &events.Export{})
			if name == "silence" {
				w.files("search", noFiles, "step.done")
			}
			id := w.state.Export.ID
			fail(w)
			if p := last[*events.ExportFailed](w); p.ExportID != id || !strings.HasPrefix(p.Error, "sample: ") {
				t.Errorf("failed %+v", p)
			}
			if s := w.state; s.Export != nil || s.Lease != nil || len(s.Timers()) != 0 {
				t.Errorf("left %+v", s)
			}
			w.do(CmdCompleteStep, &CompleteStep{StepID: id + "-1", Participant: "sample", Result: json.RawMessage(noFiles)})
		})
	}
}

func TestACancelledExportAsksNobody(t *testing.T) {
	w := exporting(t, &events.Export{})
	id := w.state.Export.ID
	w.do(CmdCancelExport, &events.CancelExport{ExportID: id}, "export.cancelled")
	if got := w.armed(); len(got) != 0 {
		t.Errorf("armed %v", got)
	}
	w.do(CmdCompleteStep, &CompleteStep{StepID: id + "-1", Participant: "sample", Result: json.RawMessage(noFiles)})
}

// An export's steps and those of a plan change end without a look at each other.
func TestAnExportBesideAPlanChange(t *testing.T) {
	w := exporting(t, &events.Export{})
	w.after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	lease := w.state.Lease
	w.files("sample", noFiles, "step.done")
	s := w.state.Export.Steps[1]
	w.do(CmdFailStep, &FailStep{StepID: s.ID, Participant: "search", Error: "gone", Permanent: true}, "step.errored", "export.failed")
	if !reflect.DeepEqual(w.state.Lease, lease) {
		t.Errorf("the upgrade is now %+v", w.state.Lease)
	}
	w.after(CmdExport, &events.Export{})
	x := w.state.Export
	w.finish()
	w.is(Active)
	if !reflect.DeepEqual(w.state.Export, x) {
		t.Errorf("the export is now %+v", w.state.Export)
	}
}

func TestAPurgeWaitsForAnExportAndGoesOnWhenItFails(t *testing.T) {
	w := exporting(t, &events.Export{})
	w.after(CmdDelete, &events.Delete{})
	w.is(Deleting)
	w.files("search", noFiles, "step.done")
	w.now = w.state.Deletion.ScheduledFor
	w.fire(TimerPurgeDue, "purge.deferred")
	w.do(CmdFailStep, &FailStep{StepID: w.state.Export.Steps[0].ID, Participant: "sample", Error: "gone", Permanent: true},
		"step.errored", "export.failed", "purge.started", "step.requested")
	w.is(Purging)
}

func TestAnExportShowsWhoHasAnswered(t *testing.T) {
	w := exporting(t, &events.Export{})
	id := w.state.Export.ID
	w.files("sample", noFiles, "step.done")
	v := w.views()[id]
	if len(v.Steps) != 2 || v.Steps[0].Status != StepDone || v.Steps[1].Status != StepRunning || v.Progress <= 0 || v.Progress >= 1 {
		t.Errorf("the view is %+v", v)
	}
	w.files("search", noFiles, "step.done")
	if v := w.views()[id]; v.Progress >= 1 || v.Status != OpRunning {
		t.Errorf("without an archive the view is %+v", v)
	}
	w.after(CmdCompleteExport, &CompleteExport{ExportID: id})
	if v := w.views()[id]; v.Progress != 1 || v.Status != OpSucceeded {
		t.Errorf("the view is %+v", v)
	}
}
