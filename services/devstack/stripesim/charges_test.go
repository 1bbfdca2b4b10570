package stripesim_test

import (
	"net/http"
	"testing"

	"github.com/stripe/stripe-go/v76"
)

// /_sim/charges tells what has gone from a tenant's card and what came back to it; credit, void invoices and what was
// settled elsewhere move nothing there.
func TestChargesAreWhatTheCardPaid(t *testing.T) {
	begin := func(t *testing.T) (s *sim, sub *stripe.Subscription, starter, pro *stripe.Price) {
		s = start(t)
		s.freeze(true)
		starter, pro = s.price("starter", 1000), s.price("pro", 3000)
		return s, s.subscribe("acme", pro), starter, pro
	}
	t.Run("credit pays what it reaches", func(t *testing.T) {
		s, sub, starter, pro := begin(t)
		sub = s.mustSwitch(sub, starter)
		equal(t, "net after going down", s.net("acme"), 3000)
		sub = s.mustSwitch(sub, pro)
		equal(t, "net after going up again", s.net("acme"), 3000)
		s.renew(sub)
		equal(t, "net after the renewal", s.net("acme"), 6000)
	})
	t.Run("a void invoice gives its credit back", func(t *testing.T) {
		s, sub, starter, pro := begin(t)
		s.mustSwitch(sub, starter)
		adjusted, err := s.api.CustomerBalanceTransactions.New(&stripe.CustomerBalanceTransactionParams{
			Customer: &sub.Customer.ID, Amount: stripe.Int64(1500), Currency: stripe.String("usd"),
		})
		equal(t, "credit left", must(t, adjusted, err).EndingBalance, -500)
		s.card("acme", "decline")
		params := switchTo(s.subscription(sub.ID), pro, "always_invoice")
		params.PaymentBehavior = stripe.String("pending_if_incomplete")
		params.AddExpand("customer")
		waiting, err := s.api.Subscriptions.Update(sub.ID, params)
		must(t, waiting, err)
		equal(t, "due", waiting.LatestInvoice.AmountDue, 1500)
		equal(t, "credit used", waiting.Customer.Balance, 0)
		must(t, waiting, second(s.api.Invoices.VoidInvoice(waiting.LatestInvoice.ID, nil)))
		cus, err := s.api.Customers.Get(sub.Customer.ID, nil)
		equal(t, "credit", must(t, cus, err).Balance, -500)
		equal(t, "net", s.net("acme"), 3000)
	})
	t.Run("refunds count against it", func(t *testing.T) {
		s, sub, _, _ := begin(t)
		refund, err := s.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &sub.LatestInvoice.PaymentIntent.ID, Amount: stripe.Int64(700)})
		must(t, refund, err)
		equal(t, "net", s.net("acme"), 2300)
	})
	t.Run("what was paid elsewhere does not count", func(t *testing.T) {
		s, sub, _, _ := begin(t)
		s.card("acme", "decline")
		s.renew(sub)
		paid, err := s.api.Invoices.Pay(s.subscription(sub.ID).LatestInvoice.ID, &stripe.InvoicePayParams{PaidOutOfBand: stripe.Bool(true)})
		equal(t, "invoice", must(t, paid, err).Status, stripe.InvoiceStatusPaid)
		equal(t, "status", s.subscription(sub.ID).Status, stripe.SubscriptionStatusActive)
		equal(t, "net", s.net("acme"), 3000)
	})
	t.Run("a deleted customer has paid all the same", func(t *testing.T) {
		s, sub, _, _ := begin(t)
		gone, err := s.api.Customers.Del(sub.Customer.ID, nil)
		must(t, gone, err)
		s.subscribe("acme", s.price("top", 500))
		equal(t, "net", s.net("acme"), 3500)
	})
}

func TestAnUncollectibleInvoiceIsNoDebt(t *testing.T) {
	s := start(t)
	sub := unpaidRenewal(t, s)
	marked, err := s.api.Invoices.MarkUncollectible(sub.LatestInvoice.ID, nil)
	equal(t, "invoice", must(t, marked, err).Status, stripe.InvoiceStatusUncollectible)
	equal(t, "status", s.subscription(sub.ID).Status, stripe.SubscriptionStatusActive)
	s.control(http.MethodPost, "/_sim/pay", object{"tenant": "acme"}, nil)
	equal(t, "net", s.net("acme"), 4900)
}
