package stripeapi

import (
	"context"
	"fmt"
	"time"

	"github.com/stripe/stripe-go/v76"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
)

// Subscriptions implements app.Stripe. Those that were cancelled are left out.
func (c *Client) Subscriptions(ctx context.Context, customerID string) ([]plan.Subscription, error) {
	var out []plan.Subscription
	params := &stripe.SubscriptionListParams{ListParams: list(ctx), Customer: stripe.String(customerID)}
	params.AddExpand("data.latest_invoice")
	all := c.subscriptions.List(params)
	for all.Next() {
		out = append(out, c.fromStripe(all.Subscription()))
	}
	if err := all.Err(); err != nil {
		return nil, translate(ctx, "list subscriptions of "+customerID, err)
	}
	return out, nil
}

func (c *Client) fromStripe(s *stripe.Subscription) plan.Subscription {
	out := plan.Subscription{
		ID: s.ID, Status: string(s.Status), CancelAtPeriodEnd: s.CancelAtPeriodEnd,
		Created: time.Unix(s.Created, 0).UTC(), CurrentPeriodEnd: time.Unix(s.CurrentPeriodEnd, 0).UTC(),
	}
	if s.Customer != nil {
		out.CustomerID = s.Customer.ID
	}
	if s.LatestInvoice != nil {
		out.LatestInvoice, out.InvoiceStatus = s.LatestInvoice.ID, string(s.LatestInvoice.Status)
	}
	if s.Items == nil {
		return out
	}
	for _, item := range s.Items.Data { // beside the plan's item there may be add-ons
		if name := c.planOf(item.Price); name != "" {
			out.Plan, out.ItemID = name, item.ID
			break
		}
	}
	return out
}

// Subscribe implements app.Stripe.
func (c *Client) Subscribe(ctx context.Context, key string, s app.NewSubscription) (plan.Subscription, error) {
	price, err := c.priceOf(ctx, s.Plan)
	if err != nil {
		return plan.Subscription{}, err
	}
	params := &stripe.SubscriptionParams{
		Params:          write(ctx, key),
		Customer:        stripe.String(s.CustomerID),
		Items:           []*stripe.SubscriptionItemsParams{{Price: stripe.String(price)}},
		Metadata:        owner(s.Tenant, s.Generation),
		PaymentBehavior: stripe.String("allow_incomplete"),
	}
	if s.MustPay {
		params.PaymentBehavior = stripe.String("error_if_incomplete")
	}
	if s.TrialEnd != nil {
		params.TrialEnd = stripe.Int64(s.TrialEnd.Unix())
	}
	made, err := c.subscriptions.New(params)
	if isInvalid(err, "trial_end") && s.TrialDays > 0 {
		// The trial's end is no longer ahead of Stripe's clock: we were held up for longer than the trial. It is given anew.
		params.TrialEnd, params.TrialPeriodDays = nil, stripe.Int64(int64(s.TrialDays))
		params.IdempotencyKey = stripe.String(key + "/days")
		made, err = c.subscriptions.New(params)
	}
	if err != nil {
		return plan.Subscription{}, translate(ctx, "subscribe to "+s.Plan, err)
	}
	return c.fromStripe(made), nil
}

// ChangePlan implements app.Stripe. It leaves no metadata: Stripe takes none together with an update that waits for its
// payment. Whether it was done shows in the price, what it charged in the invoices since.
func (c *Client) ChangePlan(ctx context.Context, key string, s plan.Subscription, change plan.Change, to string) (plan.Subscription, error) {
	price, err := c.priceOf(ctx, to)
	if err != nil {
		return plan.Subscription{}, err
	}
	params := &stripe.SubscriptionParams{
		Params: write(ctx, key),
		Items:  []*stripe.SubscriptionItemsParams{{ID: stripe.String(s.ItemID), Price: stripe.String(price)}},
		Expand: []*string{stripe.String("latest_invoice.payment_intent")},
	}
	switch change {
	case plan.Raise:
		params.ProrationBehavior = stripe.String("always_invoice")
		params.PaymentBehavior = stripe.String("pending_if_incomplete")
	case plan.Lower:
		// Invoiced at once, the credit is on the customer's balance, to the cent what an undo has to take back.
		params.ProrationBehavior = stripe.String("always_invoice")
	default:
		params.ProrationBehavior = stripe.String("none")
	}
	changed, err := c.subscriptions.Update(s.ID, params)
	if err != nil {
		return plan.Subscription{}, translate(ctx, "change plan to "+to, err)
	}
	if changed.PendingUpdate != nil {
		return c.discard(ctx, key, changed)
	}
	return c.fromStripe(changed), nil
}

// discard drops an update that waits for its payment: voiding the invoice drops it and leaves nothing to pay.
func (c *Client) discard(ctx context.Context, key string, s *stripe.Subscription) (plan.Subscription, error) {
	if s.LatestInvoice == nil {
		return plan.Subscription{}, fmt.Errorf("subscription %s waits for a payment without an invoice", s.ID)
	}
	reason := declineReason(s.LatestInvoice)
	_, err := c.invoices.VoidInvoice(s.LatestInvoice.ID, &stripe.InvoiceVoidInvoiceParams{Params: write(ctx, key+"/void")})
	if isInvalid(err, "") {
		// Not open any more: voided by a try of ours whose end we did not see, or paid this very moment.
		live, err := c.get(ctx, s.ID)
		if err != nil || live.LatestInvoice != nil && live.LatestInvoice.Status == stripe.InvoiceStatusPaid {
			return c.fromStripe(live), err
		}
		return plan.Subscription{}, &app.Refused{Reason: reason}
	}
	if err != nil {
		return plan.Subscription{}, translate(ctx, "void invoice "+s.LatestInvoice.ID, err)
	}
	return plan.Subscription{}, &app.Refused{Reason: reason}
}

func declineReason(i *stripe.Invoice) string {
	intent := i.PaymentIntent
	switch {
	case intent == nil:
		return "The payment was not completed."
	case intent.LastPaymentError != nil && intent.LastPaymentError.Msg != "":
		return intent.LastPaymentError.Msg
	}
	return "The payment was not completed: it is " + string(intent.Status) + "."
}

func (c *Client) get(ctx context.Context, id string) (*stripe.Subscription, error) {
	s, err := c.subscriptions.Get(id, &stripe.SubscriptionParams{
		Params: stripe.Params{Context: ctx}, Expand: []*string{stripe.String("latest_invoice")},
	})
	if err != nil {
		return &stripe.Subscription{}, translate(ctx, "get subscription "+id, err)
	}
	return s, nil
}

// CancelAtPeriodEnd implements app.Stripe.
func (c *Client) CancelAtPeriodEnd(ctx context.Context, key, id string, cancel bool) (plan.Subscription, error) {
	s, err := c.subscriptions.Update(id, &stripe.SubscriptionParams{
		Params: write(ctx, key), CancelAtPeriodEnd: stripe.Bool(cancel),
	})
	if err != nil {
		return plan.Subscription{}, translate(ctx, "set cancel_at_period_end of "+id, err)
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
	if isCode(err, stripe.ErrorCodeResourceMissing) {
		return plan.Subscription{ID: id, Status: plan.Canceled}, nil
	}
	if err != nil {
		return plan.Subscription{}, translate(ctx, "cancel "+id, err)
	}
	return c.fromStripe(s), nil
}
