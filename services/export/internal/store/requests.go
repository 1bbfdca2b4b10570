package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tenure/shared/pg"
)

// SaveState keeps the state of a tenant, as the lifecycle told it.
func SaveState(ctx context.Context, q pg.Querier, tenant, state string) error {
	_, err := q.Exec(ctx, `INSERT INTO tenants (tenant_id, state) VALUES ($1, $2)
		ON CONFLICT (tenant_id) DO UPDATE SET state = excluded.state WHERE tenants.state <> excluded.state`, tenant, state)
	if err != nil {
		return fmt.Errorf("keep the state of %s: %w", tenant, err)
	}
	return nil
}

// State is a tenant's, "" for one that the lifecycle has not told of. It stays so until the caller's transaction ends, so
// that what is added to a tenant on the strength of it is there when its purge looks for it.
func State(ctx context.Context, q pg.Querier, tenant string) (state string, err error) {
	err = q.QueryRow(ctx, `SELECT state FROM tenants WHERE tenant_id = $1 FOR SHARE`, tenant).Scan(&state)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("read the state of %s: %w", tenant, err)
	}
	return state, nil
}

// Request adds a job that was asked for over HTTP, with the caller's key of the request, and returns it with true; when
// the tenant's exports have one with this key already, that one with false.
func Request(ctx context.Context, tx pgx.Tx, j Job, key string) (job *Job, added bool, err error) {
	if added, err = insert(ctx, tx, j, &key); err != nil {
		return nil, false, wrap("request", j.ExportID, err)
	}
	job, err = one(ctx, tx, `SELECT `+columns+` FROM jobs WHERE tenant_id = $1 AND request_key = $2`, j.TenantID, key)
	return job, added, err
}

// Page is where a list of a tenant's exports goes on: behind the export with this id.
type Page struct {
	After string
	Limit int
}

// List returns a tenant's exports, the newest first.
func List(ctx context.Context, q pg.Querier, tenant string, page Page) ([]*Job, error) {
	return list(ctx, q, `SELECT `+columns+` FROM jobs
		WHERE tenant_id = $1 AND ($2 = '' OR (requested_at, export_id) <
			(SELECT requested_at, export_id FROM jobs WHERE tenant_id = $1 AND export_id = $2))
		ORDER BY requested_at DESC, export_id DESC LIMIT $3`, tenant, page.After, page.Limit)
}
