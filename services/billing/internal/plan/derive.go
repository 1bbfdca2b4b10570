package plan

import (
	"cmp"
	"time"

	"tenure/shared/events"
)

// Standing is what the rest of Tenure was last told about payment.
type Standing string

// The standings. Nothing was said yet while it is empty: a sign-up that has not paid is no news.
const (
	InGoodStanding Standing = "paid"
	InDefault      Standing = "unpaid"
)

// Belief is what billing has told about a tenant's subscription. Facts are the difference between it and what is live.
type Belief struct {
	SubscriptionID    string
	Plan              string
	Status            string
	CancelAtPeriodEnd bool
	CurrentPeriodEnd  time.Time
	// ScheduledPlan is what Stripe goes over to when the period ends.
	ScheduledPlan string
	Standing      Standing
	// Retired: billing itself lets the subscription run out, or has ended it. It is remembered after the end.
	Retired bool
}

// After is the belief once billing's own work has made the changes: what comes of them is no surprise.
func (b Belief) After(done []Change) Belief {
	for _, change := range done {
		switch change {
		case Retire, End:
			b.Retired = true
		case Resume, Subscribe:
			b.Retired = false
		case Reinstate:
			// The tenant uses what it has to pay for: from here on not paying is a default, for a new subscription too.
			b.Retired, b.Standing = false, cmp.Or(b.Standing, InGoodStanding)
		}
	}
	return b
}

// Equal reports whether two beliefs are the same, whatever zone their times are in.
func (b Belief) Equal(other Belief) bool {
	same := b.CurrentPeriodEnd.Equal(other.CurrentPeriodEnd)
	other.CurrentPeriodEnd = b.CurrentPeriodEnd
	return same && b == other
}

// Derive compares all of a customer's subscriptions with what was told before. It returns what to believe from now on
// and what to tell: nothing when nothing has changed, however often and in whatever order the news came.
func Derive(all []Subscription, b Belief) (Belief, []events.Payload) {
	s := Main(all)
	if s == nil {
		return gone(b)
	}
	if s.Converting(b) {
		s.Status = Trialing
	}
	next := Belief{
		SubscriptionID: s.ID, Plan: s.Plan, Status: s.Status, CancelAtPeriodEnd: s.CancelAtPeriodEnd,
		CurrentPeriodEnd: s.CurrentPeriodEnd, ScheduledPlan: s.Pending(), Standing: b.Standing,
		Retired: b.Retired && s.CancelAtPeriodEnd, // a person may have taken it back
	}
	facts := subscriptionFacts(*s, b)
	if payment := paymentFact(*s, b); payment != nil {
		facts = append(facts, payment)
	}
	switch {
	case s.Paid():
		next.Standing = InGoodStanding
	case s.lapsed(b):
		next.Standing = InDefault
	}
	return next, facts
}

// gone is Derive for a customer with nothing live. A subscription that was paid for and ends without billing's doing was
// cancelled by a person, or by Stripe after its last try to be paid: a default, whoever did it. A default outlives its
// subscription, so that paying for a new one counts as the recovery.
func gone(b Belief) (Belief, []events.Payload) {
	next := Belief{Retired: b.Retired}
	if b.Standing == InDefault {
		next.Standing = InDefault
	}
	if b.SubscriptionID == "" {
		return next, nil
	}
	facts := []events.Payload{&events.SubscriptionCancelled{SubscriptionID: b.SubscriptionID}}
	if b.Vanished() {
		next.Standing = InDefault
		facts = append(facts, &events.BillingPaymentFailed{SubscriptionID: b.SubscriptionID, Status: Canceled})
	}
	return next, facts
}

// Vanished reports whether it is a default when nothing is live any more.
func (b Belief) Vanished() bool {
	return b.SubscriptionID != "" && !b.Retired && b.Standing == InGoodStanding
}

func subscriptionFacts(s Subscription, b Belief) (facts []events.Payload) {
	end := periodEnd(s)
	switch {
	case s.ID != b.SubscriptionID:
		b.CancelAtPeriodEnd, b.ScheduledPlan = false, ""
		facts = append(facts, &events.SubscriptionCreated{
			SubscriptionID: s.ID, CustomerID: s.CustomerID, Plan: s.Plan, Status: s.Status, CurrentPeriodEnd: end,
		})
	case s.Plan != b.Plan, !s.CancelAtPeriodEnd && b.CancelAtPeriodEnd, !s.CurrentPeriodEnd.Equal(b.CurrentPeriodEnd):
		facts = append(facts, &events.SubscriptionChanged{
			SubscriptionID: s.ID, FromPlan: b.Plan, Plan: s.Plan, Status: s.Status, CurrentPeriodEnd: end,
		})
	}
	if s.CancelAtPeriodEnd && !b.CancelAtPeriodEnd {
		facts = append(facts, &events.SubscriptionCancelled{SubscriptionID: s.ID, AtPeriodEnd: true})
	}
	switch to := s.Pending(); {
	case to == b.ScheduledPlan:
	case to != "":
		facts = append(facts, &events.SubscriptionScheduled{
			SubscriptionID: s.ID, FromPlan: s.Plan, Plan: to, EffectiveAt: s.CurrentPeriodEnd,
		})
	case s.Plan != b.ScheduledPlan: // otherwise it was done, which SubscriptionChanged tells
		facts = append(facts, &events.SubscriptionUnscheduled{SubscriptionID: s.ID, Plan: s.Plan})
	}
	return facts
}

// paymentFact is nil while the standing stays: Stripe tries a failed invoice several times, and tenants hear of it once.
func paymentFact(s Subscription, b Belief) events.Payload {
	end := periodEnd(s)
	switch {
	case s.Paid() && b.Standing == InDefault:
		return &events.BillingPaymentRecovered{SubscriptionID: s.ID, Status: s.Status, CurrentPeriodEnd: end}
	case s.Paid() && b.Standing == "", s.Status == Active && b.Status == Trialing: // the second: a trial was paid for
		return &events.BillingPaymentConfirmed{SubscriptionID: s.ID, Status: s.Status, CurrentPeriodEnd: end}
	case s.lapsed(b) && b.Standing != InDefault:
		return &events.BillingPaymentFailed{SubscriptionID: s.ID, InvoiceID: s.LatestInvoice, Status: s.Status}
	}
	return nil
}

func periodEnd(s Subscription) *time.Time {
	if s.CurrentPeriodEnd.IsZero() {
		return nil
	}
	return &s.CurrentPeriodEnd
}
