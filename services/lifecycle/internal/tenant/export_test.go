package tenant

import (
	"strings"
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
	w.refused(CodeInvalidArgument, CmdExport, &events.Export{Parquet: []string{"documents"}})
	for _, key := range []string{
		"age1", recipient[:61], recipient + "q", strings.ToUpper(recipient), "AGE-SECRET-KEY-" + recipient[15:],
		strings.Replace(recipient, "q", "b", 1), "ssh-ed25519 AAAA",
	} {
		w.refused(CodeInvalidArgument, CmdExport, &events.Export{EncryptTo: key})
	}
	w.do(CmdExport, &events.Export{EncryptTo: recipient, Parquet: []string{"usage", "vectors"}}, "export.requested")
	if p := last[*events.ExportRequested](w); p.EncryptTo != recipient || len(p.Parquet) != 2 {
		t.Errorf("requested %+v", p)
	}
}

// recipient is one of age's own examples.
const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

func TestAnExportGoesOnFromAnEarlierOne(t *testing.T) {
	w := active(t)
	w.facts.SinceExport = epoch
	w.do(CmdExport, &events.Export{Since: "an-export"}, "export.requested")
	if p := last[*events.ExportRequested](w); p.Since != "an-export" || !p.ChangedSince.Equal(epoch) {
		t.Errorf("requested %+v", p)
	}
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
	r := w.refused(CodeExportLimit, CmdExport, &events.Export{})
	if r.Kind != Limit || r.RetryAt.Sub(w.now) != 20*time.Second {
		t.Errorf("%s, again at %s", r.Kind, r.RetryAt)
	}
	if again := RefusalOf(r.Event(w.state, CmdExport)); !again.RetryAt.Equal(r.RetryAt) {
		t.Errorf("the answer to the same key says %s", again.RetryAt)
	}
	w.now = r.RetryAt // a minute after the first, not after the second
	export()
	w.refused(CodeExportLimit, CmdExport, &events.Export{})
	if n := len(w.state.RecentExports); n != 2 {
		t.Errorf("%d exports are remembered", n)
	}
	w.facts.Policy.ExportsPerDay = 0
	if r := w.refused(CodeExportLimit, CmdExport, &events.Export{}); !r.RetryAt.IsZero() {
		t.Errorf("where none is allowed, again at %s", r.RetryAt)
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
