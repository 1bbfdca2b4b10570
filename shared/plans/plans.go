// Package plans is what there is to buy: the plans in their order, what each allows and what it costs. The lifecycle
// decides by it, billing charges by it and the gate limits by it, so that it stands here once.
//
// It is pure, and safe for concurrent use as long as nobody changes a catalogue that others read.
package plans

import (
	"math"
	"slices"
	"time"
)

// Currency of every price, as Stripe writes it.
const Currency = "usd"

// Plan is one row of the catalogue.
type Plan struct {
	Name string
	// Cents is the price of a month, in the smallest unit of Currency; 0 needs no subscription.
	Cents  int64
	Limits Limits
	// Features are what the plan has that another may not have, in the operator's own words.
	Features []string
	// Included is how much of a metric that has a UsagePrice the plan's own price covers, per billing period.
	Included map[string]float64
	// Grace overrides, for this plan, how long an unpaid tenant keeps its access; nil leaves it to the policy.
	Grace *time.Duration
}

// Free reports whether nothing is to be paid.
func (p Plan) Free() bool { return p.Cents == 0 }

// Offer is all that there is to buy.
type Offer struct {
	Plans Catalogue
	// Usage is charged beside the plan's price, on every paid plan.
	Usage []UsagePrice
}

// UsagePrice makes a metric cost money.
type UsagePrice struct {
	Metric string
	// Cents for one unit; fractions of a cent are fine.
	Cents float64
}

// DefaultOffer charges for plans alone.
func DefaultOffer() Offer { return Offer{Plans: Default()} }

// Limits of a plan. Zero is unlimited.
type Limits struct {
	Queries   int64 // in a calendar month, UTC
	Documents int64
	StorageGB float64
}

// With overrules limits by those that are set for one tenant, by metric; 0 is unlimited there, too. Metrics that no plan
// limits are for the gate alone.
func (l Limits) With(own map[string]float64) Limits {
	if limit, set := own["queries"]; set {
		l.Queries = int64(limit)
	}
	if limit, set := own["documents"]; set {
		l.Documents = int64(limit)
	}
	if limit, set := own["storage_gb"]; set {
		l.StorageGB = limit
	}
	return l
}

// Catalogue is the plans from the lowest to the highest: the order is the hierarchy.
type Catalogue []Plan

// Default is the catalogue when no plan file replaces it.
func Default() Catalogue {
	return Catalogue{
		{Name: "free", Limits: Limits{Queries: 100, Documents: 50, StorageGB: 0.1}},
		{Name: "starter", Cents: 4_900, Limits: Limits{Queries: 10_000, Documents: 5_000, StorageGB: 5}},
		{Name: "professional", Cents: 19_900, Limits: Limits{Queries: 100_000, Documents: 50_000, StorageGB: 50}},
		{Name: "enterprise", Cents: 99_900},
	}
}

// Find returns the plan called name.
func (c Catalogue) Find(name string) (Plan, bool) {
	rank := c.Rank(name)
	if rank < 0 {
		return Plan{Name: name}, false
	}
	return c[rank], true
}

// Rank is a plan's place in the hierarchy, from 0; -1 for one that is not in the catalogue.
func (c Catalogue) Rank(name string) int {
	return slices.IndexFunc(c, func(p Plan) bool { return p.Name == name })
}

// Prorated is what a change of plan now moves, in cents: the difference in price for the rest of a monthly period that
// is paid until end. It is negative when money is credited, and nothing when no period is paid.
func Prorated(from, to Plan, now, end time.Time) int64 {
	begin := end.AddDate(0, -1, 0)
	if !now.Before(end) {
		return 0
	}
	rest := min(1, end.Sub(now).Seconds()/end.Sub(begin).Seconds())
	return int64(math.Round(float64(to.Cents-from.Cents) * rest))
}

// Names lists the plans in their order.
func (c Catalogue) Names() []string {
	names := make([]string, len(c))
	for i, p := range c {
		names[i] = p.Name
	}
	return names
}
