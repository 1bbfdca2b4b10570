package app

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/plans"
)

// gatesTimeout is how long gates have to take a plan in before they are asked again: they take milliseconds.
const gatesTimeout = 5 * time.Second

// participantsInterval is how soon this process sees a participant that registered with another one.
const participantsInterval = time.Second

// factsFor is what Decide may look at besides the state.
func (e *Engine) factsFor(s tenant.State, payload events.Payload, known store.Facts, now time.Time) tenant.Facts {
	region, plan := s.Region, s.Plan
	if r, ok := payload.(*events.Register); ok {
		region, plan = r.Region, r.Plan
	}
	e.mu.RLock()
	participants := e.participants
	e.mu.RUnlock()
	if e.cfg.GatesLive() {
		participants = append(slices.Clip(participants), tenant.Participant{
			Name: tenant.Gates, Actions: tenant.GatesActions, Timeout: gatesTimeout,
		})
	}
	return tenant.Facts{
		Plans: e.cfg.Plans, Participants: participants, Usage: currentUsage(known, now), UsedAt: known.UsedAt, PeriodEnd: known.PeriodEnd,
		Policy: e.cfg.Policy(region, plan),
	}
}

// earlierExports looks up the exports that commands name in since, all in one query; none when none does.
func earlierExports(ctx context.Context, q pg.Querier, batch []*pending) (map[store.ExportRef]time.Time, error) {
	var refs []store.ExportRef
	for _, w := range batch {
		if ref, ok := sinceExport(w.Tenant, w.Payload); ok {
			refs = append(refs, ref)
		}
	}
	if len(refs) == 0 {
		return nil, nil
	}
	return store.CompletedExports(ctx, q, refs)
}

// sinceExport is the earlier export that a command names, when it does.
func sinceExport(id string, payload events.Payload) (store.ExportRef, bool) {
	p, ok := payload.(*events.Export)
	if !ok || p.Since == "" {
		return store.ExportRef{}, false
	}
	return store.ExportRef{Tenant: id, ID: p.Since}, true
}

// currentUsage leaves out the queries of a month that is over: the count begins anew with the calendar month.
func currentUsage(f store.Facts, now time.Time) tenant.Usage {
	u := f.Usage
	if f.Period != now.UTC().Format("2006-01") {
		u.Queries = 0
	}
	return u
}

// Plans returns the catalogue.
func (e *Engine) Plans() plans.Catalogue { return e.cfg.Plans }

// Usage returns what a tenant has used, as billing told last.
func (e *Engine) Usage(ctx context.Context, q pg.Querier, ids []string, now time.Time) (map[string]tenant.Usage, error) {
	facts, err := store.LoadFacts(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[string]tenant.Usage, len(facts))
	for id, f := range facts {
		out[id] = currentUsage(f, now)
	}
	return out, nil
}

// ReloadParticipants makes the next command see a change of the participants.
func (e *Engine) ReloadParticipants(ctx context.Context) error {
	list, err := store.Participants(ctx, e.db)
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.participants = list
	e.mu.Unlock()
	return nil
}

func (e *Engine) refreshParticipants(ctx context.Context) {
	tick := time.NewTicker(participantsInterval)
	defer tick.Stop()
	for {
		if err := e.ReloadParticipants(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "cannot read the participants; the last known ones are used", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
