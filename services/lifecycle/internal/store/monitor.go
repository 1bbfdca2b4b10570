package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/pg"
)

const (
	deletionRequested = "tenure.lifecycle.deletion.requested.v1"
	purgeStarted      = "tenure.lifecycle.purge.started.v1"
)

// OverdueDeletions returns tenants whose purge should have begun more than grace ago by the database's clock and waits for
// nothing, in the order of their ids behind after. It looks at the tenants themselves: a timer that was lost does not hide one.
// The log says where to look, so that not every tenant there is has to be read.
func OverdueDeletions(ctx context.Context, q pg.Querier, after string, grace time.Duration, limit int) ([]tenant.State, error) {
	// The inner limit has each tenant looked up by its id; to join them, all would be read.
	rows, err := q.Query(ctx, `WITH last AS MATERIALIZED (
			SELECT DISTINCT ON (stream) stream, type FROM log
			WHERE type IN ('`+deletionRequested+`', '`+purgeStarted+`') AND stream > $1 ORDER BY stream, version DESC)
		SELECT s.hash, s.snapshot FROM last, LATERAL (SELECT hash, snapshot FROM streams WHERE stream = last.stream LIMIT 1) s
		WHERE last.type = '`+deletionRequested+`'
		AND snapshot->>'state' = '`+string(tenant.Deleting)+`' AND snapshot->'deletion'->'deferred_by' IS NULL
		AND (snapshot->'deletion'->>'scheduled_for')::timestamptz < clock_timestamp() - $2::interval
		ORDER BY last.stream LIMIT $3`, after, grace, limit)
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

// Purge is how the log says that a purge began.
type Purge struct {
	Position int64 // in its partition
	Tenant   string
	Version  int64
	Began    time.Time
	// Due is the deadline of the request before, whatever the purge says of itself; nil when there was none.
	Due *time.Time
}

// Purges returns those of a partition behind a position, in their order.
func Purges(ctx context.Context, q pg.Querier, partition int, after int64, limit int) ([]Purge, error) {
	rows, err := q.Query(ctx, `SELECT p.sequence, p.stream, p.version, p.time, (
			SELECT (data::json->>'scheduled_for')::timestamptz FROM log r
			WHERE r.stream = p.stream AND r.version < p.version AND r.type = '`+deletionRequested+`'
			ORDER BY r.version DESC LIMIT 1)
		FROM log p WHERE p.type = '`+purgeStarted+`' AND p.partition = $1 AND p.sequence > $2 ORDER BY p.sequence LIMIT $3`,
		partition, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read purges: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Purge])
}
