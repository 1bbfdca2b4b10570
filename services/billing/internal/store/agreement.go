package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
	"tenure/shared/pg"
)

const agreementColumns = `tenant, generation, plan, state, pending_plan, operation, version`

// Agreement returns what the tenant should be paying; the zero Agreement, but for the tenant, when its log is not known.
func (s *Store) Agreement(ctx context.Context, tenant string) (plan.Agreement, error) {
	a, _, err := agreement(ctx, s.db, tenant)
	return a, err
}

// agreement returns also how long ago it changed, by the database's clock.
func agreement(ctx context.Context, q pg.Querier, tenant string) (plan.Agreement, time.Duration, error) {
	a := plan.Agreement{Tenant: tenant}
	var age float64
	err := q.QueryRow(ctx, `SELECT `+agreementColumns+`, extract(epoch FROM now() - changed_at)::float8
		FROM agreements WHERE tenant = $1`, tenant).
		Scan(&a.Tenant, &a.Generation, &a.Plan, &a.State, &a.PendingPlan, &a.Operation, &a.Version, &age)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return plan.Agreement{}, 0, fmt.Errorf("read agreement of %s: %w", tenant, err)
	}
	return a, seconds(age), nil
}

// Agree applies change to the tenant's agreement and stores it with the version of the event that asked for it. The
// caller handles one event of a tenant at a time.
func (s *Store) Agree(ctx context.Context, tx pgx.Tx, tenant string, version int64, change func(plan.Agreement) plan.Agreement) error {
	before, _, err := agreement(ctx, tx, tenant)
	if err != nil {
		return err
	}
	a := change(before)
	if a == before {
		return nil
	}
	_, err = tx.Exec(ctx, `INSERT INTO agreements (`+agreementColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (tenant) DO UPDATE SET generation = excluded.generation, plan = excluded.plan, state = excluded.state,
			pending_plan = excluded.pending_plan, operation = excluded.operation, version = excluded.version, changed_at = now()`,
		tenant, a.Generation, a.Plan, a.State, a.PendingPlan, a.Operation, version)
	if err != nil {
		return fmt.Errorf("save agreement of %s: %w", tenant, err)
	}
	return nil
}
