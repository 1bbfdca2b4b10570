package usage

import (
	"tenure/shared/events"
	"tenure/shared/plans"
)

// shares of a limit, in percent, at which a tenant is warned.
var shares = []int{80, 100}

// Reached lists the shares of the plan's limits that are used up. A metric without a limit has none.
func Reached(u events.UsageUpdated, p plans.Plan) []events.UsageThresholdReached {
	var out []events.UsageThresholdReached
	for _, m := range []struct {
		metric      string
		used, limit float64
		period      string
	}{
		{Queries, float64(u.Queries), float64(p.Limits.Queries), u.Period},
		{Documents, float64(u.Documents), float64(p.Limits.Documents), ""},
		{StorageGB, u.StorageGB, p.Limits.StorageGB, ""},
	} {
		for _, percent := range shares {
			if m.limit > 0 && m.used*100 >= m.limit*float64(percent) {
				out = append(out, events.UsageThresholdReached{
					Metric: m.metric, Percent: percent, Usage: m.used, Limit: m.limit, Plan: p.Name, Period: m.period,
				})
			}
		}
	}
	return out
}
