package stripeapi

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stripe/stripe-go/v76"

	"tenure/services/billing/internal/plan"
	"tenure/shared/plans"
	"tenure/shared/query"
)

// Quote asks Stripe's preview of the upcoming invoice what a change would cost; nothing is changed. Prorations are those
// of this moment, to the second: by the time of the change they are a little less.
func (c *Client) Quote(ctx context.Context, q plan.QuoteOf) (query.Quote, error) {
	target, ok := c.catalogue.Find(q.Plan)
	s := q.Subscription
	offered, err := c.offerOf(ctx, q.Coupon)
	if err != nil {
		return query.Quote{}, err
	}
	switch {
	case !ok && !q.Cancel:
		return query.Quote{}, fmt.Errorf("plan %q is not in the catalogue", q.Plan)
	case s == nil && (q.Cancel || target.Free()):
		return quoteOf(&stripe.Invoice{}), nil
	case s == nil:
		return c.quoteNew(ctx, q, target, offered)
	case q.Cancel, target.Free() && q.AtPeriodEnd:
		return c.quoteEnd(ctx, s)
	case target.Free():
		now, err := c.upcoming(ctx, s, &stripe.InvoiceUpcomingParams{SubscriptionCancelNow: stripe.Bool(true)})
		if err != nil {
			return query.Quote{}, err
		}
		out := quoteOf(now)
		out.DueNowCents = movedBy(now)
		return out, nil
	case q.Plan == s.Plan:
		next := &stripe.InvoiceUpcomingParams{Coupon: offered.param()}
		if s.CancelAtPeriodEnd && q.Stays {
			next.SubscriptionCancelAtPeriodEnd = stripe.Bool(false)
		}
		return c.quoteNext(ctx, s, next)
	}
	return c.quoteChange(ctx, q, target, offered)
}

// quoteNew is the first invoice of a subscription that is not there yet. To a customer that Stripe does not know it costs
// what the catalogue says.
func (c *Client) quoteNew(ctx context.Context, q plan.QuoteOf, target plans.Plan, offered offer) (query.Quote, error) {
	if q.CustomerID == "" {
		return query.Quote{
			Currency: plans.Currency, DueNowCents: offered.off(target.Cents), NextCents: offered.lasting().off(target.Cents),
			Lines: []query.Line{{Description: target.Name, AmountCents: target.Cents}},
		}, nil
	}
	price, err := c.priceOf(ctx, q.Plan)
	if err != nil {
		return query.Quote{}, err
	}
	first, err := c.preview(ctx, &stripe.InvoiceUpcomingParams{
		Customer: stripe.String(q.CustomerID), SubscriptionItems: []*stripe.SubscriptionItemsParams{{Price: stripe.String(price)}},
		Coupon: offered.param(),
	})
	if err != nil {
		return query.Quote{}, err
	}
	out := quoteOf(first)
	out.DueNowCents = first.AmountDue
	out.NextCents = max(0, offered.lasting().off(first.Subtotal)+balanceAfter(first))
	for _, line := range linesOf(first) {
		if line.Period != nil && c.planOf(line.Price) == q.Plan {
			out.NextAt = unix(line.Period.End)
		}
	}
	return out, nil
}

// quoteChange is a move to another price: now, with the difference invoiced at once, or when the period ends. An offer counts
// from the renewal on.
func (c *Client) quoteChange(ctx context.Context, q plan.QuoteOf, target plans.Plan, offered offer) (query.Quote, error) {
	s := q.Subscription
	price, err := c.priceOf(ctx, target.Name)
	if err != nil {
		return query.Quote{}, err
	}
	next, err := c.renewal(ctx, s, target, price, offered)
	if err != nil {
		return query.Quote{}, err
	}
	if q.AtPeriodEnd || s.Status == plan.Trialing {
		return nextOnly(s, next), nil
	}
	now, err := c.upcoming(ctx, s, changeTo(s, price, "always_invoice", offer{}))
	if err != nil {
		return query.Quote{}, err
	}
	out := quoteOf(now)
	out.DueNowCents, out.NextAt = movedBy(now), unix(s.CurrentPeriodEnd.Unix())
	out.NextCents = max(0, next.Total+balanceAfter(now))
	return out, nil
}

// renewal previews the invoice at the period's end with another price. A schedule that leads elsewhere would show through,
// although the change is to take its place: the plan's line is then exchanged by hand, or dropped for the plan that is none.
func (c *Client) renewal(ctx context.Context, s *plan.Subscription, target plans.Plan, price string, offered offer) (*stripe.Invoice, error) {
	if s.ScheduleID == "" {
		return c.upcoming(ctx, s, changeTo(s, price, "none", offered))
	}
	next, err := c.upcoming(ctx, s, &stripe.InvoiceUpcomingParams{})
	if err != nil || next.Lines == nil {
		return next, err
	}
	next.Lines.Data = slices.DeleteFunc(next.Lines.Data, func(line *stripe.InvoiceLineItem) bool {
		if name := c.planOf(line.Price); line.Proration || name == "" || name == target.Name {
			return false
		}
		next.Total += target.Cents - line.Amount
		line.Amount, line.Description = target.Cents, target.Name
		return target.Free()
	})
	next.AmountDue = max(0, next.Total+next.StartingBalance)
	return next, nil
}

func changeTo(s *plan.Subscription, price, proration string, offered offer) *stripe.InvoiceUpcomingParams {
	return &stripe.InvoiceUpcomingParams{
		SubscriptionItems:             []*stripe.SubscriptionItemsParams{{ID: stripe.String(s.ItemID), Price: stripe.String(price)}},
		SubscriptionProrationBehavior: stripe.String(proration),
		Coupon:                        offered.param(),
	}
}

// quoteEnd is what is still invoiced when the subscription ends with its period: usage.
func (c *Client) quoteEnd(ctx context.Context, s *plan.Subscription) (query.Quote, error) {
	if s.ScheduleID == "" {
		return c.quoteNext(ctx, s, &stripe.InvoiceUpcomingParams{SubscriptionCancelAtPeriodEnd: stripe.Bool(true)})
	}
	last, err := c.renewal(ctx, s, plans.Plan{}, "", offer{})
	if err != nil {
		return query.Quote{}, err
	}
	return nextOnly(s, last), nil
}

// quoteNext is a change that costs nothing now.
func (c *Client) quoteNext(ctx context.Context, s *plan.Subscription, change *stripe.InvoiceUpcomingParams) (query.Quote, error) {
	next, err := c.upcoming(ctx, s, change)
	if err != nil {
		return query.Quote{}, err
	}
	return nextOnly(s, next), nil
}

func nextOnly(s *plan.Subscription, next *stripe.Invoice) query.Quote {
	out := quoteOf(next)
	out.NextCents = next.AmountDue
	if len(out.Lines) > 0 {
		out.NextAt = unix(s.CurrentPeriodEnd.Unix())
	}
	return out
}

// upcoming previews the subscription's next invoice after a change. Whoever goes on paying is not cancelled any more.
func (c *Client) upcoming(ctx context.Context, s *plan.Subscription, change *stripe.InvoiceUpcomingParams) (*stripe.Invoice, error) {
	change.Subscription = stripe.String(s.ID)
	if s.CancelAtPeriodEnd && len(change.SubscriptionItems) > 0 {
		change.SubscriptionCancelAtPeriodEnd = stripe.Bool(false)
	}
	return c.preview(ctx, change)
}

// preview is an empty invoice when Stripe would make none.
func (c *Client) preview(ctx context.Context, params *stripe.InvoiceUpcomingParams) (*stripe.Invoice, error) {
	params.Context = ctx
	made, err := c.invoices.Upcoming(params)
	switch {
	case isCode(err, stripe.ErrorCodeInvoiceUpcomingNone):
		return &stripe.Invoice{}, nil
	case err != nil:
		return nil, c.translate(ctx, "preview an invoice", err)
	}
	return made, nil
}

// movedBy is what an invoice takes, or gives to the customer's balance as a negative amount.
func movedBy(i *stripe.Invoice) int64 {
	if i.Total < 0 {
		return i.Total
	}
	return i.AmountDue
}

// balanceAfter is the customer's balance once the invoice is settled; a negative one is credit.
func balanceAfter(i *stripe.Invoice) int64 {
	return i.StartingBalance + i.Total - i.AmountDue
}

func quoteOf(i *stripe.Invoice) query.Quote {
	out := query.Quote{Currency: plans.Currency, Lines: []query.Line{}}
	for _, line := range linesOf(i) {
		out.Lines = append(out.Lines, query.Line{
			Description: line.Description, AmountCents: line.Amount, Proration: line.Proration,
		})
	}
	return out
}

// linesOf is empty for the invoice that preview returns when there is none.
func linesOf(i *stripe.Invoice) []*stripe.InvoiceLineItem {
	if i.Lines == nil {
		return nil
	}
	return i.Lines.Data
}

func unix(seconds int64) *time.Time {
	at := time.Unix(seconds, 0).UTC()
	return &at
}
