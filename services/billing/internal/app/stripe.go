package app

import (
	"context"
	"errors"
	"time"

	"tenure/services/billing/internal/plan"
	"tenure/shared/query"
)

// Stripe is what billing needs of Stripe. Calls that change something take an idempotency key. An error is one
// of: a *Refused, which no retry can mend; a fault.RetryAfter, when Stripe is away, slow or overloaded, which is also
// ErrKeySpent when the key has to be renewed first; anything else is a bug of ours.
type Stripe interface {
	CreateCustomer(ctx context.Context, key, tenant string, generation int64) (customerID string, err error)
	// DeleteCustomer removes the customer for good, with its cards, and ends its subscriptions at once. One that is deleted
	// already is no error.
	DeleteCustomer(ctx context.Context, customerID string) error
	// CustomerExists reports whether Stripe has the customer and has not deleted it.
	CustomerExists(ctx context.Context, customerID string) (bool, error)
	// Subscriptions returns all that a customer has.
	Subscriptions(ctx context.Context, customerID string) ([]plan.Subscription, error)
	Subscribe(ctx context.Context, key string, s NewSubscription) (plan.Subscription, error)
	// ChangePlan moves the subscription to another price: change is Raise, Lower, Reinstate or Swap. A declined Raise is a
	// *Refused that leaves the old price and nothing to pay, a declined Reinstate leaves an invoice to be paid.
	ChangePlan(ctx context.Context, key string, s plan.Subscription, change plan.Change, to string) (plan.Subscription, error)
	// Schedule has the subscription go over to another price when its period ends, without proration. It goes on with a
	// schedule that was half made, and turns one that leads elsewhere.
	Schedule(ctx context.Context, key string, s plan.Subscription, to string) (plan.Subscription, error)
	// Unschedule leaves the subscription as it is now. A schedule that is over already is fine.
	Unschedule(ctx context.Context, key string, s plan.Subscription) (plan.Subscription, error)
	// CheckCoupon answers a *Refused for a coupon that is unknown, used up or expired.
	CheckCoupon(ctx context.Context, coupon string) error
	// Redeem puts a coupon on the subscription, in the place of one that is there; by is noted beside it. It refuses what
	// CheckCoupon does.
	Redeem(ctx context.Context, key, subscriptionID, coupon, by string) (plan.Subscription, error)
	// Forfeit takes the coupon off the subscription.
	Forfeit(ctx context.Context, key, subscriptionID string) (plan.Subscription, error)
	CancelAtPeriodEnd(ctx context.Context, key, subscriptionID string, cancel bool) (plan.Subscription, error)
	// Cancel ends the subscription now; credit gives the unused time to the customer's balance.
	Cancel(ctx context.Context, subscriptionID string, credit bool) (plan.Subscription, error)
	// Invoices returns the subscription's invoices that are newer than the one called since, all of them when it is empty.
	Invoices(ctx context.Context, subscriptionID, since string) ([]plan.Invoice, error)
	// PlanOwed reports whether an open invoice of the subscription charges for the plan, and not for add-ons alone.
	PlanOwed(ctx context.Context, subscriptionID string) (bool, error)
	// Owes reports whether an invoice of the customer is open, be its subscription over.
	Owes(ctx context.Context, customerID string) (bool, error)
	// Quote asks for the invoices that a change would make. Nothing is changed.
	Quote(ctx context.Context, q plan.QuoteOf) (query.Quote, error)
	// Collect tries to be paid for an invoice now, instead of when Stripe would by itself. A card that is declined, or an
	// invoice that is settled meanwhile, is no error: what is live tells.
	Collect(ctx context.Context, invoiceID string) error
	// CollectDrafts is Collect for the invoices of a subscription that Stripe has made and not yet charged.
	CollectDrafts(ctx context.Context, subscriptionID string) error
	// GiveBack refunds what the card paid for the invoice and puts used credit back; an open one is voided. It looks up what
	// was given back before.
	GiveBack(ctx context.Context, key string, i plan.Invoice) error
}

// NewSubscription is what a tenant subscribes to.
type NewSubscription struct {
	CustomerID string
	Tenant     string
	Generation int64
	Plan       string
	// TrialEnd is when the first payment falls due; nil: now. TrialDays counts from now, for when TrialEnd has passed.
	TrialEnd  *time.Time
	TrialDays int
	// MustPay: a declined card leaves no subscription. Without it the subscription waits for its first payment.
	MustPay bool
	// Coupon is Stripe's id of one; a *Refused when it is not good.
	Coupon string
}

// Refused says that Stripe, or what is live there, does not allow a change. Reason is for people.
type Refused struct{ Reason string }

func (r *Refused) Error() string { return r.Reason }

// ErrKeySpent says that Stripe recorded a failure under the idempotency key and would repeat it for a day.
var ErrKeySpent = errors.New("stripe answers this idempotency key with a failure")
