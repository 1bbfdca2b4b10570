package stripeapi

import (
	"context"
	"fmt"

	"github.com/stripe/stripe-go/v76"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
	"tenure/shared/fault"
)

// Schedule lets Stripe move the subscription to the plan called to when its period ends, and charge the next period at
// the new price without proration. It makes a schedule of the subscription and then gives it its phases: Stripe takes
// the two in no other way ("Subscription schedules", from_subscription). One that was left half made is completed, and
// one that leads to another plan is led to this one.
func (c *Client) Schedule(ctx context.Context, key string, s plan.Subscription, to string) (plan.Subscription, error) {
	live, err := c.get(ctx, s.ID)
	if err != nil {
		return plan.Subscription{}, err
	}
	if c.fromStripe(live).ScheduledPlan == to {
		return c.fromStripe(live), nil
	}
	price, err := c.priceOf(ctx, to)
	if err != nil {
		return plan.Subscription{}, err
	}
	if live.Schedule == nil {
		live.Schedule, err = c.schedules.New(&stripe.SubscriptionScheduleParams{
			Params: write(ctx, key+"/create"), FromSubscription: stripe.String(live.ID),
		})
		if err != nil {
			return plan.Subscription{}, c.translate(ctx, "make a schedule of "+live.ID, err)
		}
	}
	refused := c.setPhases(ctx, key+"/phases", live, to, price)
	if refused != nil && !isInvalid(refused, "") {
		return plan.Subscription{}, c.translate(ctx, "set the phases of "+live.Schedule.ID, refused)
	}
	if live, err = c.get(ctx, s.ID); err != nil {
		return plan.Subscription{}, err
	}
	out := c.fromStripe(live)
	switch {
	case out.ScheduleID == "":
		// It was released since: what came were the old answers, repeated for their key. With another key it is made anew.
		err = fmt.Errorf("%w: the schedule of %s is over", app.ErrKeySpent, s.ID)
		return plan.Subscription{}, fault.RetryAfter(err, c.patience.failed())
	case refused != nil:
		return plan.Subscription{}, c.translate(ctx, "set the phases of "+out.ScheduleID, refused)
	}
	return out, nil
}

// setPhases makes what is live now the schedule's first phase and the plan called to its second. Past phases may be left
// out, the current one keeps its start. After the second phase's first period Stripe lets the subscription go on by itself.
// The error is Stripe's.
func (c *Client) setPhases(ctx context.Context, key string, live *stripe.Subscription, to, price string) error {
	now, next := c.phase(live, ""), c.phase(live, price)
	now.StartDate, now.EndDate = stripe.Int64(live.CurrentPeriodStart), stripe.Int64(live.CurrentPeriodEnd)
	if current := live.Schedule.CurrentPhase; current != nil {
		now.StartDate = stripe.Int64(current.StartDate)
	}
	if live.Status == stripe.SubscriptionStatusTrialing {
		now.TrialEnd = stripe.Int64(live.TrialEnd)
	}
	next.Iterations = stripe.Int64(1)
	_, err := c.schedules.Update(live.Schedule.ID, &stripe.SubscriptionScheduleParams{
		Params:            write(ctx, key),
		Phases:            []*stripe.SubscriptionSchedulePhaseParams{now, next},
		EndBehavior:       stripe.String(string(stripe.SubscriptionScheduleEndBehaviorRelease)),
		ProrationBehavior: stripe.String("none"),
		Metadata:          map[string]string{metaPlan: to, metaTenant: live.Metadata[metaTenant]},
	})
	return err
}

// phase has the subscription's items, with the plan's price exchanged unless price is empty. A discount that a phase does
// not name would be lost with it.
func (c *Client) phase(live *stripe.Subscription, price string) *stripe.SubscriptionSchedulePhaseParams {
	out := &stripe.SubscriptionSchedulePhaseParams{ProrationBehavior: stripe.String("none")}
	if live.Discount != nil && live.Discount.Coupon != nil {
		out.Coupon = stripe.String(live.Discount.Coupon.ID)
	}
	for _, item := range live.Items.Data {
		of := &stripe.SubscriptionSchedulePhaseItemParams{Price: stripe.String(item.Price.ID)}
		if !metered(item.Price) {
			of.Quantity = stripe.Int64(item.Quantity)
		}
		if price != "" && c.planOf(item.Price) != "" {
			of.Price = stripe.String(price)
		}
		out.Items = append(out.Items, of)
	}
	return out
}

// Unschedule lets go of the subscription's schedule, whoever made it: the subscription stays as it is now. One that is
// over already is fine.
func (c *Client) Unschedule(ctx context.Context, key string, s plan.Subscription) (plan.Subscription, error) {
	if s.ScheduleID == "" {
		return s, nil
	}
	_, refused := c.schedules.Release(s.ScheduleID, &stripe.SubscriptionScheduleReleaseParams{Params: write(ctx, key)})
	if refused != nil && !isInvalid(refused, "") {
		return plan.Subscription{}, c.translate(ctx, "release "+s.ScheduleID, refused)
	}
	live, err := c.get(ctx, s.ID)
	if err != nil {
		return plan.Subscription{}, err
	}
	out := c.fromStripe(live)
	if refused != nil && out.ScheduleID == s.ScheduleID {
		return plan.Subscription{}, c.translate(ctx, "release "+s.ScheduleID, refused)
	}
	return out, nil
}

// scheduledPlan is what a schedule of ours goes over to; empty when it is over, half made, or somebody else's.
func scheduledPlan(s *stripe.SubscriptionSchedule) string {
	if s.Status != stripe.SubscriptionScheduleStatusActive && s.Status != stripe.SubscriptionScheduleStatusNotStarted {
		return ""
	}
	return s.Metadata[metaPlan]
}
