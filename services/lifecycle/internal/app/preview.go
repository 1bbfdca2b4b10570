package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
)

// Preview is what a command would do now.
type Preview struct {
	State   tenant.State
	After   tenant.State // when the command is decided; operations run on from there
	Refusal *tenant.Refusal
	Events  []events.Payload
	Facts   tenant.Facts
	// PlanHash stands for the facts behind a plan change; a command that carries it is refused when they have moved.
	PlanHash string
	// At is when the preview was made, by the database's clock.
	At time.Time
}

// Preview decides a command without writing anything.
func (e *Engine) Preview(ctx context.Context, id, name, actor string, payload events.Payload) (Preview, error) {
	var p Preview
	var now time.Time
	if err := e.db.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return p, err
	}
	found, err := store.Load(ctx, e.db, []string{id})
	if err != nil {
		return p, err
	}
	known, err := store.LoadFacts(ctx, e.db, []string{id})
	if err != nil {
		return p, err
	}
	p.At = now.UTC()
	p.State = found[id].State
	p.State.ID = id
	p.Facts = e.factsFor(p.State, payload, known[id], now)
	p.PlanHash = p.Facts.PlanHash
	p.Events, err = tenant.Decide(p.State, tenant.Command{
		Name: name, ID: "preview", NewID: "preview", Now: p.At, Actor: actor, Payload: payload, Facts: p.Facts,
	})
	if err != nil && !errors.As(err, &p.Refusal) {
		return p, err
	}
	p.After = p.State
	for _, event := range p.Events {
		recorded, err := events.New(event, id)
		if err != nil {
			return p, err
		}
		recorded.Sequence, recorded.Time = p.After.Version+1, p.At
		p.After = tenant.Evolve(p.After, recorded, event)
	}
	return p, nil
}

// planHash covers what a person agreed to when they saw a preview: the state, both plans with their limits, and which
// limits the usage breaks. The usage itself is left out: it moves with every query.
func planHash(s tenant.State, to string, f tenant.Facts) string {
	h := sha256.New()
	fmt.Fprintln(h, s.Name, s.Plan, to, s.Generation)
	for _, p := range f.Plans {
		if p.Name == s.Plan || p.Name == to {
			fmt.Fprintln(h, p.Name, p.Cents, p.Limits)
		}
		if p.Name == to {
			for _, v := range f.Usage.Over(p.Limits) {
				fmt.Fprintln(h, v.Metric, v.Limit)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
