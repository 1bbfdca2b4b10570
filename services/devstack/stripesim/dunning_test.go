package stripesim_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"tenure/services/devstack/stripesim"
)

const oneDay = 24 * time.Hour

// unpaidRenewal brings a subscription to the first failed attempt of its renewal.
func unpaidRenewal(t *testing.T, s *sim) *stripe.Subscription {
	t.Helper()
	sub := s.subscribe("acme", s.price("starter", 4900))
	s.card("acme", "decline")
	s.advance(time.Unix(sub.CurrentPeriodEnd, 0).Sub(s.now()) + time.Hour + time.Minute)
	failed := s.subscription(sub.ID)
	equal(t, "status", failed.Status, stripe.SubscriptionStatusPastDue)
	equal(t, "attempts", failed.LatestInvoice.AttemptCount, 1)
	if !slices.Contains(s.events("acme"), "invoice.payment_failed") {
		t.Error("the failure was not announced")
	}
	return failed
}

func TestRetries(t *testing.T) {
	s := start(t)
	sub := unpaidRenewal(t, s)
	for attempt, wait := range []time.Duration{oneDay, 3 * oneDay, 5 * oneDay, 7 * oneDay} {
		before := s.subscription(sub.ID)
		equal(t, "status", before.Status, stripe.SubscriptionStatusPastDue)
		equal(t, "attempts", before.LatestInvoice.AttemptCount, int64(attempt+1))
		s.advance(wait)
	}
	after := s.subscription(sub.ID)
	equal(t, "attempts", after.LatestInvoice.AttemptCount, 5)
	equal(t, "next attempt", after.LatestInvoice.NextPaymentAttempt, 0)
	equal(t, "status", after.Status, stripe.SubscriptionStatusUnpaid)

	s.card("acme", "ok")
	s.control(http.MethodPost, "/_sim/pay", object{"tenant": "acme"}, nil)
	equal(t, "status", s.subscription(sub.ID).Status, stripe.SubscriptionStatusActive)
	equal(t, "net", s.net("acme"), 2*4900)
}

// An upgrade that was declined and given up must not keep the renewal's payment from counting.
func TestAVoidInvoiceIsNotWaitedFor(t *testing.T) {
	s := start(t)
	pro := s.price("pro", 19900)
	sub := unpaidRenewal(t, s)
	params := switchTo(sub, pro, "always_invoice")
	params.PaymentBehavior = stripe.String("pending_if_incomplete")
	params.AddExpand("latest_invoice")
	waiting, err := s.api.Subscriptions.Update(sub.ID, params)
	must(t, waiting, err)
	must(t, waiting, second(s.api.Invoices.VoidInvoice(waiting.LatestInvoice.ID, nil)))
	equal(t, "status", s.subscription(sub.ID).Status, stripe.SubscriptionStatusPastDue)
	s.card("acme", "ok")
	s.control(http.MethodPost, "/_sim/pay", object{"tenant": "acme"}, nil)
	equal(t, "status", s.subscription(sub.ID).Status, stripe.SubscriptionStatusActive)
}

func TestARetryPaysWhenTheCardWorksAgain(t *testing.T) {
	s := start(t)
	sub := unpaidRenewal(t, s)
	s.card("acme", "ok")
	equal(t, "status before the retry", s.subscription(sub.ID).Status, stripe.SubscriptionStatusPastDue)
	s.advance(oneDay)
	equal(t, "status after it", s.subscription(sub.ID).Status, stripe.SubscriptionStatusActive)
	equal(t, "net", s.net("acme"), 2*4900)
}

func TestAnUnpaidSubscriptionIsCanceledWhenSoConfigured(t *testing.T) {
	s := start(t, func(cfg *stripesim.Config) { cfg.AfterRetries = "canceled" })
	sub := unpaidRenewal(t, s)
	s.advance(17 * oneDay)
	after := s.subscription(sub.ID)
	equal(t, "status", after.Status, stripe.SubscriptionStatusCanceled)
	equal(t, "reason", after.CancellationDetails.Reason, stripe.SubscriptionCancellationDetailsReasonPaymentFailed)
}

func TestADeclinedPaymentByHandCountsAsAnAttempt(t *testing.T) {
	s := start(t)
	sub := unpaidRenewal(t, s)
	_, err := s.api.Invoices.Pay(sub.LatestInvoice.ID, nil)
	if err == nil {
		t.Fatal("a card that declines has paid")
	}
	equal(t, "attempts", s.subscription(sub.ID).LatestInvoice.AttemptCount, 2)

	card, err := s.api.PaymentMethods.Attach("pm_card_mastercard", &stripe.PaymentMethodAttachParams{Customer: &sub.Customer.ID})
	must(t, card, err)
	s.card("acme", "ok")
	paid, err := s.api.Invoices.Pay(sub.LatestInvoice.ID, &stripe.InvoicePayParams{PaymentMethod: &card.ID})
	equal(t, "paid", must(t, paid, err).Paid, true)
}

func TestACardThatFailsLater(t *testing.T) {
	s := start(t)
	cus := s.customer("acme")
	card, err := s.api.PaymentMethods.Attach("pm_card_chargeCustomerFail", &stripe.PaymentMethodAttachParams{Customer: &cus.ID})
	must(t, card, err)
	sub, err := s.api.Subscriptions.New(&stripe.SubscriptionParams{
		Customer: &cus.ID, DefaultPaymentMethod: &card.ID,
		Items: []*stripe.SubscriptionItemsParams{{Price: stripe.String(s.price("starter", 4900).ID)}},
	})
	equal(t, "status", must(t, sub, err).Status, stripe.SubscriptionStatusIncomplete)
}
