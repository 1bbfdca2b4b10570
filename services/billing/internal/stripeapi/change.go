package stripeapi

import (
	"context"
	"fmt"

	"github.com/stripe/stripe-go/v76"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
)

// ChangePlan implements app.Stripe. It leaves no metadata: Stripe takes none together with an update that waits for its
// payment. Whether it was done shows in the price, what it charged in the invoices since. Items beside the plan's, and
// what was used of them, stay as they are.
func (c *Client) ChangePlan(ctx context.Context, key string, s plan.Subscription, change plan.Change, to string) (plan.Subscription, error) {
	price, err := c.priceOf(ctx, to)
	if err != nil {
		return plan.Subscription{}, err
	}
	params := &stripe.SubscriptionParams{
		Params: write(ctx, key),
		Items:  []*stripe.SubscriptionItemsParams{{ID: stripe.String(s.ItemID), Price: stripe.String(price)}},
		Expand: stripe.StringSlice([]string{"latest_invoice.payment_intent", "schedule"}),
	}
	switch change {
	case plan.Raise:
		params.ProrationBehavior = stripe.String("always_invoice")
		params.PaymentBehavior = stripe.String("pending_if_incomplete")
	case plan.Reinstate:
		params.ProrationBehavior = stripe.String("always_invoice")
		params.PaymentBehavior = stripe.String("allow_incomplete")
	case plan.Lower:
		// Invoiced at once, the credit is on the customer's balance, to the cent what an undo has to take back.
		params.ProrationBehavior = stripe.String("always_invoice")
	default:
		params.ProrationBehavior = stripe.String("none")
	}
	changed, err := c.subscriptions.Update(s.ID, params)
	if err != nil {
		return plan.Subscription{}, c.translate(ctx, "change plan to "+to, err)
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
		return plan.Subscription{}, c.translate(ctx, "void invoice "+s.LatestInvoice.ID, err)
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
