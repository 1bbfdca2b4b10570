package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tenure/shared/pg"
)

// The steps of the funnel that are transitions; the others are named by their milestones.
const (
	SignedUp  = "signed_up"
	Activated = "activated"
)

// FunnelStep is how many tenants ever came to a point, and how long after they had signed up, in seconds.
type FunnelStep struct {
	Name     string
	Tenants  int64
	P50, P95 float64
}

// Funnel returns the steps that anybody has come to. A tenant counts once in each, whatever lives it had.
func Funnel(ctx context.Context, q pg.Querier) ([]FunnelStep, error) {
	rows, err := q.Query(ctx, `WITH points AS (
			SELECT stream, min(time) AS at, CASE type
				WHEN 'tenure.lifecycle.tenant.registered.v1' THEN '`+SignedUp+`'
				WHEN 'tenure.lifecycle.tenant.activated.v1' THEN '`+Activated+`'
				ELSE data::json->>'milestone' END AS name
			FROM log WHERE type IN ('tenure.lifecycle.tenant.registered.v1', 'tenure.lifecycle.tenant.activated.v1',
				'tenure.lifecycle.milestone.reached.v1')
			GROUP BY 1, 3
		), took AS (
			SELECT p.name, extract(epoch FROM p.at - s.at)::float8 AS seconds
			FROM points p JOIN points s ON s.stream = p.stream AND s.name = '`+SignedUp+`'
		)
		SELECT name, count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds),
			percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) FROM took GROUP BY name`)
	if err != nil {
		return nil, fmt.Errorf("count the funnel: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[FunnelStep])
}
