package gate

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"tenure/shared/events"
)

// change is the part of a lifecycle event's data that the replica keeps.
type change struct {
	To            string              `json:"to_state"`
	ReadOnlyUntil time.Time           `json:"read_only_until"`
	Blocks        []events.Block      `json:"blocks"`
	Plan          string              `json:"plan"`
	Config        events.TenantConfig `json:"config"`
	// Of a step that is asked for.
	StepID      string `json:"step_id"`
	Participant string `json:"participant"`
	ToPlan      string `json:"to_plan"`
}

// participant is the name under which all gates take part in plan changes: their step is to take the new plan in.
const participant = "gates"

// stated are the parts that something says anew.
type stated struct{ plan, blocks, config bool }

// states tells what an event says beside the state and the read-only window. Events that leave no block name none, so
// that absence means "none are left" in these and "unchanged" in all others; a plan elsewhere is one that is only wished
// for.
var states = map[string]stated{
	"tenant.registered":     {plan: true, blocks: true},
	"tenant.activated":      {plan: true},
	"tenant.exempted":       {blocks: true},
	"tenant.reborn":         {plan: true, blocks: true, config: true},
	"trial.converted":       {plan: true},
	"trial.expired":         {blocks: true},
	"payment.past_due":      {blocks: true},
	"tenant.suspended":      {blocks: true},
	"block.added":           {blocks: true},
	"block.lifted":          {blocks: true},
	"upgrade.completed":     {plan: true, blocks: true},
	"upgrade.rolled_back":   {plan: true},
	"downgrade.completed":   {plan: true, blocks: true},
	"downgrade.rolled_back": {plan: true},
	"reactivation.started":  {blocks: true},
	"reactivation.failed":   {blocks: true},
	"tenant.reactivated":    {plan: true, blocks: true},
	"config.changed":        {config: true},
}

// apply takes one lifecycle event in, and returns the step that gates are asked for by it. One that names no state changes
// nothing: the refusal of a command for a tenant that does not exist.
func (r *replica) apply(e events.Event) (step string, err error) {
	var c change
	if err := json.Unmarshal(e.Data, &c); err != nil {
		return "", fmt.Errorf("gate: event %s: %w", e.ID, err)
	}
	if c.To == "" {
		return "", nil
	}
	says := states[e.Name()]
	if e.Name() == "step.requested" && c.Participant == participant {
		says.plan, c.Plan, step = true, c.ToPlan, c.StepID
	}
	return step, r.learn(e.Subject, e.Sequence, BlocksOf(c.Blocks), c, says)
}

// restore takes in what a snapshot says of a tenant.
func (r *replica) restore(record Record) error {
	c := change{To: record.State, ReadOnlyUntil: record.ReadOnlyUntil, Plan: record.Plan, Config: record.Config}
	return r.learn(record.Tenant, record.Version, blocksNamed(record.Blocks), c, stated{plan: true, blocks: true, config: true})
}

// learn stores what was said in the given version of a tenant, but for the parts that are known from a later one.
func (r *replica) learn(tenant string, sequence int64, blocks Blocks, c change, says stated) error {
	if sequence <= 0 || sequence > math.MaxUint32 { // four billion events of one tenant: the log is broken
		return fmt.Errorf("gate: %s has version %d", tenant, sequence)
	}
	version, state, plan := uint32(sequence), ParseState(c.To), uint16(0)
	if says.plan {
		plan = r.plans.number(c.Plan)
	}
	s, k := r.find(tenant)
	s.Lock()
	defer s.Unlock()
	known := s.tenants.at(k)
	if version > known.stateAt {
		known.stateAt, known.access.State = version, state
		s.setWindow(k, known, c.ReadOnlyUntil)
	}
	if says.blocks && version > known.blocksAt {
		known.blocksAt = version
		known.setBlocks(blocks)
	}
	if says.plan && version > known.planAt {
		known.planAt, known.plan = version, plan
	}
	if says.config {
		s.setConfig(k, config{version, c.Config})
	}
	return nil
}
