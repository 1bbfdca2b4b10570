package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tenure/shared/pg"
)

// Result is what a campaign has come to in one of its variants, or in the holdout.
type Result struct {
	Campaign, Variant string
	Holdout           bool
	Enrolled, Running int64
	// Sent, Opened, Clicked and OffersUsed count mails; Opened is zero where nobody asked for it to be tracked.
	Sent, Opened, Clicked, OffersUsed int64
	Returned                          int64
	// Plans are those that tenants came back on, one for each.
	Plans []string
}

// Results are those of all campaigns, by name and variant, the holdouts last.
func Results(ctx context.Context, q pg.Querier) ([]Result, error) {
	rows, err := q.Query(ctx, `
		WITH mails AS (
			SELECT c.campaign, c.tenant_id, c.generation, count(*) FILTER (WHERE m.state = 'sent') AS sent, count(c.opened_at) AS opened,
				count(c.clicked_at) AS clicked, count(c.used_at) AS used
			FROM campaign_mails c JOIN messages m USING (id) GROUP BY 1, 2, 3
		)
		SELECT e.campaign, e.variant, e.holdout, count(*) AS enrolled, count(*) FILTER (WHERE e.state = 'running') AS running,
			coalesce(sum(m.sent), 0)::bigint AS sent, coalesce(sum(m.opened), 0)::bigint AS opened, coalesce(sum(m.clicked), 0)::bigint AS clicked,
			coalesce(sum(m.used), 0)::bigint AS offers_used, count(e.returned_at) AS returned,
			coalesce(array_agg(e.returned_plan) FILTER (WHERE e.returned_at IS NOT NULL), '{}') AS plans
		FROM enrollments e LEFT JOIN mails m USING (campaign, tenant_id, generation)
		GROUP BY e.campaign, e.variant, e.holdout ORDER BY e.campaign, e.holdout, e.variant`)
	if err != nil {
		return nil, fmt.Errorf("sum campaigns up: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Result])
}
