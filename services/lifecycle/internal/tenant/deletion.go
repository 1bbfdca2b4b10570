package tenant

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tenure/shared/events"
)

// window is how long a purge may take. It is an hour whatever a day is scaled to: it is a promise about machines.
const window = time.Hour

func deleteTenant(d *decision, p *events.Delete) error {
	if p.Confirm != "" && p.Confirm != d.state.ID {
		return d.refuse(CodeConfirmMismatch, "confirm must be the id of the tenant, %q", d.state.ID)
	}
	days, err := d.retention(p.RetentionDays)
	if err != nil {
		return err
	}
	if err := d.previewed(p.PlanHash); err != nil {
		return err
	}
	if slices.Contains(leased, d.state.Name) {
		d.stay(CmdDelete, &events.DeletionQueued{RetentionDays: days, RequestedAt: d.cmd.Now})
		d.advance()
		return nil
	}
	d.beginDeletion(CmdDelete, d.cmd.Now, days, d.reason)
	return nil
}

// retention is the days asked for, or the policy's. What is out of range is refused, never corrected: somebody may
// have promised it to the customer.
func (d *decision) retention(asked *int) (int, error) {
	p := d.cmd.Facts.Policy
	least, most := p.RetentionMin, p.RetentionMax
	if d.state.GDPR {
		most = min(most, p.RetentionGDPRMax)
	}
	if asked == nil {
		return max(least, min(p.RetentionDefault, most)), nil
	}
	if *asked < least || *asked > most {
		return 0, d.refuse(CodeRetentionOutOfRange, "retention_days must be %d to %d, not %d", least, most, *asked)
	}
	return *asked, nil
}

// beginDeletion sets the deadline. It counts from the request, also when the request had to wait.
func (d *decision) beginDeletion(command string, requested time.Time, days int, reason string) {
	d.dropChange(true)
	due := requested.Add(time.Duration(days) * d.cmd.Facts.Policy.Day)
	previous := d.state.Name
	if d.state.Deletion != nil {
		previous = d.state.Deletion.PreviousState
	}
	d.move(command, Deleting, &events.DeletionRequested{
		Change:      events.Change{Reason: reason},
		RequestedAt: requested, ScheduledFor: due, Latest: due.Add(window), RetentionDays: days, PreviousState: string(previous),
	})
}

// heldBy names what keeps data from being destroyed.
func (s State) heldBy() (holds []string, export string) {
	for _, h := range s.Holds {
		holds = append(holds, h.ID)
	}
	if s.Export != nil {
		export = s.Export.ID
	}
	return holds, export
}

// beginPurge is the point of no return, and the only place that passes it: never before the deadline, never under a
// hold, never beneath a running export.
func (d *decision) beginPurge() {
	due := d.state.Deletion
	if d.cmd.Now.Before(due.ScheduledFor) {
		return
	}
	if d.deferPurge() {
		return
	}
	plan := d.state.Plan
	op := d.planned(d.cmd.NewID, OpPurge, plan, "", nil,
		d.own(billing, actionBill), d.erasure(), d.verification(), d.own(deletion, actionCertify))
	d.move(cmdBeginPurge, Purging, &events.PurgeStarted{
		Operation: op, ScheduledFor: due.ScheduledFor, RequestedAt: due.RequestedAt, RetentionDays: due.RetentionDays,
		Generation: d.state.Generation, Region: d.state.Region, GDPR: d.state.GDPR,
	})
	d.advance()
}

// deferPurge reports whether something keeps the purge from going on. It is told once for each set of reasons.
func (d *decision) deferPurge() bool {
	holds, export := d.state.heldBy()
	if holds == nil && export == "" {
		return false
	}
	e := &events.PurgeDeferred{Holds: holds, ExportID: export}
	if !slices.Equal(d.state.Deletion.deferred(e).DeferredBy, d.state.Deletion.DeferredBy) {
		d.stay(cmdBeginPurge, e)
	}
	return true
}

// deferErasure tells that a purge under way waits for a hold that was placed since.
func (d *decision) deferErasure() {
	if d.state.Name == Purging {
		d.deferPurge()
	}
}

// purgeAgain takes a deferred purge up when one of its reasons has ended or changed.
func (d *decision) purgeAgain() {
	if d.state.Name == Deleting && d.state.Deletion.DeferredBy != nil {
		d.beginPurge()
	}
}

// erasure and verification are the participants' and, for the stores of the data map and the archives, deletion's own.
func (d *decision) erasure() []events.StepPlan {
	return append(d.each(actionErase), d.own(deletion, actionErase)...)
}

func (d *decision) verification() []events.StepPlan {
	return append(d.each(actionVerify), d.own(deletion, actionVerify)...)
}

func (d *decision) finishPurge(op *Operation) {
	s := d.state
	d.move(cmdCompletePurge, Deleted, &events.TenantPurged{
		OperationID: op.ID, Generation: s.Generation, Certificate: d.certificate, ScheduledFor: s.Deletion.ScheduledFor,
	})
	if latest := s.Deletion.Latest; d.cmd.Now.After(latest) {
		d.stay(cmdCompletePurge, &events.ComplianceViolation{
			Kind: "purge_late", Detail: fmt.Sprintf("verified at %s, %s after the window", d.cmd.Now.Format(time.RFC3339), d.cmd.Now.Sub(latest)),
		})
	}
}

// certificateKey reads where the certificate is from the answer of the step that signed it.
func certificateKey(result json.RawMessage) string {
	var answer struct {
		Key string `json:"key"`
	}
	if json.Unmarshal(result, &answer) != nil {
		return ""
	}
	return answer.Key
}

func reportResidue(d *decision, p *ReportResidue) error {
	d.stay(CmdReportResidue, &events.ComplianceViolation{
		Kind: "residue", Detail: fmt.Sprintf("%s holds %d rows of generation %d", p.Store, p.Rows, p.Generation),
	})
	return nil
}

func placeHold(d *decision, _ *events.PlaceHold) error {
	d.stay(CmdPlaceHold, &events.HoldPlaced{HoldID: d.cmd.NewID})
	d.purgeAgain()
	return nil
}

// releaseHold lets destruction go on where the hold had stopped it.
func releaseHold(d *decision, p *events.ReleaseHold) error {
	found := false
	for _, h := range d.state.Holds {
		if p.HoldID == "" || p.HoldID == h.ID {
			found = true
			d.stay(CmdReleaseHold, &events.HoldReleased{HoldID: h.ID})
		}
	}
	if !found {
		return d.refuse(CodeUnknownHold, "there is no hold %s", p.HoldID)
	}
	d.purgeAgain()
	if d.state.Lease != nil {
		d.advance()
	}
	return nil
}
