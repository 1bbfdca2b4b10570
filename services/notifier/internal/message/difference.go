package message

import (
	"slices"

	"tenure/shared/plans"
)

// Difference is what one plan has otherwise than another.
type Difference struct {
	Limits []LimitChange `json:"limits,omitempty"`
	// Gained and Lost are features, in the operator's own words.
	Gained []string `json:"gained,omitempty"`
	Lost   []string `json:"lost,omitempty"`
}

// LimitChange is a metric of which a plan allows more or less than another; 0 is unlimited.
type LimitChange struct {
	Metric string  `json:"metric"`
	From   float64 `json:"from"`
	To     float64 `json:"to"`
}

// planChanged tells what a tenant has on another plan. Limits that were agreed on with it alone are not in it.
func planChanged(o occasion, from, to string) []Draft {
	return send(PlanChanged, Facts{FromPlan: from, Plan: to, Difference: difference(o.rules.Plans, from, to)})
}

// difference is nil when there is nothing to tell.
func difference(catalogue plans.Catalogue, from, to string) *Difference {
	before, known := catalogue.Find(from)
	after, alsoKnown := catalogue.Find(to)
	if !known || !alsoKnown {
		return nil // a plan that is not sold any more
	}
	d := Difference{
		Limits: limitChanges(before.Limits, after.Limits),
		Gained: without(after.Features, before.Features),
		Lost:   without(before.Features, after.Features),
	}
	if len(d.Limits)+len(d.Gained)+len(d.Lost) == 0 {
		return nil
	}
	return &d
}

func limitChanges(from, to plans.Limits) []LimitChange {
	all := []LimitChange{
		{"queries", float64(from.Queries), float64(to.Queries)},
		{"documents", float64(from.Documents), float64(to.Documents)},
		{"storage_gb", from.StorageGB, to.StorageGB},
	}
	return slices.DeleteFunc(all, func(c LimitChange) bool { return c.From == c.To })
}

// without are those of all that are not among others.
func without(all, others []string) (rest []string) {
	for _, s := range all {
		if !slices.Contains(others, s) {
			rest = append(rest, s)
		}
	}
	return rest
}
