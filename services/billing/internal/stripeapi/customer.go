package stripeapi

import (
	"context"
	"strconv"

	"github.com/stripe/stripe-go/v76"
)

// CreateCustomer makes a customer without any personal data: that is the vault's.
func (c *Client) CreateCustomer(ctx context.Context, key, tenant string, generation int64) (string, error) {
	made, err := c.customers.New(&stripe.CustomerParams{Params: write(ctx, key), Metadata: owner(tenant, generation)})
	if err != nil {
		return "", c.translate(ctx, "create customer", err)
	}
	return made.ID, nil
}

func owner(tenant string, generation int64) map[string]string {
	return map[string]string{metaTenant: tenant, metaGeneration: strconv.FormatInt(generation, 10)}
}

// DeleteCustomer implements app.Stripe. It takes no idempotency key: Stripe has none for deletes, which may be repeated
// (https://docs.stripe.com/api/customers/delete).
func (c *Client) DeleteCustomer(ctx context.Context, customerID string) error {
	_, err := c.customers.Del(customerID, &stripe.CustomerParams{Params: stripe.Params{Context: ctx}})
	if isMissing(err) {
		return nil
	}
	return c.translate(ctx, "delete customer "+customerID, err)
}

// CustomerExists implements app.Stripe. Stripe goes on answering for customers that are deleted.
func (c *Client) CustomerExists(ctx context.Context, customerID string) (bool, error) {
	found, err := c.customers.Get(customerID, &stripe.CustomerParams{Params: stripe.Params{Context: ctx}})
	if isMissing(err) {
		return false, nil
	}
	if err != nil {
		return false, c.translate(ctx, "read customer "+customerID, err)
	}
	return !found.Deleted, nil
}
