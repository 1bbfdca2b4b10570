package tenant

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tenure/shared/events"
	"tenure/shared/retention"
)

// window is how long a purge may take. It is an hour whatever a day is scaled to: it is a promise about machines.
const window = time.Hour

func deleteTenant(d *decision, p *events.Delete) error {
	if err := d.confirmed(p.Confirm); err != nil {
		return err
	}
	days, err := d.retention(p.RetentionDays)
	if err != nil {
		return err
	}
	if err := d.previewed(p.PlanHash); err != nil {
		return err
	}
	if d.cmd.Facts.Policy.Retention.Approvals.Delete && !d.byTenant() {
		return d.askForDeletion(days)
	}
	d.leave(days, d.reason)
	return nil
}

// confirmed has a tenant that asks by its own token name itself: tokens lie in programs, and a program must not be able to
// do this by mistake. The name itself is not told: the refusal stands in the log.
func (d *decision) confirmed(said string) error {
	switch {
	case said == "" && d.byTenant():
		return d.refuse(CodeConfirmRequired, "confirm must be the tenant's name as it registered, or its id")
	case said != "" && said != d.state.ID && !d.cmd.Facts.Named:
		return d.refuse(CodeConfirmMismatch, "confirm is neither the tenant's name as it registered nor its id")
	}
	return nil
}

// retention is the days asked for, or the policy's. What is out of range, or no number of days at all, is refused, never
// corrected: somebody may have promised it to the customer.
func (d *decision) retention(asked json.RawMessage) (int, error) {
	if asked == nil {
		return d.allowed().Default, nil
	}
	days := 0 // which no policy allows
	if json.Unmarshal(asked, &days) != nil {
		days = 0
	}
	return days, d.inRange(days)
}

func (d *decision) inRange(days int) error {
	if r := d.allowed(); days < r.Min || days > r.Max {
		return d.refuse(CodeRetentionOutOfRange, "retention_days must be a whole number from %d to %d", r.Min, r.Max)
	}
	return nil
}

// allowed is the range that the policy has for this tenant.
func (d *decision) allowed() retention.Range {
	return d.cmd.Facts.Policy.Retention.For(d.state.Region, d.state.Plan, d.state.GDPR)
}

// leave begins a deletion. A change that runs is undone first.
func (d *decision) leave(days int, reason string) {
	r := d.allowed()
	asked := QueuedDeletion{
		RequestedAt: d.cmd.Now, RetentionDays: days, Reason: reason,
		Policy: events.RetentionPolicy{Hash: d.cmd.Facts.Policy.Retention.Hash(), Min: r.Min, Max: r.Max},
	}
	if !slices.Contains(leased, d.state.Name) {
		d.beginDeletion(CmdDelete, asked)
		return
	}
	d.stay(CmdDelete, &events.DeletionQueued{
		Change: events.Change{Reason: reason}, RetentionDays: days, RequestedAt: asked.RequestedAt, Policy: asked.Policy,
	})
	d.advance()
}

// beginDeletion sets the deadline. It counts from the request, also when the request had to wait.
func (d *decision) beginDeletion(command string, asked QueuedDeletion) {
	previous, pending := d.state.Name, d.state.Pending
	if again := d.state.Deletion; again != nil { // a return that did not succeed
		previous, pending = again.PreviousState, again.Pending
	}
	d.dropChange(true)
	due := asked.RequestedAt.Add(time.Duration(asked.RetentionDays) * d.cmd.Facts.Policy.Day)
	e := &events.DeletionRequested{
		Change:      events.Change{Reason: asked.Reason},
		RequestedAt: asked.RequestedAt, ScheduledFor: due, Latest: due.Add(window), RetentionDays: asked.RetentionDays,
		PreviousState: string(previous), Policy: asked.Policy,
	}
	if pending != nil {
		e.PendingChange = &events.DroppedChange{Plan: pending.Plan, DueAt: pending.DueAt, Resolution: pending.Resolution}
	}
	d.move(command, Deleting, e)
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
// hold, never beneath a running export. Stripe's customer is erased here alone, when its subscription has ended: a tenant that
// begins afresh is still the same customer.
func (d *decision) beginPurge() {
	due := d.state.Deletion
	if d.cmd.Now.Before(due.ScheduledFor) {
		return
	}
	if d.deferPurge() {
		return
	}
	d.tellOverdue()
	plan := d.state.Plan
	op := d.planned(d.cmd.NewID, OpPurge, plan, "", nil,
		d.own(billing, actionBill), append(d.erasure(), d.own(billing, actionErase)...), d.verification(), d.own(deletion, actionCertify))
	d.move(cmdBeginPurge, Purging, &events.PurgeStarted{
		Operation: op, ScheduledFor: due.ScheduledFor, RequestedAt: due.RequestedAt, RetentionDays: due.RetentionDays,
		Generation: d.state.Generation, Region: d.state.Region, GDPR: d.state.GDPR, Policy: due.Policy,
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
			Kind: violationLate, Detail: fmt.Sprintf("verified at %s, %s after the window", d.cmd.Now.Format(time.RFC3339), d.cmd.Now.Sub(latest)),
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
		Kind: violationResidue, Detail: fmt.Sprintf("%s holds %d rows of generation %d", p.Store, p.Rows, p.Generation),
	})
	return nil
}

func placeHold(d *decision, _ *events.PlaceHold) error {
	d.stay(CmdPlaceHold, &events.HoldPlaced{HoldID: d.cmd.NewID})
	d.purgeAgain()
	return nil
}

// releaseHold takes one hold away, or all.
func releaseHold(d *decision, p *events.ReleaseHold) error {
	var ids []string
	for _, h := range d.state.Holds {
		if p.HoldID == "" || p.HoldID == h.ID {
			ids = append(ids, h.ID)
		}
	}
	if ids != nil && d.cmd.Facts.Policy.Retention.Approvals.ReleaseHold {
		return d.askForRelease(ids)
	}
	return d.release(ids, d.reason)
}

// release lets destruction go on where the holds had stopped it.
func (d *decision) release(ids []string, reason string) error {
	found := false
	for _, h := range d.state.Holds {
		if slices.Contains(ids, h.ID) {
			found = true
			d.stay(CmdReleaseHold, &events.HoldReleased{Change: events.Change{Reason: reason}, HoldID: h.ID})
		}
	}
	if !found {
		return d.refuse(CodeUnknownHold, "the tenant has no such hold")
	}
	d.purgeAgain()
	if d.state.Lease != nil {
		d.advance()
	}
	return nil
}
