// Package rls lets a SaaS keep many tenants' rows in shared PostgreSQL tables: each transaction sees one tenant's alone,
// whatever its statements forget to say.
//
// In a migration, for every table with tenants' rows:
//
//	ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
//	ALTER TABLE documents FORCE ROW LEVEL SECURITY;
//	CREATE POLICY own_tenant ON documents USING (tenant_id = current_setting('tenure.tenant'));
//	GRANT SELECT, INSERT, UPDATE, DELETE ON documents TO app;
//
// The role must be no superuser and not have BYPASSRLS: those pass by every policy.
package rls

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tenure/shared/pg"
)

// As runs fn in a transaction of the tenant, as the role that the policies bind. Both settings end with the transaction, so
// that the connection goes back to its pool without them. Outside of As a policy finds no tenant, and the statement fails.
func As(ctx context.Context, db pg.Beginner, role, tenant string, fn func(tx pgx.Tx) error) error {
	return pg.WithTx(ctx, db, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT set_config('tenure.tenant', $1, true), set_config('role', $2, true)`, tenant, role)
		if err != nil {
			return fmt.Errorf("enter tenant %s: %w", tenant, err)
		}
		return fn(tx)
	})
}
