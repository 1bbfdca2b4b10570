package tenant

import (
	"slices"
	"time"

	"tenure/shared/events"
	"tenure/shared/plans"
)

// subscriptionTrialing is Stripe's word for a subscription that costs nothing yet: no payment was seen.
const subscriptionTrialing = "trialing"

// closing reports whether a kind of block closes access; over_limit closes ingest alone.
func closing(b events.Block) bool { return b.Kind != BlockOverLimit }

// unpaid reports whether a payment lifts the block.
func unpaid(b events.Block) bool { return b.Kind == BlockPayment || b.Kind == BlockTrial }

// imposed reports whether an operator put the block there.
func imposed(b events.Block) bool { return b.Kind == BlockAdmin || b.Kind == BlockAbuse }

// without copies the blocks that drop does not match; none is nil, as it is after a round trip through JSON.
func without(blocks []events.Block, drop func(events.Block) bool) []events.Block {
	var left []events.Block
	for _, b := range blocks {
		if !drop(b) {
			left = append(left, b)
		}
	}
	return left
}

// withBlock is the tenant's blocks and one of this kind more; there is one of a kind at most.
func (d *decision) withBlock(kind, reason string) []events.Block {
	if d.state.Blocked(kind) {
		return d.state.Blocks
	}
	return append(slices.Clip(d.state.Blocks), events.Block{Kind: kind, Reason: reason, Since: d.cmd.Now})
}

// liftedBlocks are those of before that are not among the blocks of after.
func liftedBlocks(before, after []events.Block) []events.Block {
	return without(before, func(b events.Block) bool {
		return slices.ContainsFunc(after, func(a events.Block) bool { return a.Kind == b.Kind })
	})
}

// home is where the tenant belongs when no operation runs and it is not leaving, and with which blocks. A payment
// that failed during an operation still has its grace.
func (s State) home() (StateName, []events.Block) {
	payment := func(b events.Block) bool { return b.Kind == BlockPayment }
	switch rest := without(s.Blocks, payment); {
	case slices.ContainsFunc(rest, closing), s.Blocked(BlockPayment) && s.Grace == nil:
		return Suspended, s.Blocks
	case s.Grace != nil:
		return PastDue, rest
	case !s.TrialEndsAt.IsZero():
		return Trialing, rest
	default:
		return Active, rest
	}
}

func graceEnd(g *Grace) *time.Time {
	if g == nil {
		return nil
	}
	return moment(g.EndsAt)
}

// moment is how events write a time that may be absent.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// grace is how long this tenant may owe money with its access open.
func (d *decision) grace() time.Duration {
	if p, _ := d.plan(d.state.Plan); p.Grace != nil {
		return *p.Grace
	}
	return d.cmd.Facts.Policy.Grace
}

// paymentFailed begins the grace; a trial has none, for its end was known. A tenant without open access has nothing to
// lose: it gets the block at once, and during an operation the block waits for the end of that.
func paymentFailed(d *decision, _ *PaymentFailed) error {
	s := d.state
	if s.Name == PendingPayment || s.Grace != nil || slices.ContainsFunc(s.Blocks, unpaid) {
		return nil
	}
	accessible := s.Name == Trialing || s.Name == Active
	switch over := s.trialOver(d.cmd.Now); {
	case s.Exempt != nil && accessible:
		d.move(CmdPaymentFailed, PastDue, &events.PaymentPastDue{Blocks: s.Blocks})
	case s.Exempt != nil:
		d.stay(CmdPaymentFailed, &events.PaymentPastDue{Blocks: s.Blocks})
	case accessible && over:
		d.move(CmdPaymentFailed, Suspended, &events.TrialExpired{Blocks: d.withBlock(BlockTrial, "the trial ended unpaid")})
	case accessible && d.grace() > 0:
		d.move(CmdPaymentFailed, PastDue, &events.PaymentPastDue{GraceEndsAt: d.graceFromNow(), Blocks: s.Blocks})
	case accessible:
		d.move(CmdPaymentFailed, Suspended, &events.TenantSuspended{Blocks: d.withBlock(BlockPayment, d.reason)})
	case over:
		d.stay(CmdPaymentFailed, &events.BlockAdded{Block: BlockTrial, Blocks: d.withBlock(BlockTrial, "the trial ended unpaid")})
	default:
		e := &events.BlockAdded{Block: BlockPayment, Blocks: d.withBlock(BlockPayment, d.reason)}
		if d.grace() > 0 && slices.Contains(leased, s.Name) {
			e.GraceEndsAt = d.graceFromNow()
		}
		d.stay(CmdPaymentFailed, e)
	}
	return nil
}

func (d *decision) graceFromNow() *time.Time {
	ends := d.cmd.Now.Add(d.grace())
	return &ends
}

// paymentRecovered takes away what a payment takes away: the grace, the payment block, the trial's.
func paymentRecovered(d *decision) error {
	if p, ok := d.cmd.Payload.(*ConfirmPayment); ok && p.Status == subscriptionTrialing {
		return nil
	}
	_, first := d.cmd.Payload.(*ConfirmPayment)
	blocked := slices.ContainsFunc(d.state.Blocks, unpaid)
	owed := blocked || d.state.Grace != nil
	if d.state.Name == PastDue {
		d.move(CmdPaymentRecovered, Active, &events.PaymentRecovered{})
		return nil
	}
	if (first || owed) && !d.state.TrialEndsAt.IsZero() {
		// Whatever the tenant comes back to, it is no trial any more.
		d.stay(CmdPaymentRecovered, &events.TrialConverted{Plan: d.state.Plan})
	}
	switch {
	case blocked:
		d.lift(CmdPaymentRecovered, unpaid)
	case owed:
		d.stay(CmdPaymentRecovered, &events.PaymentRecovered{})
	}
	return nil
}

// lift takes blocks away. When that opens a suspended tenant's access, it comes back.
func (d *decision) lift(command string, drop func(events.Block) bool) {
	left := without(d.state.Blocks, drop)
	if d.state.Name == Suspended && !slices.ContainsFunc(left, closing) {
		d.comeBackWith(command, left)
		return
	}
	for _, b := range d.state.Blocks {
		if drop(b) {
			left := without(d.state.Blocks, func(o events.Block) bool { return o.Kind == b.Kind })
			d.stay(command, &events.BlockLifted{Block: b.Kind, Blocks: left})
		}
	}
}

// comeBackWith reopens the access of a suspended tenant that lacks nothing else.
func (d *decision) comeBackWith(command string, blocks []events.Block) {
	op := d.planned(d.cmd.NewID, OpReactivate, d.state.Plan, d.state.Plan, nil)
	d.beginReactivation(command, op, true, blocks)
}

// endGrace closes access.
func (d *decision) endGrace() {
	blocks := d.withBlock(BlockPayment, "the grace ended unpaid")
	if d.state.Name == PastDue {
		d.move(cmdEndGrace, Suspended, &events.TenantSuspended{Blocks: blocks})
		return
	}
	d.stay(cmdEndGrace, &events.BlockAdded{Block: BlockPayment, Blocks: blocks})
}

// exempted keeps access open whatever is owed. A tenant that is suspended because it owes comes back, and owes on.
func exempted(d *decision, _ *events.Exempt) error {
	left := without(d.state.Blocks, unpaid)
	d.stay(CmdExempt, &events.TenantExempted{Blocks: left})
	if d.state.Name == Suspended && !slices.ContainsFunc(left, closing) {
		d.comeBackWith(cmdBeginReactivation, left)
	}
	return nil
}

// endExemption gives a tenant that owes its grace, as if the payment had failed now. One without a length is over at once.
func endExemption(d *decision, _ *events.EndExemption) error {
	e := &events.ExemptionEnded{}
	if d.state.Grace != nil {
		e.GraceEndsAt = d.graceFromNow()
	}
	d.stay(CmdEndExemption, e)
	return nil
}

func suspend(d *decision, p *events.Suspend) error {
	kind := orElse(p.Block, BlockAdmin)
	if kind != BlockAdmin && kind != BlockAbuse {
		return d.refuse(CodeInvalidArgument, "block must be admin or abuse, not %q", kind)
	}
	if d.state.Blocked(kind) {
		return d.refuse(CodeInvalidTransition, "the tenant has the %s block already", kind)
	}
	blocks := d.withBlock(kind, p.Reason)
	if slices.Contains(open, d.state.Name) {
		d.move(CmdSuspend, Suspended, &events.TenantSuspended{Blocks: blocks})
		return nil
	}
	d.stay(CmdSuspend, &events.BlockAdded{Block: kind, Blocks: blocks})
	return nil
}

func resume(d *decision, _ *events.Resume) error {
	d.lift(CmdResume, imposed)
	return nil
}

// limitBlocks are the blocks on a plan: over_limit goes when the stored usage fits, and comes, if it may, when not.
func (d *decision) limitBlocks(plan string, mayCome bool) []events.Block {
	p, _ := d.plan(plan)
	limits := d.state.Limits(p)
	limits.Queries = 0 // queries are over when the month is: they are limited by quota, not by a block
	over := len(d.cmd.Facts.Usage.Over(limits)) > 0
	switch {
	case !over:
		return without(d.state.Blocks, func(b events.Block) bool { return !closing(b) })
	case mayCome:
		return d.withBlock(BlockOverLimit, "the usage is over the limits of "+plan)
	}
	return d.state.Blocks
}

// Over lists the limits that the usage does not fit.
func (u Usage) Over(l plans.Limits) []events.Violation {
	var out []events.Violation
	check := func(metric string, usage, limit float64) {
		if limit > 0 && usage > limit {
			out = append(out, events.Violation{Metric: metric, Usage: usage, Limit: limit})
		}
	}
	check("queries", float64(u.Queries), float64(l.Queries))
	check("documents", float64(u.Documents), float64(l.Documents))
	check("storage_gb", u.StorageGB, l.StorageGB)
	return out
}
