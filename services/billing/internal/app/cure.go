package app

import (
	"context"
	"errors"
	"time"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/inbox"
)

// cureDelay is how long a step waits for a cure under way.
const cureDelay = time.Second

// ErrMoved says that the tenant has moved on since its drift was looked at.
var ErrMoved = errors.New("the tenant has moved on since the look")

var errCuring = errors.New("the tenant's drift is being set right")

// Look returns all that is live of an account's customer, as billing judges it.
func (a *App) Look(ctx context.Context, account store.Account) ([]plan.Subscription, error) {
	return a.look(ctx, account)
}

// Cure sets a difference right by a work like any other, and returns what to store. It fails with ErrMoved, and does
// nothing, unless the agreement is still at the version that the difference was found at. Whatever it wrote down when it
// was cut off, it goes on with.
//
// An operation that begins at this very moment may want the contrary. So the work is written down first, and the
// agreement is read after it: an operation that was there before shows in the agreement, and the steps of one that comes
// later find the work and wait (see yield).
func (a *App) Cure(ctx context.Context, d store.OpenDrift, account store.Account) (inbox.Commit, error) {
	r := request{
		cause: events.Event{ID: d.WorkID(), CorrelationID: d.WorkID(), Subject: d.Tenant}, id: d.WorkID(),
		account: account, ends: d.Kind == plan.ChargedAfterEnd,
		changes: func(main *plan.Subscription, _ plan.Belief) []plan.Change { return d.Kind.Cure(main) },
	}
	live, err := a.look(ctx, account)
	if err != nil {
		return nil, err
	}
	w, err := a.begin(ctx, r, plan.Main(live))
	if err != nil {
		return nil, err
	}
	now, _, err := a.store.Life(ctx, d.LifeID)
	if err != nil {
		return nil, err
	}
	if now.Agreement.Version != d.Version || !now.Settled(0) {
		return nil, errors.Join(ErrMoved, a.store.Drop(ctx, w))
	}
	return a.carryOut(ctx, r)
}

// yield lets a step of billing's wait while drift of the tenant is set right.
func (a *App) yield(ctx context.Context, e events.Event, p events.Payload) error {
	if s, ok := p.(*events.StepRequested); !ok || s.Participant != Participant {
		return nil
	}
	curing, err := a.store.Curing(ctx, e.Subject)
	if err != nil || !curing {
		return err
	}
	return fault.RetryAfter(errCuring, cureDelay)
}
