package tenant

import (
	"time"

	"tenure/shared/events"
)

// maxTrialDays bounds a trial; more is a free plan.
const maxTrialDays = 365

func register(d *decision, p *events.Register) error {
	plan, rank := d.plan(p.Plan)
	if rank < 0 {
		return d.unknownPlan(p.Plan)
	}
	if p.TrialDays < 0 || p.TrialDays > maxTrialDays {
		return d.refuse(CodeInvalidArgument, "trial_days must be 0 to %d, not %d", maxTrialDays, p.TrialDays)
	}
	if p.TrialDays > 0 && plan.Free() {
		return d.refuse(CodeInvalidArgument, "%s costs nothing: leave trial_days out", plan.Name)
	}
	policy, now := d.cmd.Facts.Policy, d.cmd.Now
	e := &events.TenantRegistered{
		Plan: plan.Name, Region: p.Region, GDPR: p.GDPR, TrialDays: p.TrialDays,
		RequiresPayment: !plan.Free() && p.TrialDays == 0, Generation: d.state.Generation + 1,
	}
	if e.RequiresPayment {
		expires := now.Add(policy.SignupTimeout)
		e.SignupExpiresAt = &expires
		d.move(CmdRegister, PendingPayment, e)
		return nil
	}
	if p.TrialDays > 0 {
		ends := now.Add(time.Duration(p.TrialDays) * policy.Day)
		settles := ends.Add(policy.TrialSettle)
		e.TrialEndsAt, e.TrialSettlesAt = &ends, &settles
	}
	d.move(CmdRegister, Provisioning, e)
	d.beginProvisioning(d.firstProvisioning())
	return nil
}

// confirmPayment goes on with a sign-up on billing's word alone: anybody may publish the public command.
func confirmPayment(d *decision) error {
	if _, fact := d.cmd.Payload.(*ConfirmPayment); !fact {
		return d.unverified()
	}
	d.move(CmdConfirmPayment, Provisioning, &events.PaymentConfirmed{})
	d.beginProvisioning(d.firstProvisioning())
	return nil
}

func (d *decision) unverified() error {
	return d.refuse(CodePaymentUnverified, "billing has not seen the payment; the tenant goes on by itself as soon as it has")
}

func cancelSignup(d *decision, _ *events.CancelSignup) error {
	d.move(CmdCancelSignup, Abandoned, &events.SignupAbandoned{})
	return nil
}

// firstProvisioning counts the payment of the sign-up as done before, so that giving up gives it back.
func (d *decision) firstProvisioning() events.OperationPlan {
	return d.planned(d.cmd.NewID, OpProvision, "", d.state.Plan, d.bill(d.state.Plan), d.each(actionProvision))
}

// rebirth looks for remains of the former life before it begins the new one, and bills last.
func (d *decision) rebirth(coupon string) events.OperationPlan {
	plan := d.state.Plan
	op := d.planned(d.cmd.NewID, OpProvision, "", plan, nil, d.verification(), d.each(actionProvision), d.bill(plan))
	op.Coupon = coupon
	return op
}

func (d *decision) beginProvisioning(op events.OperationPlan) {
	d.stay(cmdBeginProvisioning, &events.ProvisioningStarted{Operation: op})
	d.advance()
}

// retryProvisioning begins again from the first step, with the participants of today.
func retryProvisioning(d *decision, _ *events.RetryProvisioning) error {
	op := d.firstProvisioning()
	for _, s := range d.state.Lease.Steps {
		if s.Action == actionVerify {
			op = d.rebirth(d.state.Lease.Coupon)
		}
	}
	d.move(CmdRetryProvisioning, Provisioning, &events.ProvisioningRetried{Operation: op})
	d.advance()
	return nil
}

// abandon releases what a failed sign-up has got and gives its money back; the id is free when that is done.
func abandon(d *decision, _ *events.Abandon) error {
	steps := d.state.Lease.compensate("").current()
	if len(steps) == 0 {
		d.finishProvisioning(d.state.Lease, true)
	}
	for _, s := range steps {
		d.request(s)
	}
	return nil
}

func (d *decision) finishProvisioning(op *Operation, back bool) {
	switch {
	case !back:
		to := Active
		if !d.state.TrialEndsAt.IsZero() {
			to = Trialing
		}
		d.move(cmdCompleteProvisioning, to, &events.TenantActivated{OperationID: op.ID, Plan: d.state.Plan})
	case d.state.Name == Provisioning: // a deletion is queued
		d.stay(cmdFailProvisioning, &events.ProvisioningRolledBack{OperationID: op.ID})
	default:
		d.move(cmdFailProvisioning, Abandoned, &events.ProvisioningRolledBack{OperationID: op.ID})
	}
}

// convertTrial ends a trial on billing's word that the subscription is paid; one that is itself in its trial is not.
func convertTrial(d *decision) error {
	p, fact := d.cmd.Payload.(*ConfirmPayment)
	if !fact {
		return d.unverified()
	}
	if p.Status != subscriptionTrialing {
		d.move(CmdConvertTrial, Active, &events.TrialConverted{Plan: d.state.Plan})
	}
	return nil
}

// endTrial closes access: by its end, and as long after it as billing may need to tell, nobody had paid.
func (d *decision) endTrial() {
	if d.state.Exempt != nil {
		d.move(cmdEndTrial, PastDue, &events.PaymentPastDue{Blocks: d.state.Blocks})
		return
	}
	blocks := d.withBlock(BlockTrial, "the trial ended")
	d.move(cmdEndTrial, Suspended, &events.TrialExpired{Blocks: blocks})
}
