package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/shared/pg"
)

// Suppression is why a tenant gets no campaign mails.
type Suppression struct {
	Reason string
	Since  time.Time
}

// Suppress has a tenant get no campaign mails from now on. The first reason stays.
func Suppress(ctx context.Context, q pg.Querier, tenant, reason string) error {
	if _, err := q.Exec(ctx, `INSERT INTO suppressions (tenant_id, reason) VALUES ($1, $2) ON CONFLICT DO NOTHING`, tenant, reason); err != nil {
		return fmt.Errorf("suppress %s: %w", tenant, err)
	}
	return nil
}

// Unsuppress takes a suppression back.
func Unsuppress(ctx context.Context, q pg.Querier, tenant string) error {
	if _, err := q.Exec(ctx, `DELETE FROM suppressions WHERE tenant_id = $1`, tenant); err != nil {
		return fmt.Errorf("take back the suppression of %s: %w", tenant, err)
	}
	return nil
}

// Suppressed reads a tenant's suppression, or nil.
func Suppressed(ctx context.Context, q pg.Querier, tenant string) (*Suppression, error) {
	var s Suppression
	err := q.QueryRow(ctx, `SELECT reason, since FROM suppressions WHERE tenant_id = $1`, tenant).Scan(&s.Reason, &s.Since)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the suppression of %s: %w", tenant, err)
	}
	return &s, nil
}
