package stripeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/stripe/stripe-go/v76"

	"tenure/services/billing/internal/plan"
	"tenure/shared/events"
)

// Events returns Stripe's events from since on, the oldest first, of the types that matter here. Stripe keeps 30 days.
func (c *Client) Events(ctx context.Context, since time.Time) ([]plan.Notice, error) {
	params := &stripe.EventListParams{ListParams: list(ctx), Types: stripe.StringSlice(plan.NoticeTypes)}
	if !since.IsZero() {
		params.CreatedRange = &stripe.RangeQueryParams{GreaterThanOrEqual: since.Unix()}
	}
	var out []plan.Notice
	all := c.events.List(params)
	for all.Next() {
		n, err := NoticeOf(*all.Event())
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	if err := all.Err(); err != nil {
		return nil, c.translate(ctx, "list events", err)
	}
	slices.Reverse(out)
	return out, nil
}

// reference is an id, or an expanded object that has one.
type reference struct{ ID string }

func (r *reference) UnmarshalJSON(data []byte) error {
	if id, ok := stripe.ParseID(data); ok {
		r.ID = id
		return nil
	}
	var object struct {
		ID string `json:"id"`
	}
	err := json.Unmarshal(data, &object)
	r.ID = object.ID
	return err
}

// object is what subscriptions, invoices, customers and charges have in common, in every version of the API.
type object struct {
	ID                  string            `json:"id"`
	Object              string            `json:"object"`
	Customer            reference         `json:"customer"`
	Subscription        reference         `json:"subscription"`
	Metadata            map[string]string `json:"metadata"`
	SubscriptionDetails struct {
		Metadata map[string]string `json:"metadata"`
	} `json:"subscription_details"`
}

// A type becomes a part of a subject on the bus.
var eventType = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)*$`)

// NoticeOf takes from an event what is kept of it.
func NoticeOf(e stripe.Event) (plan.Notice, error) {
	if e.ID == "" || !eventType.MatchString(string(e.Type)) || e.Data == nil {
		return plan.Notice{}, errors.New("not an event of Stripe's: id, type or data is missing")
	}
	var o object
	if err := json.Unmarshal(e.Data.Raw, &o); err != nil {
		return plan.Notice{}, fmt.Errorf("object of event %s: %w", e.ID, err)
	}
	n := plan.Notice{Tenant: o.Metadata[metaTenant], StripeNotice: events.StripeNotice{
		EventID: e.ID, Type: string(e.Type), Created: time.Unix(e.Created, 0).UTC(),
		ObjectID: o.ID, CustomerID: o.Customer.ID, SubscriptionID: o.Subscription.ID,
	}}
	switch o.Object {
	case "customer":
		n.CustomerID = o.ID
	case "subscription":
		n.SubscriptionID = o.ID
	case "invoice":
		n.Tenant = o.SubscriptionDetails.Metadata[metaTenant]
	}
	return n, nil
}
