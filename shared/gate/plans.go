package gate

import (
	"context"
	"maps"
	"math"
	"net/http"

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

// Limits is how much a plan allows. A metric that is not named is not limited.
type Limits map[Metric]float64

// Of is the limit of one metric: +Inf when there is none.
func (l Limits) Of(m Metric) float64 {
	if limit, ok := l[m]; ok {
		return limit
	}
	return math.Inf(1)
}

// DefaultPlans are the limits of the plans when no plan file replaces them.
func DefaultPlans() map[string]Limits {
	limits := map[string]Limits{}
	for _, p := range plans.Default() {
		limits[p.Name] = limitsOf(p.Limits)
	}
	return limits
}

func limitsOf(l plans.Limits) Limits {
	limits := Limits{Queries: float64(l.Queries), Documents: float64(l.Documents), StorageGB: l.StorageGB}
	maps.DeleteFunc(limits, func(_ Metric, limit float64) bool { return limit == 0 }) // in a plan, zero is unlimited
	return limits
}

// Counter counts use exactly, over whatever store all instances of the SaaS share.
type Counter interface {
	// Add adds n to the tenant's use of m unless that would pass limit (+Inf: no limit), in one atomic step, and
	// reports whether it did.
	Add(ctx context.Context, tenant string, m Metric, n, limit float64) (ok bool, err error)
}

// Spend takes n of a tenant's quota from the counter: 429 when the plan's limit would be passed. Ask Check first;
// Spend looks at numbers alone. An error is the counter's; nothing was counted then.
func (g *Gate) Spend(ctx context.Context, counter Counter, tenant string, m Metric, n float64) (Verdict, error) {
	ok, err := counter.Add(ctx, tenant, m, n, g.Limits(tenant).Of(m))
	if err != nil {
		return Verdict{}, err
	}
	if !ok {
		return overQuota[m], nil
	}
	return allow, nil
}

var overQuota = map[Metric]Verdict{
	Queries:   deny(http.StatusTooManyRequests, "quota_queries", "this month's queries are used up: upgrade, or wait for the next month"),
	Documents: deny(http.StatusTooManyRequests, "quota_documents", "the plan holds no more documents: upgrade"),
	StorageGB: deny(http.StatusTooManyRequests, "quota_storage_gb", "the plan's storage is full: upgrade"),
}
