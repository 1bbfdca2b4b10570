package app

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/inbox"
)

// underWayDelay is how long news wait for a work that may be what they are about.
const underWayDelay = time.Second

// news takes a notice as a hint to look at the customer again: all that counts is what is live now. Notices may come
// twice, late and in any order.
func (a *App) news(ctx context.Context, e events.Event) (inbox.Commit, error) {
	n, err := plan.DecodeNotice(e)
	if err != nil {
		return nil, fault.Permanent(err)
	}
	account, err := a.store.AccountOf(ctx, n.CustomerID)
	switch {
	case err != nil:
		return nil, err
	case account.CustomerID == "":
		return func(ctx context.Context, tx pgx.Tx) error { return a.store.Park(ctx, tx, n.EventID) }, nil
	case account.Tenant != e.Subject: // published before its tenant was known, or with metadata that somebody changed
		return func(ctx context.Context, tx pgx.Tx) error { return a.store.Publish(ctx, tx, n, account.Tenant) }, nil
	case account.Erased: // it stands in the log of Stripe's news, and there is nothing to look at any more
		return nil, nil
	}
	live, err := a.lookAndCollect(ctx, account)
	if err != nil {
		return nil, err
	}
	if err := a.awaitWork(ctx, account, live); err != nil {
		return nil, err
	}
	c := conclusion{cause: e, account: account, live: live}
	if account.Belief.Standing == plan.InDefault {
		if c.paidUp, err = a.freeAndPaidUp(ctx, account, live); err != nil {
			return nil, err
		}
	}
	return a.commit(c), nil
}

// freeAndPaidUp is paidUp for a tenant that is on a free plan. On any other it has to pay for a new subscription.
func (a *App) freeAndPaidUp(ctx context.Context, account store.Account, live []plan.Subscription) (bool, error) {
	agreed, err := a.store.Agreement(ctx, account.Tenant)
	if err != nil || agreed.State != plan.Live {
		return false, err
	}
	if p, known := a.catalogue.Find(agreed.Plan); !known || !p.Free() {
		return false, nil
	}
	return a.paidUp(ctx, account, live)
}

// paidUp reports whether a tenant that pays for nothing any more has paid what it owed: no subscription is left to show it.
func (a *App) paidUp(ctx context.Context, account store.Account, live []plan.Subscription) (bool, error) {
	if plan.Main(live) != nil || account.Belief.Standing != plan.InDefault {
		return false, nil
	}
	owes, err := a.stripe.Owes(ctx, account.CustomerID)
	return !owes, err
}

// lookAndCollect is look, and has a trial that has just ended paid for at once: whether it goes over into a paid plan is
// to be known when it ends, not an hour later.
func (a *App) lookAndCollect(ctx context.Context, account store.Account) ([]plan.Subscription, error) {
	live, err := a.look(ctx, account)
	if err != nil {
		return nil, err
	}
	main := plan.Main(live)
	if main == nil || !main.Converting(account.Belief) || main.InvoiceStatus != plan.InvoiceDraft {
		return live, nil
	}
	if err := a.stripe.Collect(ctx, main.LatestInvoice); err != nil {
		return nil, err
	}
	return a.look(ctx, account)
}

// awaitWork holds news back that nothing is live any more while billing is at work for the tenant: it may have ended the
// subscription itself, and not stored that yet. The account was read before the look, so that a work which was stored in
// between makes the news stale.
func (a *App) awaitWork(ctx context.Context, account store.Account, live []plan.Subscription) error {
	if plan.Main(live) != nil || !account.Belief.Vanished() || account.Ended {
		return nil
	}
	busy, err := a.store.UnderWay(ctx, account.Tenant, account.Generation)
	if err != nil || !busy {
		return err
	}
	return fault.RetryAfter(fmt.Errorf("the subscription of %s has ended while work on it is under way", account.Tenant), underWayDelay)
}
