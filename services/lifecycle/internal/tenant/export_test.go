package tenant

import (
	"testing"
	"time"

	"tenure/shared/events"
)

func TestExportShowsInTheStatusAlone(t *testing.T) {
	w := active(t)
	w.do(CmdExport, &events.Export{Since: "2026-01-01T00:00:00Z", Include: []string{"documents"}}, "export.requested")
	w.is(Active)
	p := last[*events.ExportRequested](w)
	if p.From != "active" || p.To != Exporting || w.state.Status() != Exporting {
		t.Errorf("requested %+v", p)
	}
	r := w.refused(CodeOperationInProgress, CmdExport, &events.Export{})
	if r.Kind != Conflict {
		t.Errorf("kind %s", r.Kind)
	}

	// The export runs on beside a plan change.
	w.after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.finish()
	if got := last[*events.UpgradeCompleted](w).To; got != Exporting {
		t.Errorf("the upgrade led to %s", got)
	}
	w.do(CmdCompleteExport, &CompleteExport{ExportID: "other"})
	w.do(CmdCompleteExport, &CompleteExport{ExportID: p.ExportID, SHA256: "ab", Bytes: 7}, "export.completed")
	w.do(CmdCompleteExport, &CompleteExport{ExportID: p.ExportID})
	if c := last[*events.ExportCompleted](w); c.From != Exporting || c.To != "active" || c.Bytes != 7 {
		t.Errorf("completed %+v", c)
	}
}

func TestExportFailsOrIsCancelled(t *testing.T) {
	w := active(t)
	w.refused(CodeInvalidTransition, CmdCancelExport, &events.CancelExport{ExportID: "x"})
	w.after(CmdExport, &events.Export{})
	w.refused(CodeInvalidTransition, CmdCancelExport, &events.CancelExport{ExportID: "x"})
	w.do(CmdFailExport, &FailExport{ExportID: w.state.Export.ID, Error: "no space"}, "export.failed")
	w.after(CmdExport, &events.Export{})
	w.do(CmdCancelExport, &events.CancelExport{ExportID: w.state.Export.ID}, "export.cancelled")
}

func TestExportArguments(t *testing.T) {
	w := active(t)
	if r := w.refused(CodeUnknownExport, CmdExport, &events.Export{Since: "yesterday"}); r.Kind != Invalid {
		t.Errorf("kind %s", r.Kind)
	}
	w.refused(CodeInvalidArgument, CmdExport, &events.Export{Include: []string{"secrets"}})
}

func TestExportsOfADayAreLimited(t *testing.T) {
	w := active(t)
	w.facts.Policy.ExportsPerDay, w.facts.Policy.Day = 2, time.Minute
	export := func() {
		t.Helper()
		w.after(CmdExport, &events.Export{})
		w.after(CmdCompleteExport, &CompleteExport{ExportID: w.state.Export.ID})
	}
	export()
	w.now = w.now.Add(40 * time.Second)
	export()
	if r := w.refused(CodeExportLimit, CmdExport, &events.Export{}); r.Kind != Limit {
		t.Errorf("kind %s", r.Kind)
	}
	w.now = w.now.Add(20 * time.Second) // a minute after the first, not after the second
	export()
	w.refused(CodeExportLimit, CmdExport, &events.Export{})
	if n := len(w.state.RecentExports); n != 2 {
		t.Errorf("%d exports are remembered", n)
	}
}

func TestSuspendedTenantTakesItsDataAlong(t *testing.T) {
	w := active(t)
	w.facts.Policy.Grace = 0
	w.after(CmdPaymentFailed, &PaymentFailed{})
	w.actor = "tenant:acme"
	w.do(CmdExport, &events.Export{}, "export.requested")
	w.is(Suspended)
}
