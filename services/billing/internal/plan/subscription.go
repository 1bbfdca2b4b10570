package plan

import (
	"cmp"
	"slices"
	"time"
)

// Statuses of a subscription, in Stripe's words.
const (
	Incomplete        = "incomplete"
	IncompleteExpired = "incomplete_expired"
	Trialing          = "trialing"
	Active            = "active"
	PastDue           = "past_due"
	Unpaid            = "unpaid"
	Paused            = "paused"
	Canceled          = "canceled"
)

// Statuses of an invoice that is not paid yet. A draft is finalized, and paid, an hour after it was made.
const (
	InvoiceDraft = "draft"
	InvoiceOpen  = "open"
)

// Subscription is what billing looks at of a live subscription.
type Subscription struct {
	ID         string
	ItemID     string
	CustomerID string
	// Plan is empty when the price is none of ours: an add-on, which never decides about the tenant.
	Plan              string
	Status            string
	CancelAtPeriodEnd bool
	// LatestInvoice is the id of the newest invoice, InvoiceStatus its status where Stripe was asked for it.
	LatestInvoice      string
	InvoiceStatus      string
	Created            time.Time
	CurrentPeriodStart time.Time
	CurrentPeriodEnd   time.Time
	// ScheduleID is a schedule of ours that is not over yet, ScheduledPlan what it goes over to.
	ScheduleID    string
	ScheduledPlan string
	// AddOnsOwed: it is overdue, but all that is owed is for add-ons.
	AddOnsOwed bool
	// Usage is the metered items, by metric.
	Usage map[string]string
	// Coupon is at work on it, RedeemedBy the work that put the last one there, by the metadata.
	Coupon     string
	RedeemedBy string
	// Tenant and Generation are whose it is, by its metadata, which a person may have edited.
	Tenant     string
	Generation int64
}

// QuoteOf is a change of plan that is asked about, and made by nobody.
type QuoteOf struct {
	CustomerID   string        // empty: Stripe knows nothing of the tenant yet
	Subscription *Subscription // nil: none is live
	Plan         string
	AtPeriodEnd  bool // the change waits for the period's end
	Cancel       bool // nothing is to be paid after the change
	Stays        bool // an end that is ahead does not come
	Coupon       string
}

// UsagePeriod is what was reported of a metered item in one billing period.
type UsagePeriod struct {
	Start, End time.Time
	Total      int64
	InvoiceID  string // empty while the period is not invoiced
}

// Paid reports whether the tenant may use what it subscribed to: paid for, or in its trial. An add-on that is not paid
// for does not take the plan down.
func (s Subscription) Paid() bool {
	return s.Status == Active || s.Status == Trialing || s.Overdue() && s.AddOnsOwed
}

// Overdue reports whether an invoice was not paid, be it for the plan or for an add-on.
func (s Subscription) Overdue() bool { return s.Status == PastDue || s.Status == Unpaid }

// lapsed reports whether the tenant does not pay for the plan that it is on.
func (s Subscription) lapsed(b Belief) bool {
	switch s.Status {
	case PastDue, Unpaid:
		return !s.AddOnsOwed
	case Paused: // its trial has ended, and there is no card
		return true
	case Incomplete: // a sign-up that waits for its first payment owes nothing yet
		return b.Standing != ""
	}
	return false
}

// Pending is the plan that Stripe goes over to when the period ends; empty when it stays. A schedule stays for a while
// after it has done its work.
func (s Subscription) Pending() string {
	if s.ScheduledPlan == s.Plan {
		return ""
	}
	return s.ScheduledPlan
}

// Converting reports whether a trial has ended that nobody has paid for yet: Stripe calls the subscription active from
// the trial's last second on, long before it tries the card.
func (s Subscription) Converting(b Belief) bool {
	return s.ID == b.SubscriptionID && b.Status == Trialing && s.Status == Active &&
		(s.InvoiceStatus == InvoiceDraft || s.InvoiceStatus == InvoiceOpen)
}

// preference ranks statuses: the best one speaks for the tenant. Ended ones are not in it.
var preference = []string{Active, Trialing, PastDue, Unpaid, Paused, Incomplete}

// Main is the subscription that speaks for a tenant among all of its customer's: the best by status, then the newest.
// Add-ons and ended subscriptions are passed over. Nil: nothing is left that could be charged for a plan.
func Main(all []Subscription) *Subscription {
	var live []Subscription
	for _, s := range all {
		if s.Plan != "" && slices.Contains(preference, s.Status) {
			live = append(live, s)
		}
	}
	if len(live) == 0 {
		return nil
	}
	best := slices.MinFunc(live, func(a, b Subscription) int {
		return cmp.Or(
			cmp.Compare(slices.Index(preference, a.Status), slices.Index(preference, b.Status)),
			b.Created.Compare(a.Created),
			cmp.Compare(a.ID, b.ID),
		)
	})
	return &best
}
