package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"tenure/services/sample/internal/store"
	"tenure/shared/participant"
)

// Actions are the steps that the sample does. A plan change expands, switches, contracts: the new capacity stands
// beside the old one, new requests go to it, and the old one goes when nobody uses it any more. Erasing and verifying
// are left to the data map.
//
// Each may be asked for again. On the way back the plans are exchanged, so that most are their own way back.
func (a *App) Actions() map[string]participant.Handler {
	return map[string]participant.Handler{
		"provision": a.provision,
		"drain":     a.drain,
		"switch":    a.switchOver,
		"release":   a.release,
		"archive":   a.archive,
		"restore":   a.restore,
	}
}

// provision makes the capacity of the new plan. The way back removes it; from a first provisioning nothing stays, and
// neither from one of a tenant whose old capacity was erased before.
func (a *App) provision(ctx context.Context, s participant.Step) (any, error) {
	if err := a.control.fail(s); err != nil {
		return nil, err
	}
	if s.Compensate && s.ToPlan != "" {
		if err := a.settle(ctx, s); !errors.Is(err, store.ErrNoRoute) {
			return nil, err
		}
	}
	return nil, a.store.As(ctx, s.Tenant, func(tx store.Tx) error {
		if s.Compensate {
			return tx.Withdraw(ctx)
		}
		return tx.Provision(ctx, s.Generation, s.ToPlan)
	})
}

// drain sends new requests to the other capacity and waits for those that run on the one that is left. When time is out, the old
// capacity serves again: nothing has changed for anybody.
func (a *App) drain(ctx context.Context, s participant.Step) (any, error) {
	if err := a.serve(ctx, s.Tenant, s.ToPlan); err != nil {
		return nil, err
	}
	err := a.drained(ctx, s)
	if err != nil && s.FromPlan != "" {
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		defer cancel()
		if undo := a.serve(back, s.Tenant, s.FromPlan); undo != nil {
			err = fmt.Errorf("%w; and the old capacity could not be put back: %w", err, undo)
		}
	}
	return nil, err
}

// opUpgrade is the kind of the operation in which a restore is about room.
const opUpgrade = "upgrade"

// undoTimeout bounds what must be done even though the step's time is out.
const undoTimeout = 5 * time.Second

func (a *App) drained(ctx context.Context, s participant.Step) error {
	if !s.Compensate && a.control.of(s).NeverDrain {
		<-ctx.Done()
		return ctx.Err()
	}
	return a.gate.Drain(ctx, s.Tenant, s.FromPlan, s.Progress)
}

func (a *App) serve(ctx context.Context, tenant, plan string) error {
	return a.store.As(ctx, tenant, func(tx store.Tx) error { return tx.Serve(ctx, plan) })
}

// switchOver puts the tenant on the new plan and its rows into the new capacity, while requests go on.
func (a *App) switchOver(ctx context.Context, s participant.Step) (any, error) {
	if err := a.control.fail(s); err != nil {
		return nil, err
	}
	if err := wait(ctx, a.control.of(s).SwitchTakes); err != nil {
		return nil, err
	}
	var rows int64
	err := a.store.As(ctx, s.Tenant, func(tx store.Tx) (err error) {
		if err := tx.Switch(ctx, s.ToPlan); err != nil {
			return err
		}
		rows, err = tx.Elsewhere(ctx, s.ToPlan)
		return err
	})
	if err != nil {
		return nil, err
	}
	return nil, a.store.Move(ctx, s.Tenant, s.ToPlan, func(moved int64) { s.Progress(moved, rows) })
}

// release removes the capacity that the tenant has left, and the copies of what came back; the way back makes the capacity
// again.
func (a *App) release(ctx context.Context, s participant.Step) (any, error) {
	if !s.Compensate {
		if err := a.settle(ctx, s); err != nil {
			return nil, err
		}
		return nil, a.dropCopies(ctx, s)
	}
	return nil, a.store.As(ctx, s.Tenant, func(tx store.Tx) error { return tx.Provision(ctx, s.Generation, s.ToPlan) })
}

// settle leaves the tenant with the capacity of the step's plan alone. Rows may lie in the other one still: on the way
// back those written since the drain, and else what a request has written that outlasted it.
func (a *App) settle(ctx context.Context, s participant.Step) error {
	if err := a.serve(ctx, s.Tenant, s.ToPlan); err != nil {
		return err
	}
	if err := a.store.Move(ctx, s.Tenant, s.ToPlan, func(int64) {}); err != nil {
		return err
	}
	return a.store.As(ctx, s.Tenant, func(tx store.Tx) error { return tx.Release(ctx, s.ToPlan) })
}

// restore brings back what was archived when the tenant goes to a plan that has room for it. For a returning tenant it
// makes sure that there is a capacity of the plan that it left on, which a change of plan then starts from: its rows have
// never left, and there is nothing to take back.
func (a *App) restore(ctx context.Context, s participant.Step) (any, error) {
	if s.Operation == opUpgrade {
		return a.bringBack(ctx, s)
	}
	return nil, a.store.As(ctx, s.Tenant, func(tx store.Tx) error {
		_, err := tx.Route(ctx)
		switch {
		case !errors.Is(err, store.ErrNoRoute):
			return err
		case s.Compensate:
			return nil
		}
		return tx.Provision(ctx, s.Generation, cmp.Or(s.FromPlan, s.ToPlan))
	})
}
