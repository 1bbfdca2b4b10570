package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/shared/pg"
)

// Look is when to look next whether anybody uses a tenant.
type Look struct {
	Tenant string
	Due    time.Time
}

// DueLooks returns looks whose time has come by the database's clock, oldest first.
func DueLooks(ctx context.Context, q pg.Querier, limit int) ([]Look, error) {
	rows, err := q.Query(ctx, `SELECT tenant, due FROM idle_looks WHERE due <= clock_timestamp() ORDER BY due LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("read due looks: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Look])
}

// LookAgain puts off the next look at each tenant: until it would be idle if nobody used it from now on, by its last use or,
// when that is too long ago, from now.
func LookAgain(ctx context.Context, q pg.Querier, tenants []string, idle []time.Duration) error {
	_, err := q.Exec(ctx, `UPDATE idle_looks l
		SET due = CASE WHEN f.used_at + n.idle > clock_timestamp() THEN f.used_at ELSE clock_timestamp() END + n.idle
		FROM unnest($1::text[], $2::interval[]) AS n(tenant, idle) LEFT JOIN billing_facts f USING (tenant)
		WHERE l.tenant = n.tenant`, tenants, idle)
	if err != nil {
		return fmt.Errorf("put off the next looks: %w", err)
	}
	return nil
}

// LookBy makes no look come later than idle from now: it may have been put off while that was set longer.
func LookBy(ctx context.Context, q pg.Querier, idle time.Duration) error {
	_, err := q.Exec(ctx, `UPDATE idle_looks SET due = clock_timestamp() + $1::interval WHERE due > clock_timestamp() + $1::interval`, idle)
	return err
}

// LookNoMore forgets tenants whose life is over.
func LookNoMore(ctx context.Context, q pg.Querier, tenants []string) error {
	_, err := q.Exec(ctx, `DELETE FROM idle_looks WHERE tenant = ANY($1)`, tenants)
	return err
}
