package store

import (
	"context"
	"fmt"
)

// Tiers of a tenant's archive.
const (
	Warm    = "warm"
	Cold    = "cold"
	Warming = "warming"
)

// Tier returns the archive's tier, or ErrNoRoute.
func (tx Tx) Tier(ctx context.Context) (string, error) {
	t, err := tx.Route(ctx)
	return t.Tier, err
}

// SetTier changes the archive's tier, if it is one of those in from. A tenant that is not here has none.
func (tx Tx) SetTier(ctx context.Context, to string, from ...string) (changed bool, err error) {
	tag, err := tx.Exec(ctx, `UPDATE tenants SET tier = $1 WHERE tier = ANY($2)`, to, from)
	if err != nil {
		return false, fmt.Errorf("set the tier of %s: %w", tx.tenant, err)
	}
	return tag.RowsAffected() > 0, nil
}
