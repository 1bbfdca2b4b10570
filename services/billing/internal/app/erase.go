package app

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/inbox"
)

// erasureDelay is how long a customer may still be shown by a Stripe that has just deleted it.
const erasureDelay = 5 * time.Second

// kept is what Stripe does not delete with a customer; see https://docs.stripe.com/api/customers/delete.
var kept = events.ErasureException{
	What:   "invoices and payments at Stripe",
	Reason: "tax law asks for them to be kept; the customer and its cards are deleted, and so are its subscriptions",
}

// erase deletes the tenant's customers at Stripe, those of earlier lives too, which cannot be undone, and looks again
// whether they are gone. The subscriptions were ended by the purge's step before, with what that charges or gives back;
// here they would be just cut off.
func (a *App) erase(ctx context.Context, e events.Event, s *events.StepRequested) (inbox.Commit, error) {
	if s.Operation != opPurge || s.Compensate {
		refused := fmt.Sprintf("billing deletes a customer in a purge alone, not in: %s", s.Operation)
		return a.answerErasure(e, s, events.StepAnswer{Error: refused, Permanent: true}), nil
	}
	customers, err := a.store.Customers(ctx, e.Subject, s.Generation, s.OperationID)
	if err != nil {
		return nil, err
	}
	for _, id := range customers {
		if err := a.deleteCustomer(ctx, id); err != nil {
			return nil, err
		}
	}
	before := int64(len(customers))
	result := events.Erasure{Before: &before}
	if before > 0 {
		result.Exceptions = []events.ErasureException{kept}
	}
	encoded, err := json.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("encode the result of %s: %w", s.StepID, err)
	}
	answer := a.answerErasure(e, s, events.StepAnswer{Result: encoded})
	return func(ctx context.Context, tx pgx.Tx) error {
		if err := a.store.Erased(ctx, tx, e.Subject, s.Generation, s.OperationID); err != nil {
			return err
		}
		return answer(ctx, tx)
	}, nil
}

// deleteCustomer is done when Stripe shows the customer as deleted, whoever deleted it.
func (a *App) deleteCustomer(ctx context.Context, id string) error {
	exists, err := a.stripe.CustomerExists(ctx, id)
	if err != nil || !exists {
		return err
	}
	if err := a.stripe.DeleteCustomer(ctx, id); err != nil {
		return err
	}
	if exists, err = a.stripe.CustomerExists(ctx, id); err != nil || !exists {
		return err
	}
	return fault.RetryAfter(fmt.Errorf("stripe says that customer %s is deleted, and still has it", id), erasureDelay)
}

func (a *App) answerErasure(e events.Event, s *events.StepRequested, answer events.StepAnswer) inbox.Commit {
	answer.StepID, answer.Participant = s.StepID, Participant
	return a.commit(conclusion{cause: e, answer: &answer})
}
