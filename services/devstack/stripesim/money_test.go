package stripesim_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
)

// Whatever is done to a subscription: what was charged is what the paid invoices
// say, each invoice is the sum of its lines, and the balance is the sum of its
// transactions.
func TestMoneyAddsUp(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			s := start(t)
			prices := []*stripe.Price{s.price("starter", 1000), s.price("pro", 4900), s.price("scale", 19900)}
			random := rand.New(rand.NewPCG(seed, 1))
			sub := s.subscribe("acme", prices[0])
			for range 25 {
				s.disturb(random, sub.ID, prices)
			}
			s.card("acme", "ok")
			s.control(http.MethodPost, "/_sim/pay", object{"tenant": "acme"}, nil)
			s.audit(sub.Customer.ID)
		})
	}
}

func (s *sim) disturb(random *rand.Rand, id string, prices []*stripe.Price) {
	s.t.Helper()
	pick := func(options ...string) string { return options[random.IntN(len(options))] }
	switch random.IntN(9) {
	case 0:
		s.card("acme", pick("ok", "ok", "decline"))
	case 1:
		s.advance(time.Duration(random.IntN(40*24)) * time.Hour)
	case 2:
		s.control(http.MethodPost, "/_sim/pay", object{"tenant": "acme"}, nil)
	case 3, 4:
		sub := s.subscription(id)
		switch {
		case sub.Schedule != nil:
			released, err := s.api.SubscriptionSchedules.Release(sub.Schedule.ID, nil)
			must(s.t, released, err)
		case sub.Status == stripe.SubscriptionStatusActive:
			downgradeLater(s.t, s, sub, prices[random.IntN(len(prices))])
		}
	default:
		sub := s.subscription(id)
		params := switchTo(sub, prices[random.IntN(len(prices))], pick("always_invoice", "create_prorations", "none"))
		params.PaymentBehavior = stripe.String(pick("allow_incomplete", "pending_if_incomplete", "error_if_incomplete", "default_incomplete"))
		if _, err := s.api.Subscriptions.Update(id, params); err != nil && status(err) != http.StatusPaymentRequired {
			s.t.Fatalf("update: %v", err)
		}
	}
}

func (s *sim) audit(customerID string) {
	s.t.Helper()
	var paid int64
	list := &stripe.InvoiceListParams{Customer: &customerID}
	list.Limit = stripe.Int64(100)
	invoices := s.api.Invoices.List(list)
	for invoices.Next() {
		inv := invoices.Invoice()
		var sum int64
		for lines := s.api.Invoices.ListLines(&stripe.InvoiceListLinesParams{Invoice: &inv.ID}); lines.Next(); {
			sum += lines.InvoiceLineItem().Amount
		}
		equal(s.t, "total of "+inv.ID, inv.Total, sum)
		if inv.Status == stripe.InvoiceStatusPaid {
			paid += inv.AmountPaid
			equal(s.t, "balance after "+inv.ID, inv.EndingBalance, inv.StartingBalance+inv.Total-inv.AmountPaid)
		}
	}
	if err := invoices.Err(); err != nil {
		s.t.Fatal(err)
	}
	equal(s.t, "net", s.net("acme"), paid)

	var moved int64
	balance := s.api.CustomerBalanceTransactions.List(&stripe.CustomerBalanceTransactionListParams{Customer: &customerID})
	for balance.Next() {
		moved += balance.CustomerBalanceTransaction().Amount
	}
	cus, err := s.api.Customers.Get(customerID, nil)
	equal(s.t, "balance", must(s.t, cus, err).Balance, moved)
}
