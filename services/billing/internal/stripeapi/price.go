package stripeapi

import (
	"context"
	"fmt"
	"strconv"

	"github.com/stripe/stripe-go/v76"

	"tenure/shared/plans"
)

// Metadata on a price tell what it is for, even after its lookup key went to a newer price.
const (
	metaPlan   = "tenure_plan"
	metaMetric = "tenure_metric"
)

// planKey finds a plan's price at Stripe, whatever id it has there.
func planKey(name string) string { return "tenure_" + name + "_monthly" }

// usageKey finds a metric's price.
func usageKey(metric string) string { return "tenure_usage_" + metric }

// priceOf returns the id of the plan's price, and makes product and price when Stripe has none yet.
func (c *Client) priceOf(ctx context.Context, name string) (string, error) {
	p, ok := c.catalogue.Find(name)
	if !ok || p.Free() {
		return "", fmt.Errorf("plan %q has no price", name)
	}
	return c.price(ctx, float64(p.Cents), &stripe.PriceParams{
		UnitAmount:  stripe.Int64(p.Cents),
		LookupKey:   stripe.String(planKey(name)),
		Metadata:    map[string]string{metaPlan: name},
		ProductData: &stripe.PriceProductDataParams{Name: stripe.String("Tenure " + name)},
		Recurring:   &stripe.PriceRecurringParams{Interval: stripe.String(string(stripe.PriceRecurringIntervalMonth))},
	})
}

// usagePrice is priceOf for a metric. Stripe charges the last total that was reported of a period, so that a report that
// arrives twice charges once.
func (c *Client) usagePrice(ctx context.Context, u plans.UsagePrice) (string, error) {
	return c.price(ctx, u.Cents, &stripe.PriceParams{
		UnitAmountDecimal: stripe.Float64(u.Cents),
		LookupKey:         stripe.String(usageKey(u.Metric)),
		Metadata:          map[string]string{metaMetric: u.Metric},
		ProductData:       &stripe.PriceProductDataParams{Name: stripe.String("Tenure " + u.Metric)},
		Recurring: &stripe.PriceRecurringParams{
			Interval:       stripe.String(string(stripe.PriceRecurringIntervalMonth)),
			UsageType:      stripe.String(string(stripe.PriceRecurringUsageTypeMetered)),
			AggregateUsage: stripe.String(string(stripe.PriceRecurringAggregateUsageLastDuringPeriod)),
		},
	})
}

// price finds a price by its lookup key, or makes it. A price at Stripe never changes its amount: for another one the
// lookup key moves on to a new price, and who subscribed before goes on paying the old one.
func (c *Client) price(ctx context.Context, cents float64, wanted *stripe.PriceParams) (string, error) {
	key := *wanted.LookupKey
	c.mu.Lock()
	id, known := c.priceIDs[key]
	c.mu.Unlock()
	if known {
		return id, nil
	}
	found := c.prices.List(&stripe.PriceListParams{
		ListParams: list(ctx), Active: stripe.Bool(true), LookupKeys: []*string{stripe.String(key)},
	})
	if found.Next() && found.Price().UnitAmountDecimal == cents && found.Price().Currency == plans.Currency {
		id = found.Price().ID
	}
	if err := found.Err(); err != nil {
		return "", c.translate(ctx, "find price "+key, err)
	}
	if id == "" {
		// Two processes that start at once use the same idempotency key and get the same price.
		wanted.Params = write(ctx, "tenure/price/"+key+"/"+strconv.FormatFloat(cents, 'f', -1, 64))
		wanted.Currency, wanted.TransferLookupKey = stripe.String(plans.Currency), stripe.Bool(true)
		made, err := c.prices.New(wanted)
		if err != nil {
			return "", c.translate(ctx, "create price "+key, err)
		}
		id = made.ID
	}
	c.mu.Lock()
	c.priceIDs[key] = id
	c.mu.Unlock()
	return id, nil
}

// planOf is the plan that a price belongs to, empty when it is none of ours or charges for usage.
func (c *Client) planOf(p *stripe.Price) string {
	if p == nil || metered(p) {
		return ""
	}
	if name := p.Metadata[metaPlan]; name != "" {
		return name
	}
	for _, known := range c.catalogue {
		if p.LookupKey == planKey(known.Name) {
			return known.Name
		}
	}
	return ""
}

// metricOf is the metric that a price charges for, empty when it is none of ours.
func (c *Client) metricOf(p *stripe.Price) string {
	if p == nil || !metered(p) {
		return ""
	}
	if metric := p.Metadata[metaMetric]; metric != "" {
		return metric
	}
	for _, known := range c.usage {
		if p.LookupKey == usageKey(known.Metric) {
			return known.Metric
		}
	}
	return ""
}

func metered(p *stripe.Price) bool {
	return p.Recurring != nil && p.Recurring.UsageType == stripe.PriceRecurringUsageTypeMetered
}
