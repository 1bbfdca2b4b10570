package gate

import (
	"maps"
	"math"

	"tenure/shared/events"
	"tenure/shared/plans"
)

// Metric is what a plan limits.
type Metric string

// The limited metrics. Queries count per calendar month (UTC); documents and storage are running totals.
const (
	Queries   Metric = "queries"
	Documents Metric = "documents"
	StorageGB Metric = "storage_gb"
)

// Limits is how much a tenant may use. A metric that is not named is not limited.
type Limits map[Metric]float64

// Of is the limit of one metric: +Inf when there is none.
func (l Limits) Of(m Metric) float64 {
	if limit, ok := l[m]; ok {
		return limit
	}
	return math.Inf(1)
}

func limitsOf(l plans.Limits) Limits {
	limits := Limits{Queries: float64(l.Queries), Documents: float64(l.Documents), StorageGB: l.StorageGB}
	maps.DeleteFunc(limits, func(_ Metric, limit float64) bool { return limit == 0 }) // in a plan, zero is unlimited
	return limits
}

// Settings is what holds for a tenant: its plan, and what is set for it beside the plan.
type Settings struct {
	// Version grows with each change of anything here. It is the tenant's version, in the lifecycle's log, of the event
	// that made the change, or of the snapshot that brought it: a gate whose Version is not below an event's knows of it.
	Version  int64
	Plan     string
	Limits   Limits
	Features []string // sorted
	// Values are the SaaS's own. Do not change the map: others read it.
	Values map[string]string
}

// Settings answers what holds for a tenant, and whether the gate knows the tenant.
func (g *Gate) Settings(tenant string) (Settings, bool) {
	known := g.replica.get(tenant)
	own := g.replica.config(tenant)
	name := g.replica.plans.name(known.plan)
	plan, _ := g.cfg.Plans.Find(name)
	return Settings{
		Version: int64(max(known.planAt, own.at)), Plan: name, Values: own.Values,
		Limits: g.limitsWith(name, own.TenantConfig), Features: own.FeaturesWith(plan.Features),
	}, known.known()
}

// Limits are those of the tenant's plan, but for those that are set for the tenant. A tenant or plan that is not known has
// a limit of nothing at all. Do not change the map: others read it.
func (g *Gate) Limits(tenant string) Limits {
	known := g.replica.get(tenant)
	return g.limitsWith(g.replica.plans.name(known.plan), g.replica.config(tenant).TenantConfig)
}

// PlanLimits are the limits of a plan by its name, for a participant that prepares a change to it.
func (g *Gate) PlanLimits(plan string) (Limits, bool) {
	limits, ok := g.limits[plan]
	return limits, ok
}

var nothing = Limits{Queries: 0, Documents: 0, StorageGB: 0}

func (g *Gate) limitsWith(plan string, own events.TenantConfig) Limits {
	limits, ok := g.limits[plan]
	if !ok {
		return nothing
	}
	if len(own.Limits) == 0 {
		return limits
	}
	limits = maps.Clone(limits)
	for metric, limit := range own.Limits {
		if limit == 0 {
			delete(limits, Metric(metric))
		} else {
			limits[Metric(metric)] = limit
		}
	}
	return limits
}
