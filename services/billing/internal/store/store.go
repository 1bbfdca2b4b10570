// Package store keeps billing's state in PostgreSQL. What is told to others goes to the event log in the same
// transaction as the state it tells about.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/billing/internal/plan"
	"tenure/shared/eventlog"
	"tenure/shared/pg"
)

// Store is safe for concurrent use.
type Store struct {
	db  *pgxpool.Pool
	log *eventlog.Log
}

// New returns a store on the service's schema.
func New(db *pgxpool.Pool, log *eventlog.Log) *Store { return &Store{db, log} }

// Account is one life of a tenant as Stripe's customer, with what was told about it.
type Account struct {
	Tenant     string
	Generation int64
	// CustomerID is empty while Stripe knows nothing of this life: a free plan.
	CustomerID string
	Belief     plan.Belief
	// Ended: purged or abandoned. Its news are nobody's any more.
	Ended bool
	// Erased: a purge had the customer deleted at Stripe.
	Erased  bool
	version int64
}

// ErrStale says that the account moved on since it was read: look again, at the account first and then at Stripe.
var ErrStale = errors.New("store: the account has moved on")

const accountColumns = `tenant, generation, customer_id, subscription_id, plan, status, cancel_at_period_end,
	current_period_end, scheduled_plan, standing, retired, ended, erased_by <> '', version`

// Account returns one life of a tenant, without a CustomerID when it never paid.
func (s *Store) Account(ctx context.Context, tenant string, generation int64) (Account, error) {
	a, err := s.account(ctx, `tenant = $1 AND generation = $2`, tenant, generation)
	a.Tenant, a.Generation = tenant, generation
	return a, err
}

// Latest returns the last life of a tenant that ever paid, without a CustomerID when there is none.
func (s *Store) Latest(ctx context.Context, tenant string) (Account, error) {
	a, err := s.account(ctx, `tenant = $1 ORDER BY generation DESC LIMIT 1`, tenant)
	a.Tenant = tenant
	return a, err
}

// AccountOf returns the account with this customer, without a CustomerID when it is nobody's.
func (s *Store) AccountOf(ctx context.Context, customerID string) (Account, error) {
	return s.account(ctx, `customer_id = $1`, customerID)
}

func (s *Store) account(ctx context.Context, where string, args ...any) (Account, error) {
	var a Account
	var end *time.Time
	b := &a.Belief
	err := s.db.QueryRow(ctx, `SELECT `+accountColumns+` FROM accounts WHERE `+where, args...).Scan(
		&a.Tenant, &a.Generation, &a.CustomerID, &b.SubscriptionID, &b.Plan, &b.Status, &b.CancelAtPeriodEnd, &end,
		&b.ScheduledPlan, &b.Standing, &b.Retired, &a.Ended, &a.Erased, &a.version)
	if errors.Is(err, pgx.ErrNoRows) {
		return Account{}, nil
	}
	if err != nil {
		return Account{}, fmt.Errorf("read account: %w", err)
	}
	if end != nil {
		b.CurrentPeriodEnd = end.UTC()
	}
	return a, nil
}

// Open stores the customer before anything is bought for it: a crash after this finds the customer, and the
// subscription on it, again. News that waited for this customer are published.
func (s *Store) Open(ctx context.Context, a Account) (Account, error) {
	err := pg.WithTx(ctx, s.db, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO accounts (tenant, generation, customer_id) VALUES ($1, $2, $3)
			ON CONFLICT (tenant, generation) DO NOTHING`, a.Tenant, a.Generation, a.CustomerID)
		if err != nil {
			return fmt.Errorf("open account of %s: %w", a.Tenant, err)
		}
		return s.unpark(ctx, tx)
	})
	if err != nil {
		return Account{}, err
	}
	s.log.Kick()
	return s.Account(ctx, a.Tenant, a.Generation)
}

// Save stores what is believed from now on. It fails with ErrStale when another look at Stripe was stored since a was read.
func (s *Store) Save(ctx context.Context, tx pgx.Tx, a Account) error {
	b := a.Belief
	var end *time.Time
	if !b.CurrentPeriodEnd.IsZero() {
		end = &b.CurrentPeriodEnd
	}
	tag, err := tx.Exec(ctx, `UPDATE accounts SET subscription_id = $4, plan = $5, status = $6, cancel_at_period_end = $7,
		current_period_end = $8, scheduled_plan = $9, standing = $10, retired = $11, ended = $12, version = version + 1
		WHERE tenant = $1 AND generation = $2 AND version = $3`,
		a.Tenant, a.Generation, a.version, b.SubscriptionID, b.Plan, b.Status, b.CancelAtPeriodEnd, end, b.ScheduledPlan,
		b.Standing, b.Retired, a.Ended)
	if err != nil {
		return fmt.Errorf("save account of %s: %w", a.Tenant, err)
	}
	if tag.RowsAffected() == 0 {
		return ErrStale
	}
	return nil
}

// Customers are those of a tenant's lives up to a generation which a purge is to delete at Stripe: those that it deleted
// before, in a try whose answer was lost, are among them.
func (s *Store) Customers(ctx context.Context, tenant string, generation int64, purge string) ([]string, error) {
	rows, err := s.db.Query(ctx, `SELECT customer_id FROM accounts
		WHERE tenant = $1 AND generation <= $2 AND erased_by IN ('', $3) ORDER BY generation`, tenant, generation, purge)
	if err != nil {
		return nil, fmt.Errorf("list the customers of %s: %w", tenant, err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Erased records that a purge had them deleted. Whoever has looked at Stripe before has to look again.
func (s *Store) Erased(ctx context.Context, tx pgx.Tx, tenant string, generation int64, purge string) error {
	_, err := tx.Exec(ctx, `UPDATE accounts SET erased_by = $3, ended = true, version = version + 1
		WHERE tenant = $1 AND generation <= $2 AND erased_by = ''`, tenant, generation, purge)
	if err != nil {
		return fmt.Errorf("record that the customers of %s are deleted: %w", tenant, err)
	}
	return nil
}

// Tell appends to the tenant's stream of billing's own facts.
func (s *Store) Tell(ctx context.Context, tx pgx.Tx, entry eventlog.Entry) error {
	return s.log.Append(ctx, tx, entry)
}
