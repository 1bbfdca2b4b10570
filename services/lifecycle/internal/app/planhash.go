package app

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
	"tenure/shared/plans"
)

// agreement is what a person agreed to when they saw a preview. It leaves out what moves by itself with every query and
// second: the usage, but for which limits it breaks, and what is left of the period.
type agreement struct {
	Command    string
	State      tenant.StateName
	Generation int64
	// Blocks are the kinds that close access: whether they are about money decides about what a return costs.
	Blocks  []string
	From    plans.Plan
	To      plans.Plan
	Usage   []plans.UsagePrice
	Broken  []brokenLimit
	Pending *tenant.PendingChange
	Coupon  string
	// Paid: there is a period to wait for.
	Paid bool
}

type brokenLimit struct {
	Metric string
	Limit  float64
}

// carried is the plan hash that a command brings along, and the plan that it leads to; false for a command that is about
// neither plans nor money.
func carried(payload events.Payload) (hash, to string, ok bool) {
	switch p := payload.(type) {
	case *events.Upgrade:
		return p.PlanHash, p.Plan, true
	case *events.Downgrade:
		return p.PlanHash, p.Plan, true
	case *events.Reactivate:
		return p.PlanHash, p.Plan, true
	case *events.Delete:
		return p.PlanHash, "", true
	}
	return "", "", false
}

// planHash stands for the agreement behind a command; it is empty where there is none.
func (e *Engine) planHash(s tenant.State, payload events.Payload, f tenant.Facts, now time.Time) string {
	_, to, ok := carried(payload)
	if !ok {
		return ""
	}
	a := agreement{
		Command: payload.EventType(), State: s.Name, Generation: s.Generation, Usage: e.cfg.Usage, Pending: s.Pending,
		Paid: f.PeriodEnd.After(now),
	}
	if r, ok := payload.(*events.Reactivate); ok {
		a.Coupon = r.Coupon
	}
	if to == "" {
		to = s.Plan
	}
	a.From, _ = f.Plans.Find(s.Plan)
	a.To, _ = f.Plans.Find(to)
	a.From.Limits, a.To.Limits = s.Limits(a.From), s.Limits(a.To)
	for _, v := range f.Usage.Over(a.To.Limits) {
		a.Broken = append(a.Broken, brokenLimit{v.Metric, v.Limit})
	}
	for _, b := range s.Blocks {
		if b.Kind != tenant.BlockOverLimit {
			a.Blocks = append(a.Blocks, b.Kind)
		}
	}
	content, err := json.Marshal(a)
	if err != nil {
		return "" // and so every hash that a command carries is another
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:16])
}
