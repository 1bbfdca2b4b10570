package stripeapi

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/stripe/stripe-go/v76"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
)

// paramCoupon is the parameter that Stripe names when it takes no coupon: there is none of that id, or it has expired or
// is used up (https://docs.stripe.com/api/coupons).
const paramCoupon = "coupon"

func badCoupon(id string, err error) error {
	reason := "it is not valid"
	var answer *stripe.Error
	if errors.As(err, &answer) {
		reason = answer.Msg
	}
	return &app.Refused{Reason: fmt.Sprintf("the coupon %q cannot be used: %s", id, reason)}
}

// CheckCoupon implements app.Stripe.
func (c *Client) CheckCoupon(ctx context.Context, id string) error {
	_, err := c.offerOf(ctx, id)
	return err
}

// Redeem implements app.Stripe. The metadata goes in the same call: a coupon that counts once leaves the subscription with
// its invoice, and would look as if it had never been there.
func (c *Client) Redeem(ctx context.Context, key, id, coupon, by string) (plan.Subscription, error) {
	s, err := c.subscriptions.Update(id, &stripe.SubscriptionParams{
		Params: write(ctx, key), Coupon: stripe.String(coupon), Metadata: map[string]string{metaRedeemedBy: by},
	})
	if isInvalid(err, paramCoupon) {
		return plan.Subscription{}, badCoupon(coupon, err)
	}
	if err != nil {
		return plan.Subscription{}, c.translate(ctx, "put a coupon on "+id, err)
	}
	return c.fromStripe(s), nil
}

// Forfeit implements app.Stripe.
func (c *Client) Forfeit(ctx context.Context, key, id string) (plan.Subscription, error) {
	s, err := c.subscriptions.Update(id, &stripe.SubscriptionParams{Params: write(ctx, key), Coupon: stripe.String("")})
	if err != nil {
		return plan.Subscription{}, c.translate(ctx, "take the coupon off "+id, err)
	}
	return c.fromStripe(s), nil
}

// offer is what a coupon does to invoices. The zero value does nothing.
type offer struct {
	id      string
	percent float64
	cents   int64
	once    bool
}

func (c *Client) offerOf(ctx context.Context, id string) (offer, error) {
	if id == "" {
		return offer{}, nil
	}
	found, err := c.coupons.Get(id, &stripe.CouponParams{Params: stripe.Params{Context: ctx}})
	if isMissing(err) {
		return offer{}, badCoupon(id, err)
	}
	if err != nil {
		return offer{}, c.translate(ctx, "read coupon "+id, err)
	}
	if !found.Valid {
		return offer{}, &app.Refused{Reason: fmt.Sprintf("the coupon %q cannot be used: it has expired, or is used up", id)}
	}
	return offer{id, found.PercentOff, found.AmountOff, found.Duration == stripe.CouponDurationOnce}, nil
}

// param is what a preview is asked with.
func (o offer) param() *string {
	if o.id == "" {
		return nil
	}
	return stripe.String(o.id)
}

// lasting is what of the offer is left for the invoice after the first one.
func (o offer) lasting() offer {
	if o.once {
		return offer{}
	}
	return o
}

// off is what is left to pay, in cents.
func (o offer) off(cents int64) int64 {
	return max(0, cents-o.cents-int64(math.Round(float64(cents)*o.percent/100)))
}
