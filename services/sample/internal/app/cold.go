package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"tenure/services/sample/internal/store"
	"tenure/shared/participant"
)

// warmTimeout is how long the first request of a cold tenant waits for its archive. What is not done by then is left to
// the hint, or to the next request.
const warmTimeout = 2 * time.Second

// Hints are what the sample does about idle tenants: their archive, which no request reads, takes less room until they
// are used again. Rows stay where they are, so that exports are whole.
func (a *App) Hints() map[string]participant.Hint {
	return map[string]participant.Hint{"tenant.cooled": a.cool, "tenant.warmed": a.warm}
}

// cool may be behind the first use, which then has nothing to bring back yet. So it looks again afterwards: either it sees
// that use, or the use comes later and sees the whole archive cold.
func (a *App) cool(ctx context.Context, tenant string) error {
	here, err := a.setTier(ctx, tenant, store.Cold, store.Warm, store.Warming, store.Cold)
	if err != nil || !here {
		return err
	}
	if err := a.archives.Cool(ctx, tenant); err != nil {
		return err
	}
	tier, err := a.tier(ctx, tenant)
	if err != nil || tier == store.Cold {
		return err
	}
	return a.archives.Warm(ctx, tenant)
}

// warm brings the archive back. Until it is back as a whole the tenant counts as warming, and the next one who uses it goes
// on; when it was cooled anew meanwhile, it stays cold.
func (a *App) warm(ctx context.Context, tenant string) error {
	if cold, err := a.setTier(ctx, tenant, store.Warming, store.Cold, store.Warming); err != nil || !cold {
		return err
	}
	if err := a.archives.Warm(ctx, tenant); err != nil {
		return err
	}
	_, err := a.setTier(ctx, tenant, store.Warm, store.Warming)
	return err
}

// used undoes the cooling of a tenant that is used. The request is answered whatever comes of it: it needs nothing of the
// archive.
func (a *App) used(ctx context.Context, tenant string) {
	ctx, cancel := context.WithTimeout(ctx, warmTimeout)
	defer cancel()
	if err := a.warm(ctx, tenant); err != nil {
		slog.WarnContext(ctx, "a cold archive is not back yet; the next use goes on", "tenant", tenant, "error", err)
	}
}

func (a *App) setTier(ctx context.Context, tenant, to string, from ...string) (changed bool, err error) {
	err = a.store.As(ctx, tenant, func(tx store.Tx) error {
		changed, err = tx.SetTier(ctx, to, from...)
		return err
	})
	return changed, err
}

// tier of a tenant that is not here is warm: nothing is left to be done for it.
func (a *App) tier(ctx context.Context, tenant string) (tier string, err error) {
	err = a.store.As(ctx, tenant, func(tx store.Tx) error {
		tier, err = tx.Tier(ctx)
		return err
	})
	if errors.Is(err, store.ErrNoRoute) {
		return store.Warm, nil
	}
	return tier, err
}
