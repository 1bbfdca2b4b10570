package stripeapi

import (
	"context"
	"fmt"
	"time"

	"github.com/stripe/stripe-go/v76"

	"tenure/services/billing/internal/plan"
)

// AddUsageItem adds the metric's metered item to a subscription that was made without it, and returns the item's id. One
// that is there already is returned as it is.
func (c *Client) AddUsageItem(ctx context.Context, key, subscriptionID, metric string) (string, error) {
	price, err := c.priceOfMetric(ctx, metric)
	if err != nil {
		return "", err
	}
	live, err := c.get(ctx, subscriptionID)
	if err != nil {
		return "", err
	}
	if id := c.fromStripe(live).Usage[metric]; id != "" {
		return id, nil
	}
	made, err := c.items.New(&stripe.SubscriptionItemParams{
		Params: write(ctx, key), Subscription: stripe.String(subscriptionID), Price: stripe.String(price),
		ProrationBehavior: stripe.String("none"),
	})
	if err != nil {
		return "", c.translate(ctx, "add the item of "+metric+" to "+subscriptionID, err)
	}
	live.Items.Data = append(live.Items.Data, made)
	return made.ID, c.keepItems(ctx, key+"/phases", live)
}

// keepItems writes the phases of a schedule of ours again: the phase ahead would take away what it does not name.
func (c *Client) keepItems(ctx context.Context, key string, live *stripe.Subscription) error {
	to := c.fromStripe(live).ScheduledPlan
	if to == "" {
		return nil
	}
	price, err := c.priceOf(ctx, to)
	if err != nil {
		return err
	}
	err = c.setPhases(ctx, key, live, to, price)
	return c.translate(ctx, "set the phases of "+live.Schedule.ID, err)
}

func (c *Client) priceOfMetric(ctx context.Context, metric string) (string, error) {
	for _, u := range c.usage {
		if u.Metric == metric {
			return c.usagePrice(ctx, u)
		}
	}
	return "", fmt.Errorf("metric %q has no price", metric)
}

// SetUsage tells Stripe the total of a metered item at a moment, which has to lie in the item's current period and not
// ahead of Stripe's clock; the zero time is Stripe's own now. A later total of the period takes the place of an earlier one.
func (c *Client) SetUsage(ctx context.Context, key, itemID string, total int64, at time.Time) error {
	params := &stripe.UsageRecordParams{
		Params: write(ctx, key), SubscriptionItem: stripe.String(itemID),
		Quantity: stripe.Int64(total), Action: stripe.String(stripe.UsageRecordActionSet),
	}
	if at.IsZero() {
		params.TimestampNow = stripe.Bool(true)
	} else {
		params.Timestamp = stripe.Int64(at.Unix())
	}
	_, err := c.records.New(params)
	return c.translate(ctx, "set the usage of "+itemID, err)
}

// UsagePeriods returns what Stripe holds of a metered item, period by period, the newest first: the current one, and those
// that were invoiced.
func (c *Client) UsagePeriods(ctx context.Context, itemID string) ([]plan.UsagePeriod, error) {
	var out []plan.UsagePeriod
	all := c.summaries.List(&stripe.UsageRecordSummaryListParams{
		ListParams: list(ctx), SubscriptionItem: stripe.String(itemID),
	})
	for all.Next() {
		summary := all.UsageRecordSummary()
		period := plan.UsagePeriod{Total: summary.TotalUsage, InvoiceID: summary.Invoice}
		if of := summary.Period; of != nil {
			period.Start, period.End = time.Unix(of.Start, 0).UTC(), time.Unix(of.End, 0).UTC()
		}
		out = append(out, period)
	}
	if err := all.Err(); err != nil {
		return nil, c.translate(ctx, "list the usage of "+itemID, err)
	}
	return out, nil
}
