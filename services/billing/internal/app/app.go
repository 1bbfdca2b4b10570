// Package app is what billing does: it carries out at Stripe what the lifecycle asks for, and tells the rest of Tenure
// what is live there.
//
// Nothing outside happens in a transaction. Every request becomes a store.Work, written down before it is begun; what
// is done is looked up at Stripe before it is done again; the outcome, the facts and the answer are stored together.
package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/inbox"
	"tenure/shared/plans"
)

// Participant is the name under which billing takes part in steps.
const Participant = "billing"

// staleDelay is how long an event waits when another event of the tenant was stored in between.
const staleDelay = 50 * time.Millisecond

// App is safe for concurrent use.
type App struct {
	store     *store.Store
	stripe    Stripe
	catalogue plans.Catalogue
	now       func() time.Time
}

// New returns an App. now is the clock that deadlines of steps are held against.
func New(s *store.Store, stripe Stripe, catalogue plans.Catalogue, now func() time.Time) *App {
	return &App{store: s, stripe: stripe, catalogue: catalogue, now: now}
}

// conclusion is what a look at Stripe comes to.
type conclusion struct {
	cause   events.Event
	account store.Account // as it was read before the look
	live    []plan.Subscription
	work    *store.Work        // finished with it; nil for news
	answer  *events.StepAnswer // nil when nobody asked
	ended   bool               // the tenant's life is over
	paidUp  bool               // nothing is owed any more by a tenant that has nothing to pay for
}

// commit stores a conclusion: what is believed, the facts that follow from it, and the answer behind them.
func (a *App) commit(c conclusion) inbox.Commit {
	before := c.account.Belief
	if c.work != nil {
		before = before.After(c.work.Changes)
	}
	next, facts := plan.Derive(c.live, before)
	if c.paidUp {
		next.Standing = "" // as it is of a customer with nothing live
		facts = append(facts, &events.BillingPaymentRecovered{SubscriptionID: before.SubscriptionID, Status: plan.Canceled})
	}
	if c.account.Ended {
		facts = nil // late news of a life that is over
	}
	return func(ctx context.Context, tx pgx.Tx) error {
		changed := !next.Equal(c.account.Belief) || c.ended && !c.account.Ended
		if changed && c.account.CustomerID != "" {
			account := c.account
			account.Belief, account.Ended = next, account.Ended || c.ended
			if err := a.store.Save(ctx, tx, account); errors.Is(err, store.ErrStale) {
				return fault.RetryAfter(err, staleDelay)
			} else if err != nil {
				return err
			}
		}
		if c.work != nil {
			if err := a.store.Finish(ctx, tx, *c.work); err != nil {
				return err
			}
		}
		told, err := c.tell(facts)
		if err != nil {
			return err
		}
		return a.store.Tell(ctx, tx, eventlog.Entry{Stream: c.cause.Subject, Events: told})
	}
}

// tell turns facts and answer into events that name their cause.
func (c conclusion) tell(facts []events.Payload) ([]events.Event, error) {
	var out []events.Event
	for _, fact := range facts {
		if changed, ok := fact.(*events.SubscriptionChanged); ok && c.answer != nil {
			changed.StepID = c.answer.StepID
		}
		if of, ok := fact.(interface{ SetGeneration(n int64) }); ok {
			of.SetGeneration(c.account.Generation)
		}
		e, err := events.New(fact, c.cause.Subject)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	if c.answer != nil {
		name := events.StepCompletedName
		if c.answer.Error != "" {
			name = events.StepFailedName
		}
		e, err := events.Answer(c.cause.Subject, name, *c.answer)
		if err != nil {
			return nil, fmt.Errorf("answer step %s: %w", c.answer.StepID, err)
		}
		out = append(out, e)
	}
	for i := range out {
		out[i].Actor, out[i].TraceParent = "service:billing", c.cause.TraceParent
		out[i].CorrelationID, out[i].CausationID = c.cause.CorrelationID, c.cause.ID
	}
	return out, nil
}
