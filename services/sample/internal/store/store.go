// Package store keeps all tenants' documents, vectors and usage in shared tables. Which tenant's rows a statement sees
// is decided by row-level security alone: no statement here names the tenant in its WHERE, so that none can forget to.
package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/shared/rls"
)

// ErrNoRoute says that there is no capacity for the tenant here: it was never provisioned, or is gone.
var ErrNoRoute = errors.New("sample: the tenant has no capacity here")

// role is whom requests run as; see the migrations.
const role = "tenure_sample"

// Store is safe for concurrent use.
type Store struct{ db *pgxpool.Pool }

// New returns the store on a pool whose schema is migrated.
func New(db *pgxpool.Pool) *Store { return &Store{db: db} }

// Tx is one transaction in which only one tenant's rows exist.
type Tx struct {
	pgx.Tx
	tenant string
}

// As runs fn in a transaction of the tenant.
func (s *Store) As(ctx context.Context, tenant string, fn func(tx Tx) error) error {
	return rls.As(ctx, s.db, role, tenant, func(tx pgx.Tx) error { return fn(Tx{tx, tenant}) })
}

// Tenant is what is provisioned for one.
type Tenant struct {
	Generation int64
	Plan       string
	// Serving is the plan whose capacity takes new requests.
	Serving string
	// Tier is that of its archive.
	Tier string
}

// Route finds where the tenant's requests go, or ErrNoRoute.
func (tx Tx) Route(ctx context.Context) (Tenant, error) {
	var t Tenant
	err := tx.QueryRow(ctx, `SELECT generation, tenants.plan, serving, tier FROM tenants
		JOIN capacities ON capacities.tenant_id = tenants.tenant_id AND capacities.plan = serving`).Scan(&t.Generation, &t.Plan, &t.Serving, &t.Tier)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, ErrNoRoute
	}
	if err != nil {
		return t, fmt.Errorf("route %s: %w", tx.tenant, err)
	}
	return t, nil
}
