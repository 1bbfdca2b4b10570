package stripeapi

import (
	"context"
	"fmt"
	"strconv"

	"github.com/stripe/stripe-go/v76"

	"tenure/shared/plans"
)

// metaPlan on a price tells its plan, even after its lookup key went to a newer price.
const metaPlan = "tenure_plan"

// lookupKey finds a plan's price at Stripe, whatever id it has there.
func lookupKey(name string) string { return "tenure_" + name + "_monthly" }

// priceOf returns the id of the plan's price, and makes product and price when Stripe has none yet.
func (c *Client) priceOf(ctx context.Context, name string) (string, error) {
	c.mu.Lock()
	id, known := c.priceIDs[name]
	c.mu.Unlock()
	if known {
		return id, nil
	}
	p, ok := c.catalogue.Find(name)
	if !ok || p.Free() {
		return "", fmt.Errorf("plan %q has no price", name)
	}
	id, err := c.findPrice(ctx, p)
	if err == nil && id == "" {
		id, err = c.createPrice(ctx, p)
	}
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	c.priceIDs[name] = id
	c.mu.Unlock()
	return id, nil
}

func (c *Client) findPrice(ctx context.Context, p plans.Plan) (string, error) {
	found := c.prices.List(&stripe.PriceListParams{
		ListParams: list(ctx), Active: stripe.Bool(true), LookupKeys: []*string{stripe.String(lookupKey(p.Name))},
	})
	if found.Next() {
		return found.Price().ID, nil
	}
	return "", translate(ctx, "find price of "+p.Name, found.Err())
}

func (c *Client) createPrice(ctx context.Context, p plans.Plan) (string, error) {
	// Two processes that start at once use the same key and get the same price.
	key := "tenure/price/" + lookupKey(p.Name) + "/" + strconv.FormatInt(p.Cents, 10)
	made, err := c.prices.New(&stripe.PriceParams{
		Params:      write(ctx, key),
		Currency:    stripe.String(plans.Currency),
		UnitAmount:  stripe.Int64(p.Cents),
		LookupKey:   stripe.String(lookupKey(p.Name)),
		Metadata:    map[string]string{metaPlan: p.Name},
		ProductData: &stripe.PriceProductDataParams{Name: stripe.String("Tenure " + p.Name)},
		Recurring:   &stripe.PriceRecurringParams{Interval: stripe.String(string(stripe.PriceRecurringIntervalMonth))},
	})
	if err != nil {
		return "", translate(ctx, "create price of "+p.Name, err)
	}
	return made.ID, nil
}

// planOf is the plan that a price belongs to, empty when it is none of ours.
func (c *Client) planOf(p *stripe.Price) string {
	if p == nil {
		return ""
	}
	if name := p.Metadata[metaPlan]; name != "" {
		return name
	}
	for _, known := range c.catalogue {
		if p.LookupKey == lookupKey(known.Name) {
			return known.Name
		}
	}
	return ""
}
