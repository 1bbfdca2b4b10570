package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/connectors"
	"tenure/services/deletion/internal/store"
	"tenure/shared/events"
)

// sweepLease is how long a sweep may take before it is begun anew, and how soon one that failed is tried again.
const sweepLease = time.Minute

// sweep looks again at the stores of purged tenants, each at its times, and for deadlines that come near, until ctx ends.
func (a *App) sweep(ctx context.Context) error {
	// Often enough for days of seconds.
	tick := time.NewTicker(min(a.cfg.Day, time.Minute))
	defer tick.Stop()
	for {
		if err := a.sweepAll(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "the stores could not be swept for data that came back; it is tried again", "error", err)
		}
		if err := a.warn(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "nobody was told of the requests whose deadline is near; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweepAll does the sweeps that are due.
func (a *App) sweepAll(ctx context.Context) error {
	var failed []error
	for ctx.Err() == nil {
		sweep, err := store.ClaimSweep(ctx, a.DB, sweepLease)
		if err != nil {
			return err
		}
		if sweep == nil {
			break
		}
		failed = append(failed, a.sweepOne(ctx, sweep))
	}
	return errors.Join(failed...)
}

// sweepOne counts what the stores hold of the tenant and tells what it finds. It erases nothing: data that came back has
// a cause, which somebody should see. What is found of a tenant that has begun a new life meanwhile is its own; should
// the news of that not have come here yet, the lifecycle refuses the report.
func (a *App) sweepOne(ctx context.Context, s *store.Sweep) error {
	retained, err := store.Retained(ctx, a.DB, s.TenantID, s.Generation)
	if err != nil {
		return err
	}
	var residue []events.Payload
	for _, t := range slices.Concat(a.Stores, []Store{a.contacts(s.Generation)}) {
		if slices.Contains(retained, t.Name()) {
			continue // kept by law, as the certificate says
		}
		found, err := t.Verify(ctx, connectors.Tenant(s.TenantID))
		if err != nil {
			return err
		}
		if n := found.Total(); n > 0 {
			slog.ErrorContext(ctx, "a store holds data of a purged tenant", "store", t.Name(), "tenant", s.TenantID, "rows", n)
			residue = append(residue, &events.ResidueFound{Store: t.Name(), Rows: n, Generation: s.Generation})
		}
	}
	return ignoreLost(a.inTx(ctx, func(tx pgx.Tx) error {
		if err := store.Swept(ctx, tx, s); err != nil {
			return err
		}
		return a.tell(ctx, tx, cause{tenant: s.TenantID, id: s.CauseID, correlation: s.CorrelationID}, nil, residue...)
	}))
}
