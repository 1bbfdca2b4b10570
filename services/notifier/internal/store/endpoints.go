package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/notifier/internal/webhook"
	"tenure/shared/pg"
)

// Endpoint is where one tenant's systems are told.
type Endpoint struct {
	ID, TenantID  string
	URL           string
	Filter        webhook.Filter
	Description   string
	SecretVersion int
	// FormerUntil is until when the secret of the version before signs, too.
	FormerUntil  time.Time
	FailingSince *time.Time
	DisabledAt   *time.Time
	CreatedAt    time.Time
}

// A time that was never set is one long ago: '-infinity' is none that Go knows.
const endpointColumns = `id, tenant_id, url, filter, description, secret_version, greatest(former_until, 'epoch') AS former_until,
	failing_since, disabled_at, created_at`

// AddEndpoint stores an endpoint unless one of its id is there, and returns the one that is; nil when the tenant has as
// many as it may have.
func AddEndpoint(ctx context.Context, tx pgx.Tx, e Endpoint, most int) (*Endpoint, error) {
	// One at a time for each tenant, so that no two pass the limit together.
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('endpoints/' || $1, 0))`, e.TenantID); err != nil {
		return nil, fmt.Errorf("add an endpoint: %w", err)
	}
	_, err := tx.Exec(ctx, `INSERT INTO endpoints (id, tenant_id, url, filter, description)
		SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM endpoints WHERE tenant_id = $2) < $6
		ON CONFLICT (id) DO NOTHING`, e.ID, e.TenantID, e.URL, []string(e.Filter), e.Description, most)
	if err != nil {
		return nil, fmt.Errorf("add an endpoint: %w", err)
	}
	return GetEndpoint(ctx, tx, e.TenantID, e.ID)
}

// GetEndpoint returns a tenant's endpoint, or nil.
func GetEndpoint(ctx context.Context, q pg.Querier, tenant, id string) (*Endpoint, error) {
	return oneEndpoint(ctx, q, `SELECT `+endpointColumns+` FROM endpoints WHERE tenant_id = $1 AND id = $2`, tenant, id)
}

// RotateSecret makes the next version of an endpoint's secret, once for each key; the former one goes on signing for a
// while. nil when there is no such endpoint.
func RotateSecret(ctx context.Context, q pg.Querier, tenant, id, key string, both time.Duration) (*Endpoint, error) {
	_, err := q.Exec(ctx, `UPDATE endpoints SET secret_version = secret_version + 1, rotated_by = $3, former_until = now() + $4::interval
		WHERE tenant_id = $1 AND id = $2 AND rotated_by <> $3`, tenant, id, key, both)
	if err != nil {
		return nil, fmt.Errorf("rotate the secret of %s: %w", id, err)
	}
	return GetEndpoint(ctx, q, tenant, id)
}

// EnableEndpoint lets an endpoint be called again; nil when there is none. What failed for good stays failed until
// somebody redelivers it.
func EnableEndpoint(ctx context.Context, q pg.Querier, tenant, id string) (*Endpoint, error) {
	return oneEndpoint(ctx, q, `UPDATE endpoints SET disabled_at = NULL, failing_since = NULL WHERE tenant_id = $1 AND id = $2
		RETURNING `+endpointColumns, tenant, id)
}

// RemoveEndpoint forgets an endpoint and all that it was told; false when there is none.
func RemoveEndpoint(ctx context.Context, q pg.Querier, tenant, id string) (bool, error) {
	tag, err := q.Exec(ctx, `DELETE FROM endpoints WHERE tenant_id = $1 AND id = $2`, tenant, id)
	if err != nil {
		return false, fmt.Errorf("remove endpoint %s: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}

// Endpoints lists a tenant's, the oldest first.
func Endpoints(ctx context.Context, q pg.Querier, tenant string) ([]Endpoint, error) {
	rows, err := q.Query(ctx, `SELECT `+endpointColumns+` FROM endpoints WHERE tenant_id = $1 ORDER BY created_at, id`, tenant)
	if err != nil {
		return nil, fmt.Errorf("list the endpoints of %s: %w", tenant, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[Endpoint])
}

// ForgetEndpoints removes the endpoints of a tenant's former life.
func ForgetEndpoints(ctx context.Context, q pg.Querier, tenant string) error {
	if _, err := q.Exec(ctx, `DELETE FROM endpoints WHERE tenant_id = $1`, tenant); err != nil {
		return fmt.Errorf("forget the endpoints of %s: %w", tenant, err)
	}
	return nil
}

// Lives reports whether a tenant has a life that is not over.
func Lives(ctx context.Context, q pg.Querier, tenant string) (lives bool, err error) {
	err = q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM tenants WHERE tenant_id = $1 AND NOT gone)`, tenant).Scan(&lives)
	if err != nil {
		return false, fmt.Errorf("look up the life of %s: %w", tenant, err)
	}
	return lives, nil
}

func oneEndpoint(ctx context.Context, q pg.Querier, sql string, args ...any) (*Endpoint, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read an endpoint: %w", err)
	}
	e, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Endpoint])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read an endpoint: %w", err)
	}
	return e, nil
}
