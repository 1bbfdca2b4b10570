package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
)

// Take stores one of Stripe's events and publishes it through the log, once: a second delivery does nothing.
func (s *Store) Take(ctx context.Context, n plan.Notice) error {
	err := pg.WithTx(ctx, s.db, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO webhook_events (event_id, type, object_id, customer_id, subscription_id, created)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (event_id) DO NOTHING`,
			n.EventID, n.Type, n.ObjectID, n.CustomerID, n.SubscriptionID, n.Created)
		if err != nil {
			return fmt.Errorf("store Stripe's event %s: %w", n.EventID, err)
		}
		if tag.RowsAffected() == 0 {
			return nil
		}
		tenant, err := tenantOf(ctx, tx, n)
		if err != nil {
			return err
		}
		return s.Publish(ctx, tx, n.StripeNotice, tenant)
	})
	if err != nil {
		return err
	}
	s.log.Kick()
	return nil
}

// Missing returns those of the notices that were never taken.
func (s *Store) Missing(ctx context.Context, notices []plan.Notice) ([]plan.Notice, error) {
	ids := make([]string, len(notices))
	for i, n := range notices {
		ids[i] = n.EventID
	}
	rows, err := s.db.Query(ctx, `SELECT event_id FROM webhook_events WHERE event_id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("look up Stripe's events: %w", err)
	}
	known, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look up Stripe's events: %w", err)
	}
	slices.Sort(known)
	return slices.DeleteFunc(slices.Clone(notices), func(n plan.Notice) bool {
		_, found := slices.BinarySearch(known, n.EventID)
		return found
	}), nil
}

// PruneNotices forgets up to limit events that are older than 35 days, and returns how many. Nothing brings such an event
// again: Stripe lists events for 30 days and delivers a webhook for 3 at most ("Receive Stripe events in your webhook
// endpoint", retries).
func (s *Store) PruneNotices(ctx context.Context, limit int) (int, error) {
	tag, err := s.db.Exec(ctx, `DELETE FROM webhook_events WHERE event_id IN (
		SELECT event_id FROM webhook_events WHERE received_at < now() - interval '35 days'
		ORDER BY received_at LIMIT $1 FOR UPDATE SKIP LOCKED)`, limit)
	if err != nil {
		return 0, fmt.Errorf("prune Stripe's events: %w", err)
	}
	return int(tag.RowsAffected()), nil
}

// tenantOf trusts the accounts before the metadata, which a person may have edited.
func tenantOf(ctx context.Context, tx pgx.Tx, n plan.Notice) (string, error) {
	var tenant string
	err := tx.QueryRow(ctx, `SELECT tenant FROM accounts WHERE customer_id = $1`, n.CustomerID).Scan(&tenant)
	switch {
	case err == nil:
		return tenant, nil
	case !errors.Is(err, pgx.ErrNoRows):
		return "", fmt.Errorf("find tenant of customer %s: %w", n.CustomerID, err)
	case events.ValidTenantID(n.Tenant):
		return n.Tenant, nil
	}
	return events.NoTenant, nil
}

// Publish appends a notice to the tenant's stream of Stripe's events. The stream is apart from the tenant's facts, so that
// consumers of either see a sequence without gaps.
func (s *Store) Publish(ctx context.Context, tx pgx.Tx, n events.StripeNotice, tenant string) error {
	e, err := events.New(&n, tenant)
	if err != nil {
		return err
	}
	e.Actor, e.CorrelationID, e.CausationID = "system:stripe", n.EventID, n.EventID
	return s.log.Append(ctx, tx, eventlog.Entry{Stream: "stripe/" + tenant, Events: []events.Event{e}})
}

// Park keeps a notice until its customer is somebody's.
func (s *Store) Park(ctx context.Context, tx pgx.Tx, eventID string) error {
	_, err := tx.Exec(ctx, `UPDATE webhook_events SET parked = true WHERE event_id = $1`, eventID)
	if err != nil {
		return fmt.Errorf("park Stripe's event %s: %w", eventID, err)
	}
	return nil
}

// Unpark publishes the parked notices whose customers are known by now. A notice that is parked in the very moment in
// which its account is opened escapes Open; the next call finds it.
func (s *Store) Unpark(ctx context.Context) error {
	err := pg.WithTx(ctx, s.db, func(tx pgx.Tx) error { return s.unpark(ctx, tx) })
	s.log.Kick()
	return err
}

func (s *Store) unpark(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `UPDATE webhook_events w SET parked = false FROM accounts a
		WHERE w.parked AND a.customer_id = w.customer_id
		RETURNING w.event_id, w.type, w.object_id, w.customer_id, w.subscription_id, w.created, a.tenant`)
	if err != nil {
		return fmt.Errorf("find parked events: %w", err)
	}
	notices, err := pgx.CollectRows(rows, pgx.RowToStructByPos[plan.Notice])
	if err != nil {
		return fmt.Errorf("find parked events: %w", err)
	}
	for _, n := range notices {
		n.Created = n.Created.UTC()
		if err := s.Publish(ctx, tx, n.StripeNotice, n.Tenant); err != nil {
			return err
		}
	}
	return nil
}

// PollCursor is the time of the newest of Stripe's events that a poll has seen; zero before the first.
func (s *Store) PollCursor(ctx context.Context) (time.Time, error) {
	var at time.Time
	err := s.db.QueryRow(ctx, `SELECT created FROM poll_cursor`).Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read the poller's cursor: %w", err)
	}
	return at, nil
}

// MovePollCursor moves it forward, never back: another process may be further.
func (s *Store) MovePollCursor(ctx context.Context, to time.Time) error {
	_, err := s.db.Exec(ctx, `INSERT INTO poll_cursor (created) VALUES ($1)
		ON CONFLICT (one) DO UPDATE SET created = greatest(poll_cursor.created, excluded.created)`, to)
	if err != nil {
		return fmt.Errorf("move the poller's cursor: %w", err)
	}
	return nil
}
