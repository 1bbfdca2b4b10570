package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/notifier/internal/webhook"
	"tenure/shared/events"
	"tenure/shared/pg"
)

// Delivery is an event on its way to an endpoint.
type Delivery struct {
	ID, EventID, EventType string
	Body                   []byte
	Failures               int
	Endpoint               Endpoint
}

// deliveryID is the same whenever the same event goes to the same endpoint: receivers know a call that comes again by it
// (Standard Webhooks, webhook-id).
func deliveryID(endpoint string, e events.Event) string {
	sum := sha256.Sum256([]byte(endpoint + "\n" + e.Source + "\n" + e.ID))
	return "msg_" + hex.EncodeToString(sum[:12])
}

// Enqueue stores the calls that an event asks for, in the transaction that claims it.
func Enqueue(ctx context.Context, tx pgx.Tx, e events.Event) error {
	endpoints, err := Endpoints(ctx, tx, e.Subject)
	if err != nil || len(endpoints) == 0 {
		return err
	}
	body, err := webhook.Body(e)
	if err != nil {
		return err
	}
	for _, to := range endpoints {
		if to.DisabledAt != nil || !to.Filter.Matches(e.Type) {
			continue
		}
		if _, err := EnqueueTo(ctx, tx, to.ID, e, body); err != nil {
			return err
		}
	}
	return nil
}

// EnqueueTo stores the call of one endpoint about an event; false when it is there already.
func EnqueueTo(ctx context.Context, q pg.Querier, endpoint string, e events.Event, body []byte) (first bool, err error) {
	tag, err := q.Exec(ctx, `INSERT INTO deliveries (id, endpoint_id, event_id, event_type, body)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING`, deliveryID(endpoint, e), endpoint, e.ID, e.Type, body)
	if err != nil {
		return false, fmt.Errorf("store the call of %s about %s: %w", endpoint, e.ID, err)
	}
	return tag.RowsAffected() == 1, nil
}

// ClaimDelivery gives the caller the call that has waited longest, for the time of the lease, or nil. Each endpoint has
// one call at a time.
func ClaimDelivery(ctx context.Context, q pg.Querier, lease time.Duration) (*Delivery, error) {
	rows, err := q.Query(ctx, `
		WITH due AS (
			SELECT d.id AS delivery, e.id AS endpoint FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id
			WHERE d.state = 'queued' AND d.next_try_at <= now() AND e.busy_until <= now() AND e.disabled_at IS NULL
			ORDER BY d.next_try_at, d.created_at LIMIT 1 FOR UPDATE SKIP LOCKED
		), busy AS (
			UPDATE endpoints SET busy_until = now() + $1::interval FROM due WHERE id = due.endpoint
			RETURNING `+endpointColumns+`
		), taken AS (
			UPDATE deliveries SET next_try_at = now() + $1::interval FROM due WHERE id = due.delivery
			RETURNING id, event_id, event_type, body, failures
		)
		SELECT t.*, b.* FROM taken t, busy b`, lease)
	if err != nil {
		return nil, fmt.Errorf("claim a call: %w", err)
	}
	d, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (*Delivery, error) {
		var d Delivery
		e := &d.Endpoint
		return &d, row.Scan(&d.ID, &d.EventID, &d.EventType, &d.Body, &d.Failures,
			&e.ID, &e.TenantID, &e.URL, &e.Filter, &e.Description, &e.SecretVersion, &e.FormerUntil,
			&e.FailingSince, &e.DisabledAt, &e.CreatedAt)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim a call: %w", err)
	}
	return d, nil
}

// Delivered notes that a call was taken.
func Delivered(ctx context.Context, q pg.Querier, d *Delivery, status int) error {
	return settle(ctx, q, d, `state = 'delivered', status = $3, error = '', ended_at = now()`, `failing_since = NULL`, status)
}

// Released gives a call back that was not made.
func Released(ctx context.Context, q pg.Querier, d *Delivery) error {
	return settle(ctx, q, d, `next_try_at = now()`, `id = id`)
}

// Missed notes that a call was not taken, and when it is made again.
func Missed(ctx context.Context, q pg.Querier, d *Delivery, status int, reason string, after time.Duration) error {
	return settle(ctx, q, d, `failures = failures + 1, status = $3, error = $4, next_try_at = now() + $5::interval`,
		`failing_since = coalesce(failing_since, now())`, status, reason, after)
}

// Failed notes that a call was not taken and is made no more.
func Failed(ctx context.Context, q pg.Querier, d *Delivery, status int, reason string) error {
	return settle(ctx, q, d, `failures = failures + 1, status = $3, error = $4, state = 'failed', ended_at = now()`,
		`failing_since = coalesce(failing_since, now())`, status, reason)
}

// settle changes a call and its endpoint, which is free for the next one then.
func settle(ctx context.Context, q pg.Querier, d *Delivery, call, endpoint string, args ...any) error {
	_, err := q.Exec(ctx, `WITH freed AS (UPDATE endpoints SET busy_until = '-infinity', `+endpoint+` WHERE id = $2)
		UPDATE deliveries SET `+call+` WHERE id = $1 AND state = 'queued'`, append([]any{d.ID, d.Endpoint.ID}, args...)...)
	if err != nil {
		return fmt.Errorf("note what became of call %s: %w", d.ID, err)
	}
	return nil
}

// DisableEndpoint stops calling an endpoint and reports whether this call did. With failing set only when none of its
// calls was taken for so long.
func DisableEndpoint(ctx context.Context, q pg.Querier, id string, failing time.Duration) (bool, error) {
	tag, err := q.Exec(ctx, `UPDATE endpoints SET disabled_at = now()
		WHERE id = $1 AND disabled_at IS NULL AND ($2::interval = '0' OR failing_since <= now() - $2::interval)`, id, failing)
	if err != nil {
		return false, fmt.Errorf("disable endpoint %s: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}

// DeliveryRow is a call as its owner sees it.
type DeliveryRow struct {
	ID, EventID, EventType, State string
	Failures, Status              int
	Error                         string
	NextTryAt                     time.Time
	CreatedAt                     time.Time
	EndedAt                       *time.Time
}

// Deliveries lists an endpoint's calls, the newest first, from behind one of them (the zero time and no id: from the
// first).
func Deliveries(ctx context.Context, q pg.Querier, endpoint string, before time.Time, beforeID string, limit int) ([]DeliveryRow, error) {
	rows, err := q.Query(ctx, `SELECT id, event_id, event_type, state, failures, status, error, next_try_at, created_at, ended_at
		FROM deliveries WHERE endpoint_id = $1 AND ($3 = '' OR (created_at, id) < ($2, $3))
		ORDER BY created_at DESC, id DESC LIMIT $4`, endpoint, before, beforeID, limit)
	if err != nil {
		return nil, fmt.Errorf("list the calls of %s: %w", endpoint, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[DeliveryRow])
}

// Redeliver makes a call again, whatever became of it; false when there is none.
func Redeliver(ctx context.Context, q pg.Querier, endpoint, id string) (bool, error) {
	tag, err := q.Exec(ctx, `UPDATE deliveries SET state = 'queued', failures = 0, next_try_at = now(), ended_at = NULL
		WHERE endpoint_id = $1 AND id = $2`, endpoint, id)
	if err != nil {
		return false, fmt.Errorf("redeliver %s: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}

// Close has the endpoints of a purged tenant forgotten as soon as all was told.
func Close(ctx context.Context, q pg.Querier, tenant string) error {
	if _, err := q.Exec(ctx, `UPDATE endpoints SET closing = true WHERE tenant_id = $1`, tenant); err != nil {
		return fmt.Errorf("close the endpoints of %s: %w", tenant, err)
	}
	return nil
}

// Prune forgets calls that ended before keep, and endpoints that are closing and have nothing left to be told.
func Prune(ctx context.Context, q pg.Querier, keep time.Duration) error {
	if _, err := q.Exec(ctx, `DELETE FROM deliveries WHERE ended_at < now() - $1::interval`, keep); err != nil {
		return fmt.Errorf("prune calls: %w", err)
	}
	_, err := q.Exec(ctx, `DELETE FROM endpoints e WHERE closing AND (disabled_at IS NOT NULL
		OR NOT EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = e.id AND d.state = 'queued'))`)
	if err != nil {
		return fmt.Errorf("prune endpoints: %w", err)
	}
	return nil
}
