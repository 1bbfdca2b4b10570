package tenant

import (
	"fmt"
	"time"

	"tenure/shared/events"
)

// The kinds of compliance violations.
const (
	violationLate    = "purge_late"    // verified after its window
	violationOverdue = "purge_overdue" // begun more than PurgeLateness after it was due
	ViolationEarly   = "purge_early"   // begun before it was due
	violationResidue = "residue"       // data came back
)

// PurgeLateness is how long after its deadline a purge may begin. It is a promise about machines, whatever a day is scaled to.
const PurgeLateness = time.Minute

// tellOverdue records, as a purge begins, that it should have begun earlier. What waited for a hold or an export is not late,
// and what waited for a return that failed counts from there.
func (d *decision) tellOverdue() {
	due := d.state.Deletion
	late := d.cmd.Now.Sub(due.Latest.Add(-window))
	if due.DeferredBy != nil || late <= PurgeLateness {
		return
	}
	d.stay(cmdBeginPurge, &events.ComplianceViolation{
		Kind: violationOverdue, Detail: fmt.Sprintf("begun at %s, %s after it was due", d.cmd.Now.Format(time.RFC3339), late),
	})
}

// reportEarly records what must never happen, and what no decision of this package leads to.
func reportEarly(d *decision, p *ReportEarly) error {
	due := "nobody had asked for it"
	if p.Due != nil {
		due = "it was due at " + p.Due.UTC().Format(time.RFC3339)
	}
	d.stay(CmdReportEarly, &events.ComplianceViolation{
		Kind: ViolationEarly, Detail: fmt.Sprintf("event %d began a purge at %s; %s", p.Version, p.Began.UTC().Format(time.RFC3339), due),
	})
	return nil
}
