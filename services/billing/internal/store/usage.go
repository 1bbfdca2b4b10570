package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/usage"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/plans"
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
	// Priced: the metric costs money, for tenants that have to pay.
	Priced bool
}

// Count adds uses to the totals, those that were not counted before. free are the plans whose tenants pay for no use, even
// while an upgrade that may come to nothing has them subscribed already.
func (s *Store) Count(ctx context.Context, uses []Use, free ...string) error {
	// Sorted, so that two processes that count the same uses lock their rows in the same order.
	uses = slices.SortedFunc(slices.Values(uses), byID)
	uses = slices.CompactFunc(uses, func(a, b Use) bool { return byID(a, b) == 0 })
	var c struct {
		tenant, id, metric, period []string
		quantity                   []float64
		priced                     []bool
	}
	for _, u := range uses {
		c.tenant, c.id, c.metric, c.period = append(c.tenant, u.Tenant), append(c.id, u.ID), append(c.metric, u.Metric), append(c.period, u.Period)
		c.quantity, c.priced = append(c.quantity, u.Quantity), append(c.priced, u.Priced)
	}
	if len(uses) == 0 {
		return nil
	}
	_, err := s.db.Exec(ctx, countUses, c.tenant, c.id, c.metric, c.period, c.quantity, c.priced, usage.PayingStatuses, free)
	if err != nil {
		return fmt.Errorf("count %d uses: %w", len(uses), err)
	}
	return nil
}

func byID(a, b Use) int { return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.ID, b.ID)) }

// Whether a use is charged is decided as it is counted, by what is known of the tenant's subscription in that moment. The
// last part locks the report's row even when it says "changed" already: a report under way must not take the flag without
// these uses.
const countUses = `
	WITH uses AS (
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::bool[])
			AS u(tenant, id, metric, period, quantity, priced)
	), payers AS (
		SELECT DISTINCT ON (a.tenant) a.tenant, a.status = ANY($7) AND coalesce(g.plan <> ALL($8), true) AS pays
		FROM accounts a LEFT JOIN agreements g USING (tenant) WHERE a.tenant = ANY($1) ORDER BY a.tenant, a.generation DESC
	), fresh AS (
		INSERT INTO usage_events (tenant, id) SELECT tenant, id FROM uses ON CONFLICT DO NOTHING RETURNING tenant, id
	), sums AS (
		SELECT tenant, metric, period, sum(quantity::numeric) AS quantity, bool_or(priced) AS priced,
			coalesce(sum(quantity::numeric) FILTER (WHERE priced AND pays), 0) AS chargeable
		FROM uses JOIN fresh USING (tenant, id) LEFT JOIN payers USING (tenant)
		GROUP BY tenant, metric, period ORDER BY tenant, metric, period
	), totals AS (
		INSERT INTO usage_totals AS t (tenant, metric, period, quantity, chargeable)
		SELECT tenant, metric, period, quantity, chargeable FROM sums
		ON CONFLICT (tenant, metric, period) DO UPDATE SET quantity = t.quantity + excluded.quantity,
			chargeable = t.chargeable + excluded.chargeable
	)
	INSERT INTO usage_reports AS r (tenant, changed, counted)
	SELECT tenant, true, bool_or(priced)::int FROM sums GROUP BY tenant ORDER BY tenant
	ON CONFLICT (tenant) DO UPDATE SET changed = true, counted = r.counted + excluded.counted`

// Report tells the usage of up to limit tenants whose totals have changed, each at most once a second, with the shares of
// their plans' limits that they have reached, and returns how many it told of. Any number of processes may call it.
func (s *Store) Report(ctx context.Context, limit int, catalogue plans.Catalogue) (told int, err error) {
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
		told = len(tenants)
		used, err := usedBy(ctx, tx, tenants)
		if err != nil {
			return err
		}
		alerts, err := reached(ctx, tx, used, catalogue)
		if err != nil {
			return err
		}
		entries, err := usageEntries(used, alerts)
		if err != nil {
			return err
		}
		return s.log.Append(ctx, tx, entries...)
	})
	if err == nil && told > 0 {
		s.log.Kick()
	}
	return told, err
}

// used is what one tenant has used. Plan is empty where the lifecycle's log says nothing of one.
type used struct {
	tenant, plan string
	events.UsageUpdated
}

// usedBy reads the totals in a statement after the one that took the flags, so that it sees what set them.
func usedBy(ctx context.Context, tx pgx.Tx, tenants []string) ([]used, error) {
	rows, err := tx.Query(ctx, `SELECT t.tenant, coalesce(max(a.plan), ''), to_char(now(), 'YYYY-MM'),
			coalesce(sum(quantity) FILTER (WHERE metric = 'queries' AND period = to_char(now(), 'YYYY-MM')), 0)::bigint,
			coalesce(sum(quantity) FILTER (WHERE metric = 'documents'), 0)::bigint,
			coalesce(sum(quantity) FILTER (WHERE metric = 'storage_gb'), 0)::float8
		FROM unnest($1::text[]) AS t(tenant) LEFT JOIN usage_totals USING (tenant)
			LEFT JOIN agreements a ON a.tenant = t.tenant AND a.state <> $2
		GROUP BY t.tenant ORDER BY t.tenant`, tenants, plan.Ended)
	if err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (u used, err error) {
		err = row.Scan(&u.tenant, &u.plan, &u.Period, &u.Queries, &u.Documents, &u.StorageGB)
		return u, err
	})
	if err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	return all, nil
}

func usageEntries(all []used, alerts map[string][]events.UsageThresholdReached) ([]eventlog.Entry, error) {
	var entries []eventlog.Entry
	for _, u := range all {
		facts := []events.Payload{&u.UsageUpdated}
		for _, alert := range alerts[u.tenant] {
			facts = append(facts, &alert)
		}
		told, err := byBilling(u.tenant, facts...)
		if err != nil {
			return nil, err
		}
		entries = append(entries, eventlog.Entry{Stream: u.tenant, Events: told})
	}
	return entries, nil
}

// byBilling makes events that nobody asked for.
func byBilling(tenant string, facts ...events.Payload) ([]events.Event, error) {
	var out []events.Event
	for _, fact := range facts {
		e, err := events.New(fact, tenant)
		if err != nil {
			return nil, err
		}
		e.Actor = "service:billing"
		out = append(out, e)
	}
	return out, nil
}

// ForgetUsage lets the tenant begin anew with nothing used; the next report says so, to Stripe as well: what a period that
// goes on was told of the old life is taken back.
func (s *Store) ForgetUsage(ctx context.Context, tx pgx.Tx, tenant string) error {
	_, err := tx.Exec(ctx, `WITH totals AS (DELETE FROM usage_totals WHERE tenant = $1),
			alerts AS (DELETE FROM usage_alerts WHERE tenant = $1)
		UPDATE usage_reports SET changed = true, life = life + 1, counted = counted + 1 WHERE tenant = $1`, tenant)
	if err != nil {
		return fmt.Errorf("forget usage of %s: %w", tenant, err)
	}
	return nil
}
