package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/usage"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
)

// Metered is what is known of one tenant's use that goes on invoices.
type Metered struct {
	Account Account
	usage.Ledger
	counted int64
	tried   time.Time
}

// AddKey is the idempotency key of adding the metric's item, another one for each try: a failure that Stripe keeps under a
// key must not last. Stripe itself refuses a price that the subscription has already.
func (m Metered) AddKey(subscriptionID, metric string) string {
	return "usage-item/" + subscriptionID + "/" + metric + "/" + strconv.FormatInt(m.tried.UnixMicro(), 10)
}

// DueUsage takes up to limit tenants whose use Stripe does not know yet, or knows for another period than the current one,
// and that were not taken since every ago: not by another process either.
func (s *Store) DueUsage(ctx context.Context, every time.Duration, limit int) ([]string, error) {
	rows, err := s.db.Query(ctx, `UPDATE usage_reports r SET tried_at = now() FROM (
			SELECT r.tenant FROM usage_reports r CROSS JOIN LATERAL (
				SELECT subscription_id, current_period_end FROM accounts a WHERE a.tenant = r.tenant ORDER BY generation DESC LIMIT 1) a
			WHERE r.tried_at <= now() - $1::interval AND (
				r.subscription_id <> a.subscription_id OR r.period_end IS DISTINCT FROM a.current_period_end
				OR r.counted > r.invoiced AND a.subscription_id <> '')
			ORDER BY r.tried_at LIMIT $2 FOR UPDATE OF r SKIP LOCKED) due
		WHERE r.tenant = due.tenant RETURNING r.tenant`, every, limit)
	if err != nil {
		return nil, fmt.Errorf("find use to be invoiced: %w", err)
	}
	tenants, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("find use to be invoiced: %w", err)
	}
	return tenants, nil
}

// Metered reads what is known of a tenant that DueUsage named.
func (s *Store) Metered(ctx context.Context, tenant string) (Metered, error) {
	account, err := s.Latest(ctx, tenant)
	if err != nil {
		return Metered{}, err
	}
	m := Metered{Account: account, Ledger: usage.Ledger{Used: map[string]float64{}, Settled: map[string]float64{}}}
	// Before the totals: uses that are counted in between are reported now, and once more.
	err = s.db.QueryRow(ctx, `SELECT life, counted, tried_at FROM usage_reports WHERE tenant = $1`, tenant).Scan(&m.Life, &m.counted, &m.tried)
	if err != nil {
		return Metered{}, fmt.Errorf("read metered use of %s: %w", tenant, err)
	}
	if m.Items, err = s.usageItems(ctx, tenant); err != nil {
		return Metered{}, err
	}
	rows, err := s.db.Query(ctx, `SELECT metric, sum(quantity)::float8, sum(chargeable)::float8, 0::float8 FROM usage_totals
			WHERE tenant = $1 GROUP BY metric
		UNION ALL SELECT metric, 0, 0, sum(quantity + covered)::float8 FROM usage_billed WHERE tenant = $1 AND life = $2 GROUP BY metric`,
		tenant, m.Life)
	if err != nil {
		return Metered{}, fmt.Errorf("read metered use of %s: %w", tenant, err)
	}
	var metric string
	var level, chargeable, settled float64
	_, err = pgx.ForEachRow(rows, []any{&metric, &level, &chargeable, &settled}, func() error {
		if usage.Running(metric) {
			chargeable = level
		}
		m.Used[metric] += chargeable
		m.Settled[metric] += settled
		return nil
	})
	if err != nil {
		return Metered{}, fmt.Errorf("read metered use of %s: %w", tenant, err)
	}
	return m, nil
}

func (s *Store) usageItems(ctx context.Context, tenant string) ([]usage.Item, error) {
	rows, err := s.db.Query(ctx, `SELECT item_id, subscription_id, metric, life, period_start, period_end, included, quantity,
			attempt, state, coalesce(now() - gone_at, interval '0') FROM usage_items WHERE tenant = $1 ORDER BY item_id`, tenant)
	if err != nil {
		return nil, fmt.Errorf("read metered items of %s: %w", tenant, err)
	}
	items, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (i usage.Item, err error) {
		err = row.Scan(&i.ID, &i.SubscriptionID, &i.Metric, &i.Life, &i.Start, &i.End, &i.Included, &i.Quantity, &i.Attempt,
			&i.State, &i.Gone)
		return i, err
	})
	if err != nil {
		return nil, fmt.Errorf("read metered items of %s: %w", tenant, err)
	}
	return items, nil
}

// AddItem stores an item that nothing was sent to. It fails with ErrStale when somebody else has stored it.
func (s *Store) AddItem(ctx context.Context, tenant string, i usage.Item) error {
	tag, err := s.db.Exec(ctx, `INSERT INTO usage_items (item_id, tenant, life, metric, subscription_id, period_start, period_end,
			included, quantity, attempt, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING`,
		i.ID, tenant, i.Life, i.Metric, i.SubscriptionID, i.Start, i.End, i.Included, i.Quantity, i.Attempt, i.State)
	if err == nil && tag.RowsAffected() == 0 {
		err = ErrStale
	}
	if err != nil {
		return fmt.Errorf("store metered item %s: %w", i.ID, err)
	}
	return nil
}

// MoveItem stores what became of an item. It fails with ErrStale when somebody else has moved it since it was read.
func (s *Store) MoveItem(ctx context.Context, from, to usage.Item) error {
	return moveItem(ctx, s.db, from, to)
}

func moveItem(ctx context.Context, q pg.Querier, from, to usage.Item) error {
	tag, err := q.Exec(ctx, `UPDATE usage_items SET life = $5, subscription_id = $6, period_start = $7, period_end = $8,
			included = $9, quantity = $10, attempt = $11, state = $12, gone_at = NULL
		WHERE item_id = $1 AND period_start = $2 AND attempt = $3 AND state = $4`,
		from.ID, from.Start, from.Attempt, from.State,
		to.Life, to.SubscriptionID, to.Start, to.End, to.Included, to.Quantity, to.Attempt, to.State)
	return moved(tag.RowsAffected(), from, err)
}

// MissItem notes when Stripe was first seen without the item.
func (s *Store) MissItem(ctx context.Context, i usage.Item) error {
	_, err := s.db.Exec(ctx, `UPDATE usage_items SET gone_at = now() WHERE item_id = $1 AND gone_at IS NULL`, i.ID)
	if err != nil {
		return fmt.Errorf("store metered item %s: %w", i.ID, err)
	}
	return nil
}

// CloseItem stores what an item's periods have billed, and tells it, unless the tenant's life is over. The item goes on in
// the period of next; nil: it is gone. It fails with ErrStale as MoveItem does.
func (s *Store) CloseItem(ctx context.Context, account Account, from usage.Item, closed []usage.Closed, next *usage.Item) error {
	err := pg.WithTx(ctx, s.db, func(tx pgx.Tx) error {
		if err := leave(ctx, tx, from, next); err != nil {
			return err
		}
		var facts []events.Payload
		for _, c := range closed {
			_, err := tx.Exec(ctx, `INSERT INTO usage_billed (item_id, period_end, period_start, tenant, life, metric, quantity,
					covered, invoice_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
				from.ID, c.End, c.Start, account.Tenant, from.Life, from.Metric, c.Billed, c.Covered, c.InvoiceID)
			if err != nil {
				return fmt.Errorf("store what %s has billed: %w", from.ID, err)
			}
			facts = append(facts, &events.UsageBilled{
				SubscriptionID: from.SubscriptionID, Metric: from.Metric, Quantity: c.Billed, PeriodStart: c.Start, PeriodEnd: c.End,
			})
		}
		if account.Ended {
			return nil
		}
		told, err := byBilling(account.Tenant, facts...)
		if err != nil {
			return err
		}
		return s.log.Append(ctx, tx, eventlog.Entry{Stream: account.Tenant, Events: told})
	})
	if err == nil {
		s.log.Kick()
	}
	return err
}

// leave takes the item out of its period.
func leave(ctx context.Context, tx pgx.Tx, from usage.Item, next *usage.Item) error {
	if next != nil {
		return moveItem(ctx, tx, from, *next)
	}
	tag, err := tx.Exec(ctx, `DELETE FROM usage_items WHERE item_id = $1 AND period_start = $2 AND attempt = $3 AND state = $4`,
		from.ID, from.Start, from.Attempt, from.State)
	return moved(tag.RowsAffected(), from, err)
}

func moved(rows int64, i usage.Item, err error) error {
	if err == nil && rows == 0 {
		err = ErrStale
	}
	if err != nil {
		return fmt.Errorf("store metered item %s: %w", i.ID, err)
	}
	return nil
}

// UsageInvoiced notes that Stripe knows all that m says, for the current period of main; nil: nothing is subscribed to.
func (s *Store) UsageInvoiced(ctx context.Context, m Metered, main *plan.Subscription) error {
	var id string
	var end *time.Time
	if main != nil {
		id, end = main.ID, &main.CurrentPeriodEnd
	}
	_, err := s.db.Exec(ctx, `UPDATE usage_reports SET invoiced = $2, subscription_id = $3, period_end = $4 WHERE tenant = $1`,
		m.Account.Tenant, m.counted, id, end)
	if err != nil {
		return fmt.Errorf("note that the use of %s is invoiced: %w", m.Account.Tenant, err)
	}
	return nil
}
