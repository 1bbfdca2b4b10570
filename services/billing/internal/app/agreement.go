package app

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
	"tenure/shared/events"
	"tenure/shared/inbox"
)

// agreeing adds to what an event stores the agreement that follows from it: in one transaction, so that whoever finds no
// work under way finds Stripe and the agreement at the same point of the log.
func (a *App) agreeing(e events.Event, p events.Payload, commit inbox.Commit) inbox.Commit {
	if !slices.Contains(plan.AgreementEvents, e.Type) {
		return commit
	}
	return func(ctx context.Context, tx pgx.Tx) error {
		if commit != nil {
			if err := commit(ctx, tx); err != nil {
				return err
			}
		}
		return a.store.Agree(ctx, tx, e.Subject, e.Sequence, func(before plan.Agreement) plan.Agreement {
			return plan.Agree(before, p)
		})
	}
}
