package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/usage"
	"tenure/shared/events"
	"tenure/shared/plans"
)

// reached finds the shares of limits that the tenants have reached and were not told of this month, and notes them as told.
// A running total that falls and rises again is therefore not told again before the next month.
func reached(ctx context.Context, tx pgx.Tx, all []used, catalogue plans.Catalogue) (map[string][]events.UsageThresholdReached, error) {
	var c struct {
		tenant, metric, period []string
		percent                []int
	}
	var found []events.UsageThresholdReached
	for _, u := range all {
		offered, ok := catalogue.Find(u.plan)
		if !ok {
			continue
		}
		for _, alert := range usage.Reached(u.UsageUpdated, offered) {
			found = append(found, alert)
			c.tenant, c.metric, c.period = append(c.tenant, u.tenant), append(c.metric, alert.Metric), append(c.period, u.Period)
			c.percent = append(c.percent, alert.Percent)
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `WITH found AS (
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int[]) WITH ORDINALITY AS f(tenant, metric, period, percent, n)
		), fresh AS (
			INSERT INTO usage_alerts (tenant, metric, period, percent) SELECT tenant, metric, period, percent FROM found
			ON CONFLICT DO NOTHING RETURNING tenant, metric, percent
		)
		SELECT tenant, n FROM found JOIN fresh USING (tenant, metric, percent) ORDER BY n`, c.tenant, c.metric, c.period, c.percent)
	if err != nil {
		return nil, fmt.Errorf("note alerts: %w", err)
	}
	out := map[string][]events.UsageThresholdReached{}
	var tenant string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&tenant, &n}, func() error {
		out[tenant] = append(out[tenant], found[n-1])
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("note alerts: %w", err)
	}
	return out, nil
}
