package tenant

import (
	"fmt"
	"slices"

	"tenure/shared/events"
	"tenure/shared/plans"
)

// When a downgrade begins, and what becomes of data that is over the new limits.
const (
	atPeriodEnd = "period_end"
	atNow       = "now"

	resolveRefuse  = "refuse"
	resolveFreeze  = "freeze"
	resolveArchive = "archive"
)

// plan finds a plan and its place in the hierarchy; -1 for one that is not in the catalogue.
func (d *decision) plan(name string) (plans.Plan, int) {
	p, _ := d.cmd.Facts.Plans.Find(name)
	return p, d.cmd.Facts.Plans.Rank(name)
}

func (d *decision) unknownPlan(name string) error {
	return d.refuse(CodeUnknownPlan, "there is no plan %q; choose one of %q", name, d.cmd.Facts.Plans.Names())
}

// previewed refuses a change whose preview is out of date.
func (d *decision) previewed(hash string) error {
	if hash != "" && hash != d.cmd.Facts.PlanHash {
		return d.refuse(CodePlanChanged, "the plans have changed since the preview; look at a new one")
	}
	return nil
}

func upgrade(d *decision, p *events.Upgrade) error {
	_, now := d.plan(d.state.Plan)
	to, rank := d.plan(p.Plan)
	if rank < 0 {
		return d.unknownPlan(p.Plan)
	}
	if err := d.previewed(p.PlanHash); err != nil {
		return err
	}
	if rank <= now {
		return d.refuse(CodeNotAnUpgrade, "%s is not above %s", p.Plan, d.state.Plan)
	}
	if err := d.tooLate(); err != nil {
		return err
	}
	d.dropChange(false)
	from := d.state.Plan
	// What was archived for want of room comes back before the old plan's resources are released: from there on there is
	// no way back.
	d.move(CmdUpgrade, Upgrading, &events.UpgradeStarted{Operation: d.planned(d.cmd.NewID, OpUpgrade, from, to.Name, nil,
		d.each(actionProvision), d.each(actionDrain), d.bill(from, to.Name), d.each(actionSwitch), d.each(actionApply),
		d.each(actionRestore), d.each(actionRelease))})
	d.advance()
	return nil
}

func (d *decision) finishUpgrade(op *Operation, back bool) {
	if back {
		d.move(cmdFailUpgrade, d.returnTo(op), &events.UpgradeRolledBack{
			Change: events.Change{Reason: op.Error}, OperationID: op.ID, Plan: d.state.Plan, Error: op.Error,
		})
		return
	}
	d.move(cmdCompleteUpgrade, d.returnTo(op), &events.UpgradeCompleted{
		OperationID: op.ID, FromPlan: op.FromPlan, Plan: op.ToPlan, Blocks: d.limitBlocks(op.ToPlan, false),
	})
}

// returnTo is the state before the change, unless a trial or a debt was paid for meanwhile. A new debt waits with a block
// of its own until settle.
func (d *decision) returnTo(op *Operation) StateName {
	s := d.state
	switch {
	case op.ReturnTo == Trialing && s.TrialEndsAt.IsZero():
		return Active
	case op.ReturnTo == PastDue && (s.Grace == nil || s.Blocked(BlockPayment)):
		return Active
	}
	return op.ReturnTo
}

func downgrade(d *decision, p *events.Downgrade) error {
	_, now := d.plan(d.state.Plan)
	to, rank := d.plan(p.Plan)
	at, resolution := orElse(p.At, atPeriodEnd), orElse(p.Resolution, resolveRefuse)
	if rank < 0 {
		return d.unknownPlan(p.Plan)
	}
	if err := d.previewed(p.PlanHash); err != nil {
		return err
	}
	switch {
	case rank >= now:
		return d.refuse(CodeNotADowngrade, "%s is not below %s", p.Plan, d.state.Plan)
	case at != atPeriodEnd && at != atNow:
		return d.refuse(CodeInvalidArgument, "at must be period_end or now, not %q", at)
	case !slices.Contains([]string{resolveRefuse, resolveFreeze, resolveArchive}, resolution):
		return d.refuse(CodeInvalidArgument, "resolution must be refuse, freeze or archive, not %q", resolution)
	}
	if v := d.cmd.Facts.Usage.Over(d.state.Limits(to)); len(v) > 0 && resolution == resolveRefuse {
		return d.unfit(to.Name, "shrink it, or choose the resolution freeze or archive", v)
	}
	if err := d.tooLate(); err != nil {
		return err
	}
	// Without a paid period there is nothing to wait for.
	end := d.cmd.Facts.PeriodEnd
	waits := at == atPeriodEnd && end.After(d.cmd.Now)
	d.dropChange(!waits)
	if waits {
		d.stay(CmdDowngrade, &events.DowngradeScheduled{
			OperationID: d.cmd.NewID, FromPlan: d.state.Plan, Plan: to.Name, DueAt: end.UTC(), Resolution: resolution,
		})
		return nil
	}
	d.startDowngrade(CmdDowngrade, d.cmd.NewID, to.Name, resolution)
	return nil
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// changeDue takes the pending change up on billing's word, whatever the timer says: Stripe's clock decides about money.
// Where the tenant has no access there is nothing to change yet; the timer takes the change up when it comes back.
func changeDue(d *decision, p *ChangeDue) error {
	pending := d.state.Pending
	if pending == nil || !d.charges(p.Plan, pending.Plan) {
		return nil
	}
	switch {
	case d.state.Name == Active, d.state.Name == PastDue:
		d.beginDowngrade()
	case !d.state.changeDue(d.cmd.Now):
		d.stay(CmdChangeDue, &events.DowngradeDue{OperationID: pending.OperationID, Plan: pending.Plan})
	}
	return nil
}

// charges reports whether what billing charges for, "" being nothing, is what the plan costs.
func (d *decision) charges(live, plan string) bool {
	p, rank := d.plan(plan)
	return live == plan || live == "" && rank >= 0 && p.Free()
}

// beginDowngrade takes the pending change up when it falls due. Usage that has grown over the limits since then
// drops the change, unless its resolution says what to do with the data.
func (d *decision) beginDowngrade() {
	p := d.state.Pending
	_, now := d.plan(d.state.Plan)
	plan, rank := d.plan(p.Plan)
	dropped := &events.DowngradeCancelled{OperationID: p.OperationID, Plan: p.Plan}
	if rank < 0 || rank >= now {
		dropped.Reason = fmt.Sprintf("%s is no plan below %s any more", p.Plan, d.state.Plan)
		d.stay(cmdDropChange, dropped)
		return
	}
	if over := d.cmd.Facts.Usage.Over(d.state.Limits(plan)); p.Resolution == resolveRefuse && len(over) > 0 {
		dropped.Reason, dropped.Violations = misfit(p.Plan, over), over
		d.stay(cmdDropChange, dropped)
		return
	}
	d.startDowngrade(cmdBeginDowngrade, p.OperationID, p.Plan, p.Resolution)
}

func (d *decision) startDowngrade(command, id, to, resolution string) {
	from := d.state.Plan
	var archive []events.StepPlan
	if resolution == resolveArchive {
		archive = d.each(actionArchive)
	}
	op := d.planned(id, OpDowngrade, from, to, nil,
		d.each(actionProvision), archive, d.each(actionDrain), d.bill(from, to), d.each(actionSwitch), d.each(actionApply), d.each(actionRelease))
	d.move(command, Downgrading, &events.DowngradeStarted{Operation: op, Resolution: resolution})
	d.advance()
}

func (d *decision) finishDowngrade(op *Operation, back bool) {
	if back {
		d.move(cmdFailDowngrade, d.returnTo(op), &events.DowngradeRolledBack{
			Change: events.Change{Reason: op.Error}, OperationID: op.ID, Plan: d.state.Plan, Error: op.Error,
		})
		return
	}
	d.move(cmdCompleteDowngrade, d.returnTo(op), &events.DowngradeCompleted{
		OperationID: op.ID, FromPlan: op.FromPlan, Plan: op.ToPlan,
		Blocks: d.limitBlocks(op.ToPlan, op.Resolution == resolveFreeze),
	})
}

func cancelChange(d *decision, _ *events.CancelChange) error {
	if err := d.tooLate(); err != nil {
		return err
	}
	d.stay(CmdCancelChange, &events.DowngradeCancelled{OperationID: d.state.Pending.OperationID, Plan: d.state.Pending.Plan})
	return nil
}

// tooLate refuses to take a pending change back that is due: Stripe may have made its part of it.
func (d *decision) tooLate() error {
	if !d.state.changeDue(d.cmd.Now) {
		return nil
	}
	p := d.state.Pending
	return d.refuse(CodeInvalidTransition, "the change to %s was due at %s and is about to begin", p.Plan, p.DueAt)
}

// dropChange makes way for what the pending change does not go together with. superseded: the tenant does not stay on its
// plan, so that billing has nothing to put back.
func (d *decision) dropChange(superseded bool) {
	if p := d.state.Pending; p != nil {
		d.stay(cmdDropChange, &events.DowngradeCancelled{OperationID: p.OperationID, Plan: p.Plan, Superseded: superseded})
	}
}
