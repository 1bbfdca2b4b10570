package tenant

import (
	"slices"
	"strings"

	"tenure/shared/events"
	"tenure/shared/plans"
)

// cancelDeletion brings a leaving tenant back as it was.
func cancelDeletion(d *decision, _ *events.CancelDeletion) error {
	return d.comeBack(CmdCancelDeletion, d.state.Plan, "", true)
}

// reactivate brings a suspended or leaving tenant back, or begins a new life of a deleted one.
func reactivate(d *decision, p *events.Reactivate) error {
	plan, rank := d.plan(orElse(p.Plan, d.state.Plan))
	if rank < 0 {
		return d.unknownPlan(plan.Name)
	}
	restore := p.RestoreData == nil || *p.RestoreData
	if err := d.previewed(p.PlanHash); err != nil {
		return err
	}
	if p.Coupon != "" && strings.HasPrefix(d.cmd.Actor, "tenant:") {
		return d.forbid("a return with a coupon")
	}
	if d.state.Name == Deleted {
		return d.beBorn(plan, p.Coupon, restore)
	}
	if over := d.cmd.Facts.Usage.Over(d.state.Limits(plan)); restore && plan.Name != d.state.Plan && len(over) > 0 {
		return d.unfit(plan.Name, "choose a plan that has room", over)
	}
	if d.byTenant() && slices.ContainsFunc(d.state.Blocks, imposed) {
		return d.forbid("the return of a tenant that an operator suspended")
	}
	return d.comeBack(CmdReactivate, plan.Name, p.Coupon, restore)
}

// comeBack takes the lease. A tenant that comes back afresh loses its old data first, so that everything that
// forbids destruction forbids this too.
func (d *decision) comeBack(command, plan, coupon string, restore bool) error {
	if !restore {
		if holds, export := d.state.heldBy(); len(holds) > 0 {
			return d.refuse(CodeOnHold, "the old data is on legal hold (%q)", holds)
		} else if export != "" {
			return d.refuse(CodeOperationInProgress, "the old data is being exported (%s)", export)
		}
	}
	if d.state.Name == Suspended {
		// What a payment or an operator lifts is lifted now, and comes back if the steps fail.
		left := without(d.state.Blocks, closing)
		d.beginReactivation(command, d.reactivation(plan, coupon, restore), restore, left)
		return nil
	}
	if due := d.state.Deletion.ScheduledFor; !d.cmd.Now.Before(due) {
		return d.refuse(CodeInvalidTransition, "the deletion was due at %s and is about to begin", due)
	}
	d.move(command, Reactivating, &events.DeletionCancelled{})
	d.beginReactivation(cmdBeginReactivation, d.reactivation(plan, coupon, restore), restore, d.state.Blocks)
	return nil
}

// reactivation plans the way back. Only what the tenant lacks is done: a suspended one has its data and its
// resources, one that never got any needs to be provisioned.
func (d *decision) reactivation(to, coupon string, restore bool) events.OperationPlan {
	from, s := d.state.Plan, d.state
	leaving := s.Deletion != nil
	var erase, verify, bringBack, provision, change, release []events.StepPlan
	switch {
	case !restore:
		erase, verify, provision = d.erasure(), d.verification(), d.each(actionProvision)
	case leaving && s.Deletion.PreviousState == Provisioning:
		provision = d.each(actionProvision)
	case leaving:
		bringBack = d.each(actionRestore)
	}
	if restore && to != from && provision == nil {
		provision, change, release = d.each(actionProvision), d.each(actionSwitch), d.each(actionRelease)
	}
	var bill []events.StepPlan
	if leaving || to != from || coupon != "" || slices.ContainsFunc(s.Blocks, unpaid) {
		bill = d.bill(from, to)
	}
	op := d.planned(d.cmd.NewID, OpReactivate, from, to, nil, erase, verify, bringBack, provision, bill, change, release)
	op.Coupon = coupon
	return op
}

func (d *decision) beginReactivation(command string, op events.OperationPlan, restore bool, blocks []events.Block) {
	d.move(command, Reactivating, &events.ReactivationStarted{Operation: op, RestoreData: restore, Blocks: blocks})
	d.advance()
}

// finishReactivation goes where the remaining blocks let it: straight to suspended when they close access, for an
// active tenant in between would be let in for a moment.
func (d *decision) finishReactivation(op *Operation, back bool) {
	if back {
		blocks := append(slices.Clip(d.state.Blocks), liftedBlocks(op.Lifted, d.state.Blocks)...)
		d.move(cmdFailReactivation, op.ReturnTo, &events.ReactivationFailed{
			Change: events.Change{Reason: op.Error}, OperationID: op.ID, Error: op.Error, Blocks: blocks,
		})
		return
	}
	if op.ToPlan != d.state.Plan {
		d.dropChange(true)
	}
	to, blocks := d.state.home()
	from, change := d.state.Plan, d.state.returnsTo()
	d.move(cmdCompleteReactivation, to, &events.TenantReactivated{
		OperationID: op.ID, Plan: op.ToPlan, RestoreData: *op.RestoreData, Blocks: blocks,
	})
	if change != nil && d.state.Pending == nil && op.ToPlan == from {
		// It made way for the deletion that was taken back. Its operation was cancelled then: this is another one.
		d.stay(cmdRestoreChange, &events.DowngradeScheduled{
			OperationID: d.cmd.NewID, FromPlan: from, Plan: change.Plan, DueAt: change.DueAt, Resolution: change.Resolution,
		})
	}
}

// returnsTo is the change of plan that a returning tenant goes on with: the one that is pending, or the one that made way for
// its deletion. Of that a fresh start knows nothing.
func (s State) returnsTo() *PendingChange {
	restored := s.Lease != nil && s.Lease.RestoreData != nil && *s.Lease.RestoreData
	if s.Pending == nil && s.Deletion != nil && restored {
		return s.Deletion.Pending
	}
	return s.Pending
}

// beBorn begins a new generation. The old data was destroyed and proven gone: there is nothing to restore.
func (d *decision) beBorn(plan plans.Plan, coupon string, restore bool) error {
	if restore {
		return d.refuse(CodeDataDeleted, "the data is deleted for good; reactivate with restore_data=false to begin anew")
	}
	d.move(CmdReactivate, Provisioning, &events.TenantReborn{Plan: plan.Name, Generation: d.state.Generation + 1})
	d.beginProvisioning(d.rebirth(coupon))
	return nil
}
