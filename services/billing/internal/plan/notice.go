package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"tenure/shared/events"
)

// Notice is what is kept of one of Stripe's events: ids. Whoever acts on it fetches the live object.
type Notice struct {
	events.StripeNotice
	// Tenant is what the object's metadata says; it is not sent, the subject says it.
	Tenant string `json:"-"`
}

// DecodeNotice reads the notice that a bus event carries.
func DecodeNotice(e events.Event) (events.StripeNotice, error) {
	var n events.StripeNotice
	if err := json.Unmarshal(e.Data, &n); err != nil {
		return n, fmt.Errorf("notice %s: %w", e.ID, err)
	}
	return n, nil
}

// IsNotice reports whether a bus event of this type carries a Notice that may change what billing believes.
func IsNotice(eventType string) bool {
	kind, ok := strings.CutPrefix(eventType, "tenure.stripe.")
	return ok && slices.Contains(NoticeTypes, strings.TrimSuffix(kind, ".v1"))
}

// NoticeTypes are Stripe's events that a webhook endpoint should send and that the poller asks for (at most 20 in one
// request). Others are stored and published, and change nothing here.
var NoticeTypes = []string{
	"customer.subscription.created",
	"customer.subscription.updated",
	"customer.subscription.deleted",
	"customer.subscription.paused",
	"customer.subscription.resumed",
	"customer.subscription.pending_update_applied",
	"customer.subscription.pending_update_expired",
	"subscription_schedule.updated",
	"subscription_schedule.released",
	"subscription_schedule.canceled",
	"subscription_schedule.aborted",
	"invoice.paid",
	"invoice.payment_failed",
	"invoice.payment_action_required",
	"invoice.marked_uncollectible",
	"invoice.voided",
}
