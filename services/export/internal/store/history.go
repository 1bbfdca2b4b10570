package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
	"tenure/services/export/internal/manifest"
	"tenure/shared/pg"
)

// History is what the service keeps of a tenant's events, read as any other store.
func History(db *pgxpool.Pool) connectors.Connector {
	return postgres.New("tenure", db, []postgres.Table{
		{Name: "audit", Tenant: "tenant_id", Key: []string{"version"}, Kind: manifest.Audit, Document: "row", Changed: "time"},
		{Name: "billing", Tenant: "tenant_id", Key: []string{"version"}, Kind: manifest.Billing, Document: "row", Changed: "time"},
	})
}

// KeepAudit adds a row to a tenant's timeline.
func KeepAudit(ctx context.Context, q pg.Querier, tenant string, version int64, at time.Time, row []byte) error {
	_, err := q.Exec(ctx, `INSERT INTO audit (tenant_id, version, time, row) VALUES ($1, $2, $3, $4)`, tenant, version, at, row)
	if err != nil {
		return fmt.Errorf("keep event %d of %s: %w", version, tenant, err)
	}
	return nil
}

// KeepBilling adds a row to what billing says of a tenant.
func KeepBilling(ctx context.Context, q pg.Querier, tenant string, version int64, at time.Time, row []byte) error {
	_, err := q.Exec(ctx, `INSERT INTO billing (tenant_id, version, time, row) VALUES ($1, $2, $3, $4)`, tenant, version, at, row)
	if err != nil {
		return fmt.Errorf("keep billing's event %d of %s: %w", version, tenant, err)
	}
	return nil
}

// Forget removes a purged tenant's history and the manifests of its archives.
func Forget(ctx context.Context, q pg.Querier, tenant string) error {
	for _, sql := range []string{
		`DELETE FROM audit WHERE tenant_id = $1`,
		`DELETE FROM billing WHERE tenant_id = $1`,
		`UPDATE jobs SET manifest = NULL, snapshot_at = NULL, alerted_at = now(), ` + forgetRequest + ` WHERE tenant_id = $1`,
		// None should run: a purge waits for the export. One that does has nothing to write any more.
		`UPDATE jobs SET cancel_requested = true WHERE tenant_id = $1 AND status IN ('pending', 'running', 'verifying')`,
	} {
		if _, err := q.Exec(ctx, sql, tenant); err != nil {
			return fmt.Errorf("forget %s: %w", tenant, err)
		}
	}
	return nil
}
