package tenant

import (
	"encoding/json"
	"math"
	"slices"

	"tenure/shared/events"
	"tenure/shared/plans"
)

// maxConfig bounds what is set for one tenant, in bytes of JSON: it is in every snapshot of the tenant, and in every gate.
const maxConfig = 8 << 10

// configure sets what holds for the tenant beside its plan. New limits count at once.
func configure(d *decision, p *events.Configure) error {
	for metric, limit := range p.Limits {
		if metric == "" || limit < 0 || math.IsNaN(limit) || math.IsInf(limit, 0) {
			return d.refuse(CodeInvalidArgument, "the limit of %q must be a number from 0 (unlimited) on, not %v", metric, limit)
		}
	}
	if size, err := json.Marshal(p.TenantConfig); err != nil || len(size) > maxConfig {
		return d.refuse(CodeInvalidArgument, "a tenant's own configuration takes %d bytes at most", maxConfig)
	}
	d.stay(CmdConfigure, &events.ConfigChanged{Config: p.TenantConfig})
	d.limitUsage()
	return nil
}

// Limits are those of a plan for this tenant: what is set for it overrules the plan.
func (s State) Limits(p plans.Plan) plans.Limits { return p.Limits.With(s.Config.Limits) }

// The milestones of a tenant's life, beside those that are transitions.
const (
	FirstUpload = "first_upload"
	FirstQuery  = "first_query"
)

// checkUsage does what new figures ask for.
func checkUsage(d *decision, _ *CheckUsage) error {
	if ok, _ := allows(d.state, CmdCheckUsage); !ok {
		return nil
	}
	d.limitUsage()
	usage := d.cmd.Facts.Usage
	d.reach(FirstUpload, usage.Documents > 0)
	d.reach(FirstQuery, usage.Queries > 0)
	d.warm()
	return nil
}

// reach records a milestone, once in a life.
func (d *decision) reach(milestone string, there bool) {
	if !there || slices.Contains(d.state.Reached, milestone) {
		return
	}
	d.stay(CmdCheckUsage, &events.MilestoneReached{
		Milestone: milestone, SinceSignup: d.cmd.Now.Sub(d.state.CreatedAt).Seconds(),
	})
}

// limitUsage lets the over_limit block follow the stored usage, where the state has room for it.
func (d *decision) limitUsage() {
	blocks := d.limitBlocks(d.state.Plan, true)
	was, is := d.state.Blocked(BlockOverLimit), slices.ContainsFunc(blocks, func(b events.Block) bool { return !closing(b) })
	if ok, _ := allows(d.state, CmdCheckUsage); !ok || was == is {
		return
	}
	if is {
		d.stay(CmdCheckUsage, &events.BlockAdded{Block: BlockOverLimit, Blocks: blocks})
		return
	}
	d.stay(CmdCheckUsage, &events.BlockLifted{Block: BlockOverLimit, Blocks: blocks})
}
