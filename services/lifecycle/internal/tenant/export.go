package tenant

import (
	"slices"
	"time"

	"tenure/shared/events"
)

// exportKinds are what an archive may hold.
var exportKinds = []string{"documents", "vectors", "usage", "billing", "audit"}

func export(d *decision, p *events.Export) error {
	if d.byTenant() && slices.ContainsFunc(d.state.Blocks, imposed) && d.state.Name == Suspended {
		return d.forbid("the export of a tenant that an operator suspended")
	}
	if _, err := time.Parse(time.RFC3339, p.Since); p.Since != "" && err != nil {
		return d.refuse(CodeInvalidArgument, "since must be a time like 2026-01-31T00:00:00Z, not %q", p.Since)
	}
	for _, kind := range p.Include {
		if !slices.Contains(exportKinds, kind) {
			return d.refuse(CodeInvalidArgument, "include knows %q, not %q", exportKinds, kind)
		}
	}
	policy := d.cmd.Facts.Policy
	from := d.cmd.Now.Add(-policy.Day)
	if n := len(since(d.state.RecentExports, &from)); n >= policy.ExportsPerDay {
		return d.refuse(CodeExportLimit, "there were %d exports within a day, of at most %d; try again later", n, policy.ExportsPerDay)
	}
	d.stay(CmdExport, &events.ExportRequested{
		ExportID: d.cmd.NewID, Plan: d.state.Plan, Since: p.Since, Include: p.Include, CountedSince: &from,
	})
	d.purgeAgain() // a purge that waits has one more reason to
	return nil
}

func cancelExport(d *decision, p *events.CancelExport) error {
	if id := d.state.Export.ID; p.ExportID != id {
		return d.refuse(CodeUnknownExport, "export %s does not run", p.ExportID)
	}
	d.stay(CmdCancelExport, &events.ExportCancelled{ExportID: p.ExportID})
	d.purgeAgain()
	return nil
}

// runs reports whether this is the export that is waited for; news of another one, cancelled meanwhile, is none.
func (d *decision) runs(id string) bool { return d.state.Export != nil && d.state.Export.ID == id }

func completeExport(d *decision, p *CompleteExport) error {
	if d.runs(p.ExportID) {
		d.stay(CmdCompleteExport, &events.ExportCompleted{ExportID: p.ExportID, SHA256: p.SHA256, Bytes: p.Bytes})
		d.purgeAgain()
	}
	return nil
}

func failExport(d *decision, p *FailExport) error {
	if d.runs(p.ExportID) {
		why := clip(p.Error)
		d.stay(CmdFailExport, &events.ExportFailed{Change: events.Change{Reason: why}, ExportID: p.ExportID, Error: why})
		d.purgeAgain()
	}
	return nil
}
