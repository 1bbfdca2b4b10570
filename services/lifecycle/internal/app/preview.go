package app

import (
	"context"
	"errors"
	"time"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
)

// Preview is what a command would do now.
type Preview struct {
	State tenant.State
	Facts tenant.Facts
	// Refusal is why the command would not be taken; then there is no outlook.
	Refusal *tenant.Refusal
	Outlook tenant.Outlook
	// PlanHash stands for the facts behind a command that is about plans or money; the command that carries it is refused
	// when they have moved.
	PlanHash string
	// At is when the preview was made, by the database's clock.
	At time.Time
}

// Preview decides a command and follows it to its end without writing anything.
func (e *Engine) Preview(ctx context.Context, id, name, actor string, payload events.Payload) (Preview, error) {
	var p Preview
	if err := e.db.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&p.At); err != nil {
		return p, err
	}
	p.At = p.At.UTC()
	found, err := store.Load(ctx, e.db, []string{id})
	if err != nil {
		return p, err
	}
	known, err := store.LoadFacts(ctx, e.db, []string{id})
	if err != nil {
		return p, err
	}
	p.State = found[id].State
	p.State.ID = id
	p.Facts = e.factsFor(p.State, payload, known[id], p.At)
	if ref, ok := sinceExport(id, payload); ok {
		found, err := store.CompletedExports(ctx, e.db, []store.ExportRef{ref})
		if err != nil {
			return p, err
		}
		p.Facts.SinceExport = found[ref]
	}
	if d, ok := payload.(*events.Delete); ok && d.Confirm == "" {
		d.Confirm = id // who looks need not confirm yet
	}
	names, err := e.namesFor(ctx, e.db, []*pending{{Submission: Submission{Tenant: id, Payload: payload}}})
	if err != nil {
		return p, err
	}
	p.Facts.Named = named(id, payload, names)
	p.PlanHash = e.planHash(p.State, payload, p.Facts, p.At)
	p.Facts.PlanHash = p.PlanHash
	p.Outlook, err = tenant.Foresee(p.State, tenant.Command{
		Name: name, ID: "preview", NewID: "preview", Now: p.At, Actor: actor, Payload: payload, Facts: p.Facts,
	})
	if err != nil && !errors.As(err, &p.Refusal) {
		return p, err
	}
	return p, nil
}
