package tenant

import (
	"slices"
	"strings"
	"time"

	"tenure/shared/events"
)

// parquetKinds are those that may come as Parquet.
var parquetKinds = []string{"vectors", "usage"}

func export(d *decision, p *events.Export) error {
	if d.byTenant() && slices.ContainsFunc(d.state.Blocks, imposed) && d.state.Name == Suspended {
		return d.forbid("the export of a tenant that an operator suspended")
	}
	changed, err := d.since(p.Since)
	if err != nil {
		return err
	}
	if err := d.wellFormed(p); err != nil {
		return err
	}
	from := d.cmd.Now.Add(-d.cmd.Facts.Policy.Day)
	if err := d.withinLimit(from); err != nil {
		return err
	}
	d.stay(CmdExport, &events.ExportRequested{
		ExportID: d.cmd.NewID, Plan: d.state.Plan, Since: p.Since, ChangedSince: moment(changed), Include: p.Include,
		EncryptTo: p.EncryptTo, Parquet: p.Parquet, Participants: d.exporters(), CountedSince: &from,
	})
	for _, s := range d.state.Export.Steps {
		d.requestFiles(s)
	}
	d.purgeAgain() // a purge that waits has one more reason to
	return nil
}

// since is the time that an export's since stands for; zero when it is empty.
func (d *decision) since(said string) (time.Time, error) {
	if said == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, said); err == nil {
		return at.UTC(), nil
	}
	at := d.cmd.Facts.SinceExport
	if at.IsZero() {
		return at, d.refuse(CodeUnknownExport, "since must be a time like 2026-01-31T00:00:00Z or the id of a completed export of this tenant, not %q", said)
	}
	return at, nil
}

// wellFormed refuses what no archive could be made of.
func (d *decision) wellFormed(p *events.Export) error {
	for _, kind := range p.Include {
		if known := events.ExportKinds(); !slices.Contains(known, kind) {
			return d.refuse(CodeInvalidArgument, "include knows %q, not %q", known, kind)
		}
	}
	for _, kind := range p.Parquet {
		if !slices.Contains(parquetKinds, kind) {
			return d.refuse(CodeInvalidArgument, "parquet knows %q, not %q", parquetKinds, kind)
		}
	}
	if p.EncryptTo != "" && !ageRecipient(p.EncryptTo) {
		return d.refuse(CodeInvalidArgument, "encrypt_to must be an X25519 recipient of age (age1... of 62 characters, as age-keygen -y shows it)")
	}
	return nil
}

// ageRecipient looks at the form alone: Bech32 (BIP 173) with the prefix "age", for 32 bytes and a checksum. Whoever encrypts
// holds the checksum against it.
func ageRecipient(s string) bool {
	data, ok := strings.CutPrefix(s, "age1")
	return ok && len(data) == 58 && strings.Trim(data, "023456789acdefghjklmnpqrstuvwxyz") == ""
}

// withinLimit refuses an export when as many as a day may have were asked for since from.
func (d *decision) withinLimit(from time.Time) error {
	recent, most := since(d.state.RecentExports, &from), d.cmd.Facts.Policy.ExportsPerDay
	if len(recent) < most {
		return nil
	}
	r := d.refuse(CodeExportLimit, "there were %d exports within a day, of at most %d; try again later", len(recent), most)
	if most > 0 {
		r.RetryAt = recent[len(recent)-most].Add(d.cmd.Facts.Policy.Day)
	}
	return r
}

func cancelExport(d *decision, p *events.CancelExport) error {
	if id := d.state.Export.ID; p.ExportID != id {
		return d.refuse(CodeInvalidTransition, "export %s does not run", p.ExportID)
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
		d.endExport(p.ExportID, clip(p.Error))
	}
	return nil
}

// endExport gives the running export up.
func (d *decision) endExport(id, why string) {
	d.stay(CmdFailExport, &events.ExportFailed{Change: events.Change{Reason: why}, ExportID: id, Error: why})
	d.purgeAgain()
}
