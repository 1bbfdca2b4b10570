// Package pgcounter counts what tenants use in PostgreSQL, for gate.Spend: exactly, however many instances of a SaaS count
// at once. It is a package of its own so that the gate brings no database driver along.
package pgcounter

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tenure/shared/gate"
)

// Table is the one that a Counter counts in, found by the connection's search_path. Make it in a migration of your own, and
// put row-level security on it if your tables have it.
const Table = `CREATE TABLE counters (
    tenant_id text NOT NULL,
    metric    text NOT NULL,
    -- "2026-07" for what is counted by the month, empty for running totals.
    period    text NOT NULL,
    used      double precision NOT NULL,
    PRIMARY KEY (tenant_id, metric, period)
)`

// DB is a pool, a connection or a transaction of pgx.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Counter implements gate.Counter. In a transaction the count holds only if the work that it pays for is committed with it;
// until then the counter's row is locked, so that parallel requests wait and cannot pass the limit together. On a pool each
// count is a transaction of its own: quicker, and the use counts even if the work fails.
type Counter struct{ db DB }

// New counts over db, and is safe for concurrent use if db is.
func New(db DB) Counter { return Counter{db} }

// monthly are the metrics that start again with each month; all others are running totals.
func monthly(m gate.Metric) bool { return m == gate.Queries }

// month is the present one by the database's clock, in UTC: instances may differ in theirs.
const month = `to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')`

// Add adds n to the tenant's use of m unless that would pass limit, and reports whether it did. A negative n gives back.
func (c Counter) Add(ctx context.Context, tenant string, m gate.Metric, n, limit float64) (bool, error) {
	tag, err := c.db.Exec(ctx, `INSERT INTO counters AS c (tenant_id, metric, period, used)
		SELECT $1, $3, CASE WHEN $2 THEN `+month+` ELSE '' END, $4::double precision WHERE $4 <= $5::double precision
		ON CONFLICT (tenant_id, metric, period) DO UPDATE SET used = c.used + excluded.used
		WHERE c.used + excluded.used <= $5`, tenant, monthly(m), string(m), n, limit)
	if err != nil {
		return false, fmt.Errorf("count %s of %s: %w", m, tenant, err)
	}
	return tag.RowsAffected() == 1, nil
}

// Used returns the tenant's counters: this month's, and the running totals.
func (c Counter) Used(ctx context.Context, tenant string) (map[gate.Metric]float64, error) {
	rows, err := c.db.Query(ctx, `SELECT metric, used FROM counters WHERE tenant_id = $1 AND period IN ('', `+month+`)`, tenant)
	if err != nil {
		return nil, fmt.Errorf("read what %s has used: %w", tenant, err)
	}
	used := map[gate.Metric]float64{}
	var metric string
	var sum float64
	_, err = pgx.ForEachRow(rows, []any{&metric, &sum}, func() error {
		used[gate.Metric(metric)] = sum
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what %s has used: %w", tenant, err)
	}
	return used, nil
}
