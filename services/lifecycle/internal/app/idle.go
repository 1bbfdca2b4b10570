package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
)

const (
	// idleInterval is the longest sleep between two searches for idle tenants: nobody waits for one to be found.
	idleInterval = time.Minute
	idleBatch    = 500
)

// RunIdle finds tenants that nobody uses, until ctx ends. Any number of processes may do so: the key of a look is its due
// time, so that it counts once.
func (e *Engine) RunIdle(ctx context.Context) error {
	idle := e.cfg.Policy("", "").Idle()
	if idle == 0 {
		return nil
	}
	tick := time.NewTicker(min(idleInterval, max(idle/10, timerInterval)))
	defer tick.Stop()
	for {
		if err := e.coolIdle(ctx, idle); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "cannot look for idle tenants now", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (e *Engine) coolIdle(ctx context.Context, idle time.Duration) error {
	if err := store.LookBy(ctx, e.db, idle); err != nil {
		return err
	}
	for {
		due, err := store.DueLooks(ctx, e.db, idleBatch)
		if err != nil || len(due) == 0 {
			return err
		}
		list := make([]Submission, len(due))
		for i, look := range due {
			key := fmt.Sprintf("idle/%d", look.Due.UnixMicro())
			list[i] = Submission{
				Tenant: look.Tenant, Name: tenant.CmdCool, Key: key, CausationID: key, CorrelationID: key, Actor: "system:idle",
				Payload: &tenant.Cool{},
			}
		}
		// What cannot be decided stays due, and those behind it go on in the next search.
		if err := e.looked(ctx, due, e.SubmitAll(ctx, list)); err != nil || len(due) < idleBatch {
			return err
		}
	}
}

// looked puts off the next look at the tenants that were looked at.
func (e *Engine) looked(ctx context.Context, due []store.Look, outcomes []Outcome) error {
	var again, over []string
	var idle []time.Duration
	var failed []error
	for i, out := range outcomes {
		switch id := due[i].Tenant; {
		case out.Err != nil:
			failed = append(failed, fmt.Errorf("look at %s: %w", id, out.Err))
		case out.State.Ended():
			over = append(over, id)
		default:
			again = append(again, id)
			idle = append(idle, e.cfg.Policy(out.State.Region, out.State.Plan).Idle())
		}
	}
	return errors.Join(append(failed, store.LookAgain(ctx, e.db, again, idle), store.LookNoMore(ctx, e.db, over))...)
}
