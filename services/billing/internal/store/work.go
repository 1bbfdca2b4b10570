package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
)

// Work is what billing set out to do for one request. It is written down before it is begun, so that whoever repeats
// it after a crash does the same, and whoever takes it back knows what may have been done.
type Work struct {
	Tenant string
	// ID names the request for ever: a step asked again is the same work.
	ID string
	// OperationID is the saga it belongs to; empty outside of one.
	OperationID string
	Generation  int64
	Plan        string
	Changes     []plan.Change
	// GiveBack: what the subscription's changes charged since InvoiceBefore is given back.
	GiveBack bool
	// SubscriptionID and InvoiceBefore are the main subscription and its newest invoice before the work began.
	SubscriptionID string
	InvoiceBefore  string

	// Done, with a Failure or without: only the answer is left to be given again.
	Done    bool
	Failure string
	try     int
}

// Key is the idempotency key of one call of the work.
func (w Work) Key(call string) string {
	return w.Tenant + "/" + strconv.FormatInt(w.Generation, 10) + "/" + w.ID + "/" + call + "/" + strconv.Itoa(w.try)
}

const workColumns = `tenant, id, operation_id, generation, plan, changes, give_back, subscription_id, invoice_before,
	try, done_at IS NOT NULL, failure`

func scanWork(row pgx.Row) (Work, error) {
	var w Work
	err := row.Scan(&w.Tenant, &w.ID, &w.OperationID, &w.Generation, &w.Plan, &w.Changes, &w.GiveBack, &w.SubscriptionID,
		&w.InvoiceBefore, &w.try, &w.Done, &w.Failure)
	return w, err
}

// Begin writes the work down and returns it, or returns it as it was written down the first time. Stripe forgets keys
// after 24 hours: past 23 they are made anew, which is safe since every change is looked up before it is done.
func (s *Store) Begin(ctx context.Context, w Work) (Work, error) {
	changes := w.Changes
	if changes == nil {
		changes = []plan.Change{}
	}
	w, err := scanWork(s.db.QueryRow(ctx, `INSERT INTO works AS w (tenant, id, operation_id, generation, plan, changes, give_back,
			subscription_id, invoice_before) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
		ON CONFLICT (tenant, id) DO UPDATE SET
			try = w.try + (w.tried_at < now() - interval '23 hours')::int,
			tried_at = CASE WHEN w.tried_at < now() - interval '23 hours' THEN now() ELSE w.tried_at END
		RETURNING `+workColumns,
		w.Tenant, w.ID, w.OperationID, w.Generation, w.Plan, changes, w.GiveBack, w.SubscriptionID, w.InvoiceBefore))
	if err != nil {
		return Work{}, fmt.Errorf("begin work: %w", err)
	}
	return w, nil
}

// RenewKey makes the next try use other keys: Stripe answers a key that failed with the same failure for 24 hours.
func (s *Store) RenewKey(ctx context.Context, w Work) error {
	_, err := s.db.Exec(ctx, `UPDATE works SET try = try + 1, tried_at = now() WHERE tenant = $1 AND id = $2 AND try = $3`,
		w.Tenant, w.ID, w.try)
	if err != nil {
		return fmt.Errorf("renew key of %s: %w", w.ID, err)
	}
	return nil
}

// Finish records the outcome.
func (s *Store) Finish(ctx context.Context, tx pgx.Tx, w Work) error {
	_, err := tx.Exec(ctx, `UPDATE works SET done_at = now(), failure = $3 WHERE tenant = $1 AND id = $2 AND done_at IS NULL`,
		w.Tenant, w.ID, w.Failure)
	if err != nil {
		return fmt.Errorf("finish work %s: %w", w.ID, err)
	}
	return nil
}

// WorkOf returns the work of an operation apart from the one called id, which takes it back; false when it was never begun.
func (s *Store) WorkOf(ctx context.Context, tenant, operation, id string) (Work, bool, error) {
	w, err := scanWork(s.db.QueryRow(ctx, `SELECT `+workColumns+` FROM works
		WHERE tenant = $1 AND operation_id = $2 AND id <> $3`, tenant, operation, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return Work{}, false, nil
	}
	if err != nil {
		return Work{}, false, fmt.Errorf("read work of %s: %w", operation, err)
	}
	return w, true, nil
}
