package stripesim_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
)

const month = 31 * 24 * time.Hour // at least one billing period

func TestANewSubscriptionIsPaidAtOnce(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("starter", 4900))
	equal(t, "status", sub.Status, stripe.SubscriptionStatusActive)
	equal(t, "invoice", sub.LatestInvoice.Status, stripe.InvoiceStatusPaid)
	equal(t, "intent", sub.LatestInvoice.PaymentIntent.Status, stripe.PaymentIntentStatusSucceeded)
	equal(t, "net", s.net("acme"), 4900)
	for _, kind := range []string{
		"customer.created", "customer.subscription.created", "invoice.created", "invoice.finalized", "charge.succeeded",
		"payment_intent.succeeded", "invoice.paid", "invoice.payment_succeeded", "customer.subscription.updated",
	} {
		if !slices.Contains(s.events("acme"), kind) {
			t.Errorf("no event %s in %v", kind, s.events("acme"))
		}
	}
}

func TestTheCustomerConfirmsAnIncompleteSubscription(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("starter", 4900), func(p *stripe.SubscriptionParams) {
		p.PaymentBehavior = stripe.String("default_incomplete")
	})
	equal(t, "status", sub.Status, stripe.SubscriptionStatusIncomplete)
	if sub.LatestInvoice.PaymentIntent.ClientSecret == "" {
		t.Error("the intent has no client secret")
	}
	s.until("the payment", func() bool { return s.subscription(sub.ID).Status == stripe.SubscriptionStatusActive })
	equal(t, "net", s.net("acme"), 4900)
}

func TestADeclinedFirstPayment(t *testing.T) {
	s := start(t)
	p := s.price("starter", 4900)
	s.card("acme", "decline") // before the tenant exists

	t.Run("leaves nothing with error_if_incomplete", func(t *testing.T) {
		cus := s.customer("acme")
		_, err := s.api.Subscriptions.New(&stripe.SubscriptionParams{
			Customer: stripe.String(cus.ID), PaymentBehavior: stripe.String("error_if_incomplete"),
			Items: []*stripe.SubscriptionItemsParams{{Price: stripe.String(p.ID)}},
		})
		refused, ok := errors.AsType[*stripe.Error](err)
		if !ok || refused.HTTPStatusCode != http.StatusPaymentRequired || refused.Code != stripe.ErrorCodeCardDeclined ||
			refused.DeclineCode != stripe.DeclineCodeGenericDecline || refused.Type != stripe.ErrorTypeCard {
			t.Fatalf("error is %v", err)
		}
		list := s.api.Subscriptions.List(&stripe.SubscriptionListParams{Customer: &cus.ID, Status: stripe.String("all")})
		if list.Next() {
			t.Errorf("there is a subscription %s", list.Subscription().ID)
		}
	})
	t.Run("can be made good within 23 hours", func(t *testing.T) {
		sub := s.subscribe("acme", p)
		equal(t, "status", sub.Status, stripe.SubscriptionStatusIncomplete)
		equal(t, "intent", sub.LatestInvoice.PaymentIntent.Status, stripe.PaymentIntentStatusRequiresPaymentMethod)
		s.card("acme", "ok")
		s.control(http.MethodPost, "/_sim/pay", object{"tenant": "acme"}, nil)
		equal(t, "status", s.subscription(sub.ID).Status, stripe.SubscriptionStatusActive)
		equal(t, "net", s.net("acme"), 4900)
	})
	t.Run("expires after them", func(t *testing.T) {
		s.card("acme", "decline")
		sub := s.subscribe("acme", p)
		s.advance(24 * time.Hour)
		late := s.subscription(sub.ID)
		equal(t, "status", late.Status, stripe.SubscriptionStatusIncompleteExpired)
		equal(t, "invoice", late.LatestInvoice.Status, stripe.InvoiceStatusVoid)
		equal(t, "net", s.net("acme"), 4900) // the one of before
	})
}

func TestATrialConverts(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("starter", 4900), func(p *stripe.SubscriptionParams) {
		p.TrialPeriodDays = stripe.Int64(14)
	})
	equal(t, "status", sub.Status, stripe.SubscriptionStatusTrialing)
	equal(t, "invoice", sub.LatestInvoice.Total, 0)
	s.advance(12 * 24 * time.Hour)
	if !slices.Contains(s.events("acme"), "customer.subscription.trial_will_end") {
		t.Error("nothing announced the end of the trial")
	}
	equal(t, "net in the trial", s.net("acme"), 0)
	s.advance(3 * 24 * time.Hour)
	converted := s.subscription(sub.ID)
	equal(t, "status", converted.Status, stripe.SubscriptionStatusActive)
	equal(t, "period start", converted.CurrentPeriodStart, sub.TrialEnd)
	equal(t, "net", s.net("acme"), 4900)
}

func TestATrialCanEndNow(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("starter", 4900), func(p *stripe.SubscriptionParams) {
		p.TrialPeriodDays = stripe.Int64(14)
	})
	now, err := s.api.Subscriptions.Update(sub.ID, &stripe.SubscriptionParams{TrialEndNow: stripe.Bool(true)})
	must(t, now, err)
	equal(t, "status", now.Status, stripe.SubscriptionStatusActive)
	equal(t, "net", s.net("acme"), 4900)
}

func TestRenewal(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("starter", 4900))
	s.advance(time.Unix(sub.CurrentPeriodEnd, 0).Sub(s.now()) + time.Second)
	draft := s.subscription(sub.ID)
	equal(t, "period start", draft.CurrentPeriodStart, sub.CurrentPeriodEnd)
	equal(t, "invoice in the first hour", draft.LatestInvoice.Status, stripe.InvoiceStatusDraft)
	equal(t, "reason", draft.LatestInvoice.BillingReason, stripe.InvoiceBillingReasonSubscriptionCycle)
	s.advance(time.Hour)
	equal(t, "invoice after it", s.subscription(sub.ID).LatestInvoice.Status, stripe.InvoiceStatusPaid)
	equal(t, "net", s.net("acme"), 2*4900)
	s.advance(11 * month)
	if got := s.net("acme"); got < 12*4900 || got > 14*4900 {
		t.Errorf("net after a year is %d", got)
	}
}

func (s *sim) now() time.Time {
	s.t.Helper()
	var clock struct{ Now time.Time }
	s.control(http.MethodGet, "/_sim/clock", nil, &clock)
	return clock.Now
}

func TestCancellation(t *testing.T) {
	s := start(t)
	p := s.price("starter", 4900)

	t.Run("at the period's end, and taken back", func(t *testing.T) {
		sub := s.subscribe("a", p)
		ending, err := s.api.Subscriptions.Update(sub.ID, &stripe.SubscriptionParams{CancelAtPeriodEnd: stripe.Bool(true)})
		must(t, ending, err)
		equal(t, "cancel_at", ending.CancelAt, sub.CurrentPeriodEnd)
		back, err := s.api.Subscriptions.Update(sub.ID, &stripe.SubscriptionParams{CancelAtPeriodEnd: stripe.Bool(false)})
		must(t, back, err)
		equal(t, "cancel_at", back.CancelAt, 0)
		s.advance(month + time.Hour)
		equal(t, "status", s.subscription(sub.ID).Status, stripe.SubscriptionStatusActive)
	})
	t.Run("at the period's end", func(t *testing.T) {
		sub := s.subscribe("b", p)
		must(t, sub, second(s.api.Subscriptions.Update(sub.ID, &stripe.SubscriptionParams{CancelAtPeriodEnd: stripe.Bool(true)})))
		s.advance(month + time.Hour)
		equal(t, "status", s.subscription(sub.ID).Status, stripe.SubscriptionStatusCanceled)
		equal(t, "net", s.net("b"), 4900)
		if events := s.events("b"); !slices.Contains(events, "customer.subscription.deleted") {
			t.Errorf("events are %v", events)
		}
	})
	t.Run("now", func(t *testing.T) {
		sub := s.subscribe("c", p)
		gone, err := s.api.Subscriptions.Cancel(sub.ID, &stripe.SubscriptionCancelParams{})
		must(t, gone, err)
		equal(t, "status", gone.Status, stripe.SubscriptionStatusCanceled)
		_, err = s.api.Subscriptions.Cancel(sub.ID, &stripe.SubscriptionCancelParams{})
		if e, ok := errors.AsType[*stripe.Error](err); !ok || e.Code != stripe.ErrorCodeResourceMissing {
			t.Errorf("a second cancellation answers %v", err)
		}
	})
	t.Run("with its customer", func(t *testing.T) {
		sub := s.subscribe("e", p)
		gone, err := s.api.Customers.Del(sub.Customer.ID, nil)
		equal(t, "deleted", must(t, gone, err).Deleted, true)
		equal(t, "status", s.subscription(sub.ID).Status, stripe.SubscriptionStatusCanceled)
		left, err := s.api.Customers.Get(sub.Customer.ID, nil)
		equal(t, "left", must(t, left, err).Deleted, true)
	})
	t.Run("now, with what is left credited", func(t *testing.T) {
		sub := s.subscribe("d", p)
		must(t, sub, second(s.api.Subscriptions.Cancel(sub.ID, &stripe.SubscriptionCancelParams{
			InvoiceNow: stripe.Bool(true), Prorate: stripe.Bool(true),
		})))
		cus, err := s.api.Customers.Get(sub.Customer.ID, nil)
		must(t, cus, err)
		if cus.Balance > -4890 || cus.Balance < -4900 { // some seconds have passed
			t.Errorf("the balance is %d", cus.Balance)
		}
	})
}

func second[T any](_ T, err error) error { return err }
