package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Settle is how long an agreement has to stand, and a difference to last, before a pass that nobody asked for believes in
// it. News of Stripe's may be minutes under way, and would else be told as missed.
const Settle = 5 * time.Minute

const (
	firstPass  = time.Minute // after the start, so that what has piled up is worked off
	retryDelay = 10 * time.Second
)

// Run makes a pass every interval until ctx ends, in one process of all that call it. See Settle.
func (r *Reconciler) Run(ctx context.Context, interval, settle time.Duration) {
	for ctx.Err() == nil {
		if err := r.lead(ctx, interval, settle); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "reconciling with Stripe lost its turn and waits for the next", "error", err)
		}
		wait(ctx, retryDelay)
	}
}

func (r *Reconciler) lead(ctx context.Context, interval, settle time.Duration) error {
	lead, err := r.store.Lead(ctx)
	if err != nil {
		return err
	}
	defer lead.Release(ctx)
	for next := min(firstPass, interval); wait(ctx, next); next = interval {
		if err := lead.Check(ctx); err != nil {
			return err
		}
		report, err := r.pass(ctx, settle)
		if err != nil {
			slog.WarnContext(ctx, "what Stripe has live was not compared with the log to the end", "error", err)
			continue
		}
		slog.InfoContext(ctx, "compared what Stripe has live with the log", "lives", report.Checked,
			"differences", len(report.Items), "more", report.More, "took", report.Took)
	}
	return nil
}

// pass looks at everybody, lets suspects settle and looks at each of them again.
func (r *Reconciler) pass(ctx context.Context, settle time.Duration) (Report, error) {
	began := time.Now()
	if err := r.enter(ctx); err != nil {
		return Report{}, err
	}
	ids, report, err := r.suspects(ctx, settle)
	r.leave()
	if err != nil {
		return report, err
	}
	if len(ids) > 0 && !wait(ctx, settle) {
		return report, ctx.Err()
	}
	if err := r.enter(ctx); err != nil {
		return report, err
	}
	defer r.leave()
	p := &pass{Reconciler: r, settle: settle, heals: maxHeals}
	for _, id := range ids {
		items, err := p.examine(ctx, id)
		report.Items = append(report.Items, items...)
		if err != nil {
			return report, fmt.Errorf("%s: %w", id.Tenant, err)
		}
	}
	report.Took = time.Since(began)
	return report, nil
}

// wait reports false when ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
