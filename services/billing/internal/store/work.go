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
	// FromPlan is the one to go back to: what was charged for before a step, and else the tenant's where the asker named it.
	FromPlan string
	Plan     string
	Changes  []plan.Change
	// GiveBack: what the subscription's changes charged since InvoiceBefore is given back.
	GiveBack bool
	// SubscriptionID and InvoiceBefore are the main subscription and its newest invoice before the work began.
	SubscriptionID string
	InvoiceBefore  string
	// Coupon is what a tenant comes back with.
	Coupon string

	// Done, with a Failure or without: only the answer is left to be given again.
	Done    bool
	Failure string
	try     int
}

// Key is the idempotency key of one call of the work.
func (w Work) Key(call string) string {
	return w.Tenant + "/" + strconv.FormatInt(w.Generation, 10) + "/" + w.ID + "/" + call + "/" + strconv.Itoa(w.try)
}

const workColumns = `tenant, id, operation_id, generation, from_plan, plan, changes, give_back, subscription_id, invoice_before, coupon,
	try, done_at IS NOT NULL, failure`

func scanWork(row pgx.Row) (Work, error) {
	var w Work
	err := row.Scan(&w.Tenant, &w.ID, &w.OperationID, &w.Generation, &w.FromPlan, &w.Plan, &w.Changes, &w.GiveBack,
		&w.SubscriptionID, &w.InvoiceBefore, &w.Coupon, &w.try, &w.Done, &w.Failure)
	return w, err
}

// Begin writes the work down and returns it, or returns it as it was written down the first time. Stripe forgets keys
// after 24 hours: past 23 they are made anew, which is safe since every change is looked up before it is done.
func (s *Store) Begin(ctx context.Context, w Work) (Work, error) {
	changes := w.Changes
	if changes == nil {
		changes = []plan.Change{}
	}
	w, err := scanWork(s.db.QueryRow(ctx, `INSERT INTO works AS w (tenant, id, operation_id, generation, from_plan, plan, changes,
			give_back, subscription_id, invoice_before, coupon) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (tenant, id) DO UPDATE SET
			try = w.try + (w.tried_at < now() - interval '23 hours')::int,
			tried_at = CASE WHEN w.tried_at < now() - interval '23 hours' THEN now() ELSE w.tried_at END
		RETURNING `+workColumns,
		w.Tenant, w.ID, w.OperationID, w.Generation, w.FromPlan, w.Plan, changes, w.GiveBack, w.SubscriptionID, w.InvoiceBefore, w.Coupon))
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

// Finish records the outcome. The way back, once gone, ends what it took back as well: nobody asks for that again.
func (s *Store) Finish(ctx context.Context, tx pgx.Tx, w Work) error {
	_, err := tx.Exec(ctx, `UPDATE works SET done_at = now(), failure = CASE WHEN id = $2 THEN $3 ELSE 'taken back' END
		WHERE tenant = $1 AND done_at IS NULL AND (id = $2 OR operation_id = $4 AND $4 <> '')`,
		w.Tenant, w.ID, w.Failure, w.OperationID)
	if err != nil {
		return fmt.Errorf("finish work %s: %w", w.ID, err)
	}
	return nil
}

// Work returns the work called id; false when it was never begun.
func (s *Store) Work(ctx context.Context, tenant, id string) (Work, bool, error) {
	return s.work(ctx, `id = $2`, tenant, id)
}

// WorkOf returns the work of an operation apart from the one called id, which takes it back; false when it was never begun.
func (s *Store) WorkOf(ctx context.Context, tenant, operation, id string) (Work, bool, error) {
	return s.work(ctx, `operation_id = $2 AND id <> $3`, tenant, operation, id)
}

func (s *Store) work(ctx context.Context, where string, tenant string, args ...any) (Work, bool, error) {
	w, err := scanWork(s.db.QueryRow(ctx, `SELECT `+workColumns+` FROM works WHERE tenant = $1 AND `+where,
		append([]any{tenant}, args...)...))
	if errors.Is(err, pgx.ErrNoRows) {
		return Work{}, false, nil
	}
	if err != nil {
		return Work{}, false, fmt.Errorf("read work of %s: %w", tenant, err)
	}
	return w, true, nil
}

// UnderWay reports whether a work of this life was begun and is not finished: what is live may be half of what it
// will be.
func (s *Store) UnderWay(ctx context.Context, tenant string, generation int64) (bool, error) {
	var found bool
	err := s.db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM works WHERE tenant = $1 AND generation = $2 AND done_at IS NULL)`,
		tenant, generation).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("look for works of %s: %w", tenant, err)
	}
	return found, nil
}
