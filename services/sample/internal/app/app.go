// Package app is what the sample SaaS does: it keeps and finds documents, within what the gate and the plan allow, and
// takes part in the tenant's lifecycle.
package app

import (
	"context"
	"errors"
	"net/http"
	"time"

	"tenure/services/sample/internal/store"
	"tenure/shared/gate"
)

// App is safe for concurrent use.
type App struct {
	gate     *gate.Gate
	store    *store.Store
	archives Archive
	control  control
	recorded func()
}

// New returns the application. recorded is called whenever new usage waits to be published.
func New(g *gate.Gate, s *store.Store, archives Archive, recorded func()) *App {
	return &App{gate: g, store: s, archives: archives, recorded: recorded}
}

// Refusal is the gate's answer, as an error.
type Refusal struct{ gate.Verdict }

func (r *Refusal) Error() string { return r.Reason }

// noRoute answers for a tenant that the gate lets in but that has no capacity here. It must never end at another
// tenant's rows.
var noRoute = &Refusal{gate.Verdict{
	Status: http.StatusServiceUnavailable, Code: "no_route", Reason: "the tenant's capacity is not here", RetryAfter: time.Second,
}}

// request runs fn as one request of the tenant: tracked, past the gate, in a transaction that sees the tenant's rows
// alone. then, which may be nil, goes on after the commit and is part of the request still.
func (a *App) request(ctx context.Context, tenant string, c gate.Capability, fn func(tx store.Tx) error, then func() error) error {
	// Tracked before anything is looked up: a drain must not miss a request that has read the old route.
	running := a.gate.Begin(tenant)
	defer running.End()
	if verdict := a.gate.CheckFresh(ctx, tenant, c); !verdict.Allowed {
		return &Refusal{verdict}
	}
	var route store.Tenant
	err := a.store.As(ctx, tenant, func(tx store.Tx) (err error) {
		if route, err = tx.Route(ctx); err != nil {
			return err
		}
		running.On(route.Serving)
		return fn(tx)
	})
	switch {
	case errors.Is(err, store.ErrNoRoute):
		return noRoute
	case err != nil:
		return err
	}
	a.recorded()
	if route.Tier != store.Warm {
		a.used(ctx, tenant)
	}
	if then == nil {
		return nil
	}
	return then()
}

// spend takes n of the tenant's quota and records the use. Over the quota it is a Refusal, and the transaction is lost.
func (a *App) spend(ctx context.Context, tx store.Tx, tenant string, m gate.Metric, n float64) error {
	if n == 0 {
		return nil
	}
	verdict, err := a.gate.Spend(ctx, tx, tenant, m, n)
	if err != nil {
		return err
	}
	if !verdict.Allowed {
		return &Refusal{verdict}
	}
	return tx.Record(ctx, m, n)
}

// spendStorage takes the quota that documents of this size in all need.
func (a *App) spendStorage(ctx context.Context, tx store.Tx, tenant string, documents, bytes int) error {
	if err := a.spend(ctx, tx, tenant, gate.Documents, float64(documents)); err != nil {
		return err
	}
	return a.spend(ctx, tx, tenant, gate.StorageGB, float64(bytes)/store.BytesPerGB)
}
