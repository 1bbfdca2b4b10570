package client

import (
	"context"
	"time"
)

// Drift is what Stripe and the log do not agree about.
type Drift struct {
	Items []Difference `json:"items"`
	// Checked is how many lives of tenants, and customers that are nobody's, were compared.
	Checked int `json:"checked"`
	// More: more differs than one look takes in.
	More   bool  `json:"more"`
	TookMS int64 `json:"took_ms"`
}

// Difference is one of them.
type Difference struct {
	Tenant         string `json:"tenant"`
	Kind           string `json:"kind"`
	Detail         string `json:"detail"`
	SubscriptionID string `json:"subscription_id"`
	// Plan is the one that the tenant is on, LivePlan the one that Stripe charges for.
	Plan     string `json:"plan"`
	LivePlan string `json:"live_plan"`
	Healed   bool   `json:"healed"`
	// NeedsPerson: Tenure will not, or could not, set it right.
	NeedsPerson bool      `json:"needs_person"`
	FirstSeen   time.Time `json:"first_seen"`
}

// BillingDrift compares everything now and changes nothing. It takes as long as Stripe takes to list all subscriptions:
// with many thousands, give the Client an HTTP client that waits longer than New's for the answer to begin.
func (c *Client) BillingDrift(ctx context.Context) (Drift, error) {
	return get[Drift](ctx, c, "/v1/billing/drift", nil)
}

// HealBillingDrift is BillingDrift that sets right what can be set right without charging anybody.
func (c *Client) HealBillingDrift(ctx context.Context, opts ...Option) (Drift, error) {
	return post[Drift](ctx, c, "/v1/billing/drift/heal", nil, opts)
}
