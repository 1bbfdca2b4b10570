package gate

import (
	"context"
	"net/http"
)

// Counter counts use exactly, over whatever store all instances of the SaaS share; pgcounter is one over PostgreSQL.
type Counter interface {
	// Add adds n to the tenant's use of m unless that would pass limit (+Inf: no limit), in one atomic step, and
	// reports whether it did.
	Add(ctx context.Context, tenant string, m Metric, n, limit float64) (ok bool, err error)
}

// Spend takes n of a tenant's quota from the counter: 429 when the tenant's limit would be passed. Ask Check first;
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
