package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/shared/gate"
	"tenure/shared/gate/pgcounter"
)

// Add implements gate.Counter in this transaction: the count holds only if the work it pays for is committed with it.
func (tx Tx) Add(ctx context.Context, tenant string, m gate.Metric, n, limit float64) (bool, error) {
	return pgcounter.New(tx).Add(ctx, tenant, m, n, limit)
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
	return pgcounter.New(tx).Used(ctx, tx.tenant)
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
