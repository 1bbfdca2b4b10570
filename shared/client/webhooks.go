package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Webhook is an address of a tenant's own that is told what happens to the tenant.
type Webhook struct {
	ID  string `json:"id"`
	URL string `json:"url"`
	// Events are the types that are told, or their beginnings with * behind; none is all.
	Events      []string `json:"events"`
	Description string   `json:"description"`
	// Status is enabled, failing or disabled: for three days no call was taken, or the address answered 410.
	Status       string     `json:"status"`
	FailingSince *time.Time `json:"failing_since"`
	DisabledAt   *time.Time `json:"disabled_at"`
	CreatedAt    time.Time  `json:"created_at"`
	// Secret is what the calls are signed with (https://www.standardwebhooks.com); it is shown when it is made, and never again.
	Secret string `json:"secret,omitempty"`
}

// NewWebhook is the command for a webhook.
type NewWebhook struct {
	URL         string   `json:"url"`
	Events      []string `json:"events,omitempty"`
	Description string   `json:"description,omitempty"`
}

// AddWebhook has an address told what happens to a tenant. The answer alone has the secret.
func (c *Client) AddWebhook(ctx context.Context, tenant string, cmd NewWebhook, opts ...Option) (Webhook, error) {
	return post[Webhook](ctx, c, tenantPath(tenant, "/webhooks"), cmd, opts)
}

// Webhooks lists a tenant's webhooks, the oldest first. An error comes once, as the last.
func (c *Client) Webhooks(ctx context.Context, tenant string) iter.Seq2[Webhook, error] {
	return pages[Webhook](ctx, c, tenantPath(tenant, "/webhooks"), nil)
}

// RemoveWebhook forgets a webhook, and which calls it had.
func (c *Client) RemoveWebhook(ctx context.Context, tenant, id string, opts ...Option) error {
	return c.call(ctx, http.MethodDelete, webhookPath(tenant, id, ""), nil, &ignored{}, keyed(opts)...)
}

// EnableWebhook has a webhook called again that was switched off.
func (c *Client) EnableWebhook(ctx context.Context, tenant, id string, opts ...Option) error {
	_, err := post[ignored](ctx, c, webhookPath(tenant, id, "/enable"), nil, opts)
	return err
}

// TestWebhook has a webhook called now. What came of it is among its deliveries.
func (c *Client) TestWebhook(ctx context.Context, tenant, id string, opts ...Option) error {
	_, err := post[ignored](ctx, c, webhookPath(tenant, id, "/test"), nil, opts)
	return err
}

// Delivery is one call of a webhook, with all its tries.
type Delivery struct {
	// ID is the call's header webhook-id.
	ID        string `json:"id"`
	EventID   string `json:"event_id"`
	EventType string `json:"event_type"`
	// State is queued, delivered or failed.
	State    string `json:"state"`
	Failures int    `json:"failures"`
	// Status is the HTTP status of the last answer; 0: there was none.
	Status    int        `json:"status"`
	Error     string     `json:"error"`
	NextTryAt *time.Time `json:"next_try_at"`
	CreatedAt time.Time  `json:"created_at"`
	EndedAt   *time.Time `json:"ended_at"`
}

// Deliveries lists the calls of a webhook in the last 30 days, the newest first. An error comes once, as the last.
func (c *Client) Deliveries(ctx context.Context, tenant, webhook string) iter.Seq2[Delivery, error] {
	return pages[Delivery](ctx, c, webhookPath(tenant, webhook, "/deliveries"), nil)
}

// Redeliver makes a call again.
func (c *Client) Redeliver(ctx context.Context, tenant, webhook, delivery string, opts ...Option) error {
	_, err := post[ignored](ctx, c, webhookPath(tenant, webhook, "/deliveries/"+url.PathEscape(delivery)+"/redeliver"), nil, opts)
	return err
}

func webhookPath(tenant, id, rest string) string {
	return tenantPath(tenant, "/webhooks/"+url.PathEscape(id)+rest)
}
