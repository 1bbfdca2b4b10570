package stripeapi

import (
	"context"
	"iter"
	"strconv"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/subscription"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
)

// Subscriptions implements app.Stripe. Those that were cancelled are left out.
func (c *Client) Subscriptions(ctx context.Context, customerID string) ([]plan.Subscription, error) {
	var out []plan.Subscription
	all := c.listSubscriptions(ctx, stripe.String(customerID))
	for all.Next() {
		out = append(out, c.fromStripe(all.Subscription()))
	}
	if err := all.Err(); err != nil {
		return nil, c.translate(ctx, "list subscriptions of "+customerID, err)
	}
	return out, nil
}

// AllSubscriptions walks through every subscription of every customer that has not ended. The walk ends with the first
// error. Those that begin or end while it lasts may be missing.
func (c *Client) AllSubscriptions(ctx context.Context) iter.Seq2[plan.Subscription, error] {
	return func(yield func(plan.Subscription, error) bool) {
		all := c.listSubscriptions(ctx, nil)
		for all.Next() {
			s := c.fromStripe(all.Subscription())
			if s.Status != plan.IncompleteExpired && !yield(s, nil) {
				return
			}
		}
		if err := all.Err(); err != nil {
			yield(plan.Subscription{}, c.translate(ctx, "list all subscriptions", err))
		}
	}
}

func (c *Client) listSubscriptions(ctx context.Context, customerID *string) *subscription.Iter {
	return c.subscriptions.List(&stripe.SubscriptionListParams{
		ListParams: list(ctx), Customer: customerID,
		Expand: stripe.StringSlice([]string{"data.latest_invoice", "data.schedule"}),
	})
}

func (c *Client) fromStripe(s *stripe.Subscription) plan.Subscription {
	out := plan.Subscription{
		ID: s.ID, Status: string(s.Status), CancelAtPeriodEnd: s.CancelAtPeriodEnd,
		Created:            time.Unix(s.Created, 0).UTC(),
		CurrentPeriodStart: time.Unix(s.CurrentPeriodStart, 0).UTC(),
		CurrentPeriodEnd:   time.Unix(s.CurrentPeriodEnd, 0).UTC(),
		Tenant:             s.Metadata[metaTenant],
		RedeemedBy:         s.Metadata[metaRedeemedBy],
	}
	if s.Discount != nil && s.Discount.Coupon != nil {
		out.Coupon = s.Discount.Coupon.ID
	}
	out.Generation, _ = strconv.ParseInt(s.Metadata[metaGeneration], 10, 64) // 0 when a person has spoilt it
	if s.Customer != nil {
		out.CustomerID = s.Customer.ID
	}
	if s.LatestInvoice != nil {
		out.LatestInvoice, out.InvoiceStatus = s.LatestInvoice.ID, string(s.LatestInvoice.Status)
	}
	if s.Items != nil {
		c.readItems(&out, s.Items.Data)
	}
	if s.Schedule != nil {
		out.ScheduleID = s.Schedule.ID
		if to := scheduledPlan(s.Schedule); to != out.Plan {
			out.ScheduledPlan = to // the same: its phase has begun, nothing is ahead any more
		}
	}
	return out
}

// readItems sorts items into the plan's, the metered ones and add-ons, which are of no interest.
func (c *Client) readItems(out *plan.Subscription, items []*stripe.SubscriptionItem) {
	for _, item := range items {
		if name := c.planOf(item.Price); name != "" && out.Plan == "" {
			out.Plan, out.ItemID = name, item.ID
		}
		if metric := c.metricOf(item.Price); metric != "" {
			if out.Usage == nil {
				out.Usage = map[string]string{}
			}
			out.Usage[metric] = item.ID
		}
	}
}

// Subscribe implements app.Stripe.
func (c *Client) Subscribe(ctx context.Context, key string, s app.NewSubscription) (plan.Subscription, error) {
	items, err := c.newItems(ctx, s.Plan)
	if err != nil {
		return plan.Subscription{}, err
	}
	params := &stripe.SubscriptionParams{
		Params:          write(ctx, key),
		Customer:        stripe.String(s.CustomerID),
		Items:           items,
		Metadata:        owner(s.Tenant, s.Generation),
		PaymentBehavior: stripe.String("allow_incomplete"),
	}
	if s.MustPay {
		params.PaymentBehavior = stripe.String("error_if_incomplete")
	}
	if s.TrialEnd != nil {
		params.TrialEnd = stripe.Int64(s.TrialEnd.Unix())
	}
	if s.Coupon != "" {
		params.Coupon = stripe.String(s.Coupon)
	}
	made, err := c.subscriptions.New(params)
	if isInvalid(err, "trial_end") && s.TrialDays > 0 {
		// The trial's end is no longer ahead of Stripe's clock: we were held up for longer than the trial. It is given anew.
		params.TrialEnd, params.TrialPeriodDays = nil, stripe.Int64(int64(s.TrialDays))
		params.IdempotencyKey = stripe.String(key + "/days")
		made, err = c.subscriptions.New(params)
	}
	if isInvalid(err, paramCoupon) {
		return plan.Subscription{}, badCoupon(s.Coupon, err)
	}
	if err != nil {
		return plan.Subscription{}, c.translate(ctx, "subscribe to "+s.Plan, err)
	}
	return c.fromStripe(made), nil
}

// newItems are what a new subscription consists of: the plan, and what is charged by use.
func (c *Client) newItems(ctx context.Context, name string) ([]*stripe.SubscriptionItemsParams, error) {
	price, err := c.priceOf(ctx, name)
	if err != nil {
		return nil, err
	}
	items := []*stripe.SubscriptionItemsParams{{Price: stripe.String(price)}}
	for _, u := range c.usage {
		if price, err = c.usagePrice(ctx, u); err != nil {
			return nil, err
		}
		items = append(items, &stripe.SubscriptionItemsParams{Price: stripe.String(price)})
	}
	return items, nil
}

// get fetches a subscription as Subscriptions does.
func (c *Client) get(ctx context.Context, id string) (*stripe.Subscription, error) {
	s, err := c.subscriptions.Get(id, &stripe.SubscriptionParams{
		Params: stripe.Params{Context: ctx}, Expand: stripe.StringSlice([]string{"latest_invoice", "schedule"}),
	})
	if err != nil {
		return &stripe.Subscription{}, c.translate(ctx, "get subscription "+id, err)
	}
	return s, nil
}

// CancelAtPeriodEnd implements app.Stripe.
func (c *Client) CancelAtPeriodEnd(ctx context.Context, key, id string, cancel bool) (plan.Subscription, error) {
	s, err := c.subscriptions.Update(id, &stripe.SubscriptionParams{
		Params: write(ctx, key), CancelAtPeriodEnd: stripe.Bool(cancel),
	})
	if err != nil {
		return plan.Subscription{}, c.translate(ctx, "set cancel_at_period_end of "+id, err)
	}
	return c.fromStripe(s), nil
}

// Cancel implements app.Stripe. Stripe takes no idempotency key for it and needs none: ending twice is ending once.
func (c *Client) Cancel(ctx context.Context, id string, credit bool) (plan.Subscription, error) {
	params := &stripe.SubscriptionCancelParams{Params: stripe.Params{Context: ctx}}
	if credit {
		params.Prorate, params.InvoiceNow = stripe.Bool(true), stripe.Bool(true)
	}
	s, err := c.subscriptions.Cancel(id, params)
	if isMissing(err) {
		return plan.Subscription{ID: id, Status: plan.Canceled}, nil
	}
	if err != nil {
		return plan.Subscription{}, c.translate(ctx, "cancel "+id, err)
	}
	return c.fromStripe(s), nil
}
