// Package gate answers "may this tenant do this now?" in nanoseconds, from a local replica of every tenant's access
// that follows the lifecycle's events on the bus.
//
// Decide is the pure table behind every answer; Gate is the replica in front of a SaaS's requests:
//
//	g := gate.New(gate.Config{})
//	go g.Run(ctx, conn)
//	...
//	if v := g.Check(tenant, gate.Query); !v.Allowed { // answer v.Status }
package gate

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// Policy says what a gate answers when it has not heard from the bus for too long.
type Policy int

const (
	// FailOpen goes on with what was known last: a tenant that is suspended meanwhile stays in, the others notice
	// nothing.
	FailOpen Policy = iota
	// FailClosed refuses everything with 503: nobody suspended gets in, and nobody else either.
	FailClosed
)

// Config shapes a Gate. Its zero value is ready for use.
type Config struct {
	// StaleAfter is how long without word from the bus the replica counts as fresh. 0: 10 s.
	StaleAfter time.Duration
	// WhenStale is what happens then. Unknown tenants stay out either way.
	WhenStale Policy
	// Plans are the limits of each plan. nil: DefaultPlans.
	Plans map[string]Limits
	// Log receives what cannot be returned. nil: slog.Default.
	Log *slog.Logger
}

// Gate is safe for concurrent use. Until Run has caught up with the bus for the first time it refuses everything.
type Gate struct {
	cfg     Config
	replica *replica
	ready   atomic.Bool
	stale   atomic.Bool
	feed    feed
	refresh singleflight.Group
}

// New makes a gate that knows no tenant yet; Run fills it.
func New(cfg Config) *Gate {
	if cfg.StaleAfter <= 0 {
		cfg.StaleAfter = 10 * time.Second
	}
	if cfg.Plans == nil {
		cfg.Plans = DefaultPlans()
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Gate{cfg: cfg, replica: newReplica()}
}

var (
	unknownTenant = deny(http.StatusNotFound, "unknown_tenant", "there is no such tenant")
	notReady      = retry("gate_not_ready", "tenants' access is still being read from the bus", time.Second)
	staleReplica  = retry("gate_stale", "tenants' access cannot be confirmed: the bus is out of reach", 5*time.Second)
)

// UnknownTenant is the verdict on a tenant that does not exist. Give it for one that the caller may not know of, too.
func UnknownTenant() Verdict { return unknownTenant }

// Check answers whether the tenant may use the capability now. It does no I/O and allocates nothing.
func (g *Gate) Check(tenant string, c Capability) Verdict {
	if !g.ready.Load() {
		return notReady
	}
	stale := g.stale.Load()
	if stale && g.cfg.WhenStale == FailClosed {
		return staleReplica
	}
	known, ok := g.replica.get(tenant)
	switch {
	case ok:
		return Decide(known.access, c)
	case stale:
		return staleReplica // it may have signed up since
	}
	return unknownTenant
}

// refreshTimeout bounds how long CheckFresh waits for the bus before it answers with what it has.
const refreshTimeout = 250 * time.Millisecond

// CheckFresh is Check for those who would rather wait a moment than refuse wrongly: a refusal is looked at again
// after the replica has taken in all that is on the bus by now. Callers at the same time share one round trip.
func (g *Gate) CheckFresh(ctx context.Context, tenant string, c Capability) Verdict {
	verdict := g.Check(tenant, c)
	if verdict.Allowed {
		return verdict
	}
	caughtUp := g.refresh.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
		defer cancel()
		return nil, g.catchUp(ctx)
	})
	select {
	case <-caughtUp:
	case <-ctx.Done():
	}
	return g.Check(tenant, c)
}

// Limits are those of the plan that the tenant is on; a tenant or plan that is not known has a limit of nothing at all.
func (g *Gate) Limits(tenant string) Limits {
	known, _ := g.replica.get(tenant)
	if limits, ok := g.cfg.Plans[g.replica.plans.name(known.plan)]; ok {
		return limits
	}
	return nothing
}

var nothing = Limits{Queries: 0, Documents: 0, StorageGB: 0}

// PlanLimits are the limits of a plan by its name, for a participant that prepares a change to it.
func (g *Gate) PlanLimits(plan string) (Limits, bool) {
	limits, ok := g.cfg.Plans[plan]
	return limits, ok
}

// Ready reports whether the replica has caught up with the bus once.
func (g *Gate) Ready() bool { return g.ready.Load() }

// Stale reports whether the bus has been out of reach for longer than Config.StaleAfter.
func (g *Gate) Stale() bool { return g.stale.Load() }
