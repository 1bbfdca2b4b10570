package events

import "time"

// StripeNotice is the data of a webhook of Stripe's that was verified and stored: ids alone. The webhook's own payload
// may be stale and may hold personal data, so that whoever acts on a notice fetches the live object. Its type carries
// Stripe's ("tenure.stripe.invoice.paid.v1"), of which there are too many to register.
type StripeNotice struct {
	// EventID is Stripe's id of the event ("evt_..."): the same notice may come twice.
	EventID string `json:"event_id"`
	// Type is Stripe's own name, for example invoice.payment_failed.
	Type           string    `json:"type"`
	ObjectID       string    `json:"object_id,omitempty"`
	CustomerID     string    `json:"customer_id,omitempty"`
	SubscriptionID string    `json:"subscription_id,omitempty"`
	Created        time.Time `json:"created"`
}

// EventType names the type on the bus.
func (n *StripeNotice) EventType() string { return "tenure.stripe." + n.Type + ".v1" }

// NoTenant stands for the tenant in a notice about an object that belongs to none. It is a valid subject, but no tenant
// may be called so.
const NoTenant = "_"
