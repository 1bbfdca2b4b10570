package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
)

// Use is one metered use.
type Use struct {
	Tenant string
	// ID of the event: a use is counted once per tenant and id.
	ID     string
	Metric string
	// Period is the month that the metric is counted in ("2026-01"), empty for a running total.
	Period   string
	Quantity float64
}

// Count adds uses to the totals, those that were not counted before.
func (s *Store) Count(ctx context.Context, uses []Use) error {
	// Sorted, so that two processes that count the same uses lock their rows in the same order.
	uses = slices.SortedFunc(slices.Values(uses), byID)
	uses = slices.CompactFunc(uses, func(a, b Use) bool { return byID(a, b) == 0 })
	var c struct {
		tenant, id, metric, period []string
		quantity                   []float64
	}
	for _, u := range uses {
		c.tenant, c.id, c.metric, c.period = append(c.tenant, u.Tenant), append(c.id, u.ID), append(c.metric, u.Metric), append(c.period, u.Period)
		c.quantity = append(c.quantity, u.Quantity)
	}
	if len(uses) == 0 {
		return nil
	}
	_, err := s.db.Exec(ctx, countUses, c.tenant, c.id, c.metric, c.period, c.quantity)
	if err != nil {
		return fmt.Errorf("count %d uses: %w", len(uses), err)
	}
	return nil
}

func byID(a, b Use) int { return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID)) }

// The last part locks the report's row even when it says "changed" already: a report under way must not take the flag
// without these uses.
const countUses = `
	WITH uses AS (
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[]) AS u(tenant, id, metric, period, quantity)
	), fresh AS (
		INSERT INTO usage_events (tenant, id) SELECT tenant, id FROM uses ON CONFLICT DO NOTHING RETURNING tenant, id
	), sums AS (
		SELECT tenant, metric, period, sum(quantity::numeric) AS quantity FROM uses JOIN fresh USING (tenant, id)
		GROUP BY tenant, metric, period ORDER BY tenant, metric, period
	), totals AS (
		INSERT INTO usage_totals AS t (tenant, metric, period, quantity) SELECT * FROM sums
		ON CONFLICT (tenant, metric, period) DO UPDATE SET quantity = t.quantity + excluded.quantity
	)
	INSERT INTO usage_reports AS r (tenant, changed) SELECT DISTINCT tenant, true FROM sums ORDER BY tenant
	ON CONFLICT (tenant) DO UPDATE SET changed = true`

// Report tells the usage of up to limit tenants whose totals have changed, each at most once a second, and returns how
// many it told of. Any number of processes may call it.
func (s *Store) Report(ctx context.Context, limit int) (told int, err error) {
	err = pg.WithTx(ctx, s.db, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `UPDATE usage_reports r SET changed = false, told_at = now() FROM (
				SELECT tenant FROM usage_reports WHERE changed AND told_at <= now() - interval '1 second'
				ORDER BY tenant LIMIT $1 FOR UPDATE SKIP LOCKED) due
			WHERE r.tenant = due.tenant RETURNING r.tenant`, limit)
		if err != nil {
			return fmt.Errorf("find changed usage: %w", err)
		}
		tenants, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("find changed usage: %w", err)
		}
		entries, err := usageEntries(ctx, tx, tenants)
		if err != nil {
			return err
		}
		told = len(entries)
		return s.log.Append(ctx, tx, entries...)
	})
	if err == nil && told > 0 {
		s.log.Kick()
	}
	return told, err
}

// usageEntries reads the totals in a statement after the one that took the flags, so that it sees what set them.
func usageEntries(ctx context.Context, tx pgx.Tx, tenants []string) ([]eventlog.Entry, error) {
	rows, err := tx.Query(ctx, `SELECT t.tenant, to_char(now(), 'YYYY-MM'),
			coalesce(sum(quantity) FILTER (WHERE metric = 'queries' AND period = to_char(now(), 'YYYY-MM')), 0)::bigint,
			coalesce(sum(quantity) FILTER (WHERE metric = 'documents'), 0)::bigint,
			coalesce(sum(quantity) FILTER (WHERE metric = 'storage_gb'), 0)::float8
		FROM unnest($1::text[]) AS t(tenant) LEFT JOIN usage_totals USING (tenant) GROUP BY t.tenant ORDER BY t.tenant`, tenants)
	if err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	var entries []eventlog.Entry
	var tenant string
	var u events.UsageUpdated
	_, err = pgx.ForEachRow(rows, []any{&tenant, &u.Period, &u.Queries, &u.Documents, &u.StorageGB}, func() error {
		e, err := events.New(&u, tenant)
		e.Actor = "service:billing"
		entries = append(entries, eventlog.Entry{Stream: tenant, Events: []events.Event{e}})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	return entries, nil
}

// ForgetUsage lets the tenant begin anew with nothing used; the next report says so.
func (s *Store) ForgetUsage(ctx context.Context, tx pgx.Tx, tenant string) error {
	_, err := tx.Exec(ctx, `WITH totals AS (DELETE FROM usage_totals WHERE tenant = $1)
		UPDATE usage_reports SET changed = true WHERE tenant = $1`, tenant)
	if err != nil {
		return fmt.Errorf("forget usage of %s: %w", tenant, err)
	}
	return nil
}
