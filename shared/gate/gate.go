// Package gate answers "may this tenant do this now?" in nanoseconds, from a local replica of every tenant's access
// that follows the lifecycle's events on the bus.
//
// Decide is the pure table behind every answer; Gate is the replica in front of a SaaS's requests:
//
//	g := gate.New(gate.Config{})
//	go g.Run(ctx, conn)
//	...
//	if v := g.Check(tenant, gate.Query); !v.Allowed { // answer v.Status }
//
// or, for a whole mux, with problem+json, Retry-After and requests that Drain knows of:
//
//	http.ListenAndServe(addr, gate.Middleware(g, tenantOf, nil)(mux))
//
// # How true the replica is
//
// A gate begins with a snapshot of all tenants that the lifecycle answers over the bus, or, when nobody answers, with the
// newest events of each tenant; until then it refuses everything. It takes nothing that comes out of order for news, reads
// again what got lost on the way, and asks the bus every second whether it is behind. After Config.StaleAfter without an
// answer it is stale, and Config.WhenStale says whether what was known last goes on to hold. Run shows the figures
// tenure.gate.stale, .age, .tenants and .refusals.
//
// # Beside access
//
// Settings and Limits are the tenant's plan and what is set for it alone. Spend holds it to its limits over a Counter that
// all instances of the SaaS share (package pgcounter). Begin and Drain let a plan change wait for the requests that run.
package gate

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"tenure/shared/plans"
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
	// Plans is what there is to buy: the same catalogue as the lifecycle's. nil: plans.Default.
	Plans plans.Catalogue
	// Log receives what cannot be returned. nil: slog.Default.
	Log *slog.Logger
}

// Gate is safe for concurrent use. Until Run has caught up with the bus for the first time it refuses everything.
type Gate struct {
	cfg Config
	// id is this gate's among all that live.
	id       string
	limits   map[string]Limits
	replica  *replica
	refusals refusals
	requests tracker

	ready, stale atomic.Bool
	// staleness sets stale when nothing has put it off for StaleAfter.
	staleness *time.Timer
	// freshAt is the last moment, in Unix nanoseconds, of which the replica knew all.
	freshAt atomic.Int64
	reading atomic.Pointer[reading]
	refresh singleflight.Group
}

// New makes a gate that knows no tenant yet; Run fills it.
func New(cfg Config) *Gate {
	if cfg.StaleAfter <= 0 {
		cfg.StaleAfter = 10 * time.Second
	}
	if cfg.Plans == nil {
		cfg.Plans = plans.Default()
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	g := &Gate{cfg: cfg, id: rand.Text(), limits: map[string]Limits{}, replica: newReplica(), refusals: newRefusals()}
	for _, p := range cfg.Plans {
		g.limits[p.Name] = limitsOf(p.Limits)
	}
	return g
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
	return g.counted(g.check(tenant, c))
}

func (g *Gate) counted(v *Verdict) Verdict {
	if !v.Allowed {
		g.refusals[v.Code].Add(1)
	}
	return *v
}

func (g *Gate) check(tenant string, c Capability) *Verdict {
	if !g.ready.Load() {
		return &notReady
	}
	stale := g.stale.Load()
	if stale && g.cfg.WhenStale == FailClosed {
		return &staleReplica
	}
	known := g.replica.get(tenant)
	switch {
	case !known.known() && stale:
		return &staleReplica // it may have signed up since
	case !known.known():
		return &unknownTenant
	case c == Ingest && known.access.Blocks.Has(BlockReadOnly) && time.Now().After(g.replica.frozenUntil(tenant)):
		known.access.Blocks &^= BlockReadOnly // the window's end was not told, or not heard
	}
	return decide(known.access, c)
}

// refreshTimeout bounds how long CheckFresh waits for the bus before it answers with what it has.
const refreshTimeout = 250 * time.Millisecond

// CheckFresh is Check for those who would rather wait a moment than refuse wrongly: a refusal is looked at again
// after the replica has taken in all that is on the bus about the tenant by now. Callers at the same time share one round
// trip, and a bus that has been away for long is not waited for.
func (g *Gate) CheckFresh(ctx context.Context, tenant string, c Capability) Verdict {
	verdict := g.check(tenant, c)
	if verdict.Allowed || g.stale.Load() {
		return g.counted(verdict)
	}
	caughtUp := g.refresh.DoChan(tenant, func() (any, error) {
		r := g.reading.Load()
		if r == nil {
			return nil, errNotBegun
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
		defer cancel()
		return nil, r.catchUpWith(ctx, tenant)
	})
	select {
	case <-caughtUp: // or why not: then there is nothing newer to say
	case <-ctx.Done():
	}
	return g.counted(g.check(tenant, c))
}

// Ready reports whether the replica has caught up with the bus once.
func (g *Gate) Ready() bool { return g.ready.Load() }

// Stale reports whether the bus has been out of reach for longer than Config.StaleAfter.
func (g *Gate) Stale() bool { return g.stale.Load() }
