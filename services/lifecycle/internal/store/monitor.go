package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/pg"
)

// OverdueDeletions returns tenants whose purge should have begun more than grace ago by the database's clock and waits for
// nothing, in the order of their ids behind after. It looks at the tenants themselves: a timer that was lost does not hide one.
func OverdueDeletions(ctx context.Context, q pg.Querier, after string, grace time.Duration, limit int) ([]tenant.State, error) {
	rows, err := q.Query(ctx, `SELECT hash, snapshot FROM streams
		WHERE stream > $1 AND stream IN (SELECT stream FROM log WHERE type = 'tenure.lifecycle.deletion.requested.v1')
		AND snapshot->>'state' = '`+string(tenant.Deleting)+`' AND snapshot->'deletion'->'deferred_by' IS NULL
		AND (snapshot->'deletion'->>'scheduled_for')::timestamptz < clock_timestamp() - $2::interval
		ORDER BY stream LIMIT $3`, after, grace, limit)
	if err != nil {
		return nil, fmt.Errorf("look for overdue deletions: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanTenant)
	states := make([]tenant.State, len(list))
	for i, t := range list {
		states[i] = t.State
	}
	return states, err
}

// EarlyPurge is a purge that the log says began before it was due.
type EarlyPurge struct {
	Tenant  string
	Version int64 // of its event
	Began   time.Time
	Due     *time.Time // nil: nobody had asked for a deletion
}

// EarlyPurges returns those that no violation tells of yet. The deadline is that of the request before, not the one that the
// purge itself names.
func EarlyPurges(ctx context.Context, q pg.Querier, limit int) ([]EarlyPurge, error) {
	rows, err := q.Query(ctx, `SELECT p.stream, p.version, p.time, r.due FROM log p LEFT JOIN LATERAL (
			SELECT (data::json->>'scheduled_for')::timestamptz AS due FROM log
			WHERE stream = p.stream AND version < p.version AND type = 'tenure.lifecycle.deletion.requested.v1'
			ORDER BY version DESC LIMIT 1) r ON true
		WHERE p.type = 'tenure.lifecycle.purge.started.v1' AND (r.due IS NULL OR p.time < r.due)
		AND NOT EXISTS (SELECT FROM log v WHERE v.stream = p.stream AND v.version > p.version
			AND v.type = '`+ViolationType+`' AND v.data::json->>'kind' = '`+tenant.ViolationEarly+`')
		ORDER BY p.stream, p.version LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("look for early purges: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[EarlyPurge])
}
