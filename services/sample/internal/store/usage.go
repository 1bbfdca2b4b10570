package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/shared/gate"
)

// monthly are the metrics that start again with each month; all others are running totals.
func monthly(m gate.Metric) bool { return m == gate.Queries }

// period is what a metric is counted in, by the database's clock in UTC.
const period = `CASE WHEN $2 THEN to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM') ELSE '' END`

// Add implements gate.Counter in this transaction: the count holds only if the work it pays for is committed with it. Until
// then the counter's row is locked, so that parallel requests cannot pass the limit together.
func (tx Tx) Add(ctx context.Context, tenant string, m gate.Metric, n, limit float64) (bool, error) {
	tag, err := tx.Exec(ctx, `INSERT INTO counters AS c (tenant_id, metric, period, used)
		SELECT $1, $3, `+period+`, $4::double precision WHERE $4 <= $5::double precision
		ON CONFLICT (tenant_id, metric, period) DO UPDATE SET used = c.used + excluded.used
		WHERE c.used + excluded.used <= $5`, tenant, monthly(m), string(m), n, limit)
	if err != nil {
		return false, fmt.Errorf("count %s: %w", m, err)
	}
	return tag.RowsAffected() == 1, nil
}

// Record notes one use, for the tenant to read and for billing to meter.
func (tx Tx) Record(ctx context.Context, m gate.Metric, quantity float64) error {
	_, err := tx.Exec(ctx, `WITH used AS (
			INSERT INTO usage (tenant_id, metric, quantity) VALUES ($1, $2, $3) RETURNING tenant_id, id, metric, quantity, time)
		INSERT INTO outbox (tenant_id, id, metric, quantity, time) SELECT tenant_id, id, metric, quantity, time FROM used`,
		tx.tenant, string(m), quantity)
	if err != nil {
		return fmt.Errorf("record usage: %w", err)
	}
	return nil
}

// Used returns the tenant's counters: this month's, and the running totals.
func (tx Tx) Used(ctx context.Context) (map[gate.Metric]float64, error) {
	rows, err := tx.Query(ctx, `SELECT metric, used FROM counters
		WHERE period IN ('', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM'))`)
	if err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	used := map[gate.Metric]float64{}
	var metric string
	var sum float64
	_, err = pgx.ForEachRow(rows, []any{&metric, &sum}, func() error {
		used[gate.Metric(metric)] = sum
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	return used, nil
}

// Use is one row of the outbox.
type Use struct {
	Tenant   string
	ID       string
	Metric   string
	Quantity float64
	Time     time.Time
}

// Unpublished returns the oldest uses that the bus has not confirmed, of all tenants.
func (s *Store) Unpublished(ctx context.Context, limit int) ([]Use, error) {
	rows, err := s.db.Query(ctx, `SELECT tenant_id, id, metric, quantity, time FROM outbox ORDER BY time, id LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	uses, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Use])
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	return uses, nil
}

// Published removes uses that the bus has confirmed.
func (s *Store) Published(ctx context.Context, uses []Use) error {
	tenants, ids := make([]string, len(uses)), make([]string, len(uses))
	for i, u := range uses {
		tenants[i], ids[i] = u.Tenant, u.ID
	}
	_, err := s.db.Exec(ctx, `DELETE FROM outbox USING unnest($1::text[], $2::text[]) AS sent(tenant_id, id)
		WHERE outbox.tenant_id = sent.tenant_id AND outbox.id = sent.id`, tenants, ids)
	if err != nil {
		return fmt.Errorf("clear the outbox: %w", err)
	}
	return nil
}
