package stripesim_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
)

// halfway is the middle of the current period, to prorate from: a whole number of
// cents follows whatever the length of the month is.
func halfway(sub *stripe.Subscription) *int64 {
	return stripe.Int64((sub.CurrentPeriodStart + sub.CurrentPeriodEnd) / 2)
}

func TestAnUpgradeIsProratedToTheCent(t *testing.T) {
	s := start(t)
	starter, pro := s.price("starter", 1000), s.price("pro", 3000)
	for _, c := range []struct {
		proration string
		now       int64 // charged at once, besides the first period
		renewal   int64 // charged at the next
	}{
		{"always_invoice", 1000, 3000},
		{"create_prorations", 0, 3000 + 1000},
		{"none", 0, 3000},
	} {
		t.Run(c.proration, func(t *testing.T) {
			tenant := c.proration
			sub := s.subscribe(tenant, starter)
			params := switchTo(sub, pro, c.proration)
			params.ProrationDate = halfway(sub)
			changed, err := s.api.Subscriptions.Update(sub.ID, params)
			must(t, changed, err)
			equal(t, "price", changed.Items.Data[0].Price.ID, pro.ID)
			equal(t, "item", changed.Items.Data[0].ID, sub.Items.Data[0].ID)
			equal(t, "period end", changed.CurrentPeriodEnd, sub.CurrentPeriodEnd)
			equal(t, "net after the change", s.net(tenant), 1000+c.now)
			s.advance(month + 2*time.Hour)
			equal(t, "net after the renewal", s.net(tenant), 1000+c.now+c.renewal)
		})
	}
}

func TestProrationLines(t *testing.T) {
	s := start(t)
	starter, pro := s.price("starter", 4900), s.price("pro", 19900)
	sub := s.subscribe("acme", starter)
	params := switchTo(sub, pro, "always_invoice")
	at := sub.CurrentPeriodStart + 10*24*3600
	params.ProrationDate = &at
	changed, err := s.api.Subscriptions.Update(sub.ID, params)
	must(t, changed, err)

	whole, left := float64(sub.CurrentPeriodEnd-sub.CurrentPeriodStart), float64(sub.CurrentPeriodEnd-at)
	lines := changed.LatestInvoice.Lines.Data
	if len(lines) != 2 {
		t.Fatalf("%d lines, want a credit and a charge", len(lines))
	}
	for i, want := range []int64{-int64(4900*left/whole + 0.5), int64(19900*left/whole + 0.5)} {
		equal(t, lines[i].Description, lines[i].Amount, want)
		equal(t, "proration", lines[i].Proration, true)
		equal(t, "start", lines[i].Period.Start, at)
		equal(t, "end", lines[i].Period.End, sub.CurrentPeriodEnd)
	}
	equal(t, "reason", changed.LatestInvoice.BillingReason, stripe.InvoiceBillingReasonSubscriptionUpdate)
	equal(t, "invoice", changed.LatestInvoice.AmountPaid, lines[0].Amount+lines[1].Amount)
}

func TestADowngradeLeavesACredit(t *testing.T) {
	s := start(t)
	starter, pro := s.price("starter", 1000), s.price("pro", 3000)
	sub := s.subscribe("acme", pro)
	params := switchTo(sub, starter, "always_invoice")
	params.ProrationDate = halfway(sub)
	must(t, sub, second(s.api.Subscriptions.Update(sub.ID, params)))
	cus, err := s.api.Customers.Get(sub.Customer.ID, nil)
	equal(t, "balance", must(t, cus, err).Balance, -1000)
	s.advance(month + 2*time.Hour)
	equal(t, "net", s.net("acme"), 3000) // the credit pays the renewal
	list := s.api.CustomerBalanceTransactions.List(&stripe.CustomerBalanceTransactionListParams{Customer: &cus.ID})
	var moved []int64
	for list.Next() {
		moved = append(moved, list.CustomerBalanceTransaction().Amount)
	}
	if !slices.Equal(moved, []int64{1000, -1000}) {
		t.Errorf("balance transactions are %v (%v)", moved, list.Err())
	}
}

func TestAnotherIntervalBeginsANewPeriod(t *testing.T) {
	s := start(t)
	monthly := s.price("monthly", 1000)
	yearly, err := s.api.Prices.New(&stripe.PriceParams{
		Currency: stripe.String("usd"), UnitAmount: stripe.Int64(10000), Product: &monthly.Product.ID,
		Recurring: &stripe.PriceRecurringParams{Interval: stripe.String("year")},
	})
	must(t, yearly, err)
	sub := s.subscribe("acme", monthly)
	params := switchTo(sub, yearly, "create_prorations")
	changed, err := s.api.Subscriptions.Update(sub.ID, params)
	must(t, changed, err)
	if days := (changed.CurrentPeriodEnd - changed.CurrentPeriodStart) / 86400; days < 365 {
		t.Errorf("the new period has %d days", days)
	}
	if got := s.net("acme"); got < 10000 || got > 10010 { // the credit is that of all but some seconds
		t.Errorf("net is %d", got)
	}
}

func TestAPendingUpdate(t *testing.T) {
	s := start(t)
	starter, pro := s.price("starter", 1000), s.price("pro", 3000)
	upgrade := func(t *testing.T, sub *stripe.Subscription) *stripe.Subscription {
		t.Helper()
		params := switchTo(sub, pro, "always_invoice")
		params.PaymentBehavior, params.ProrationDate = stripe.String("pending_if_incomplete"), halfway(sub)
		changed, err := s.api.Subscriptions.Update(sub.ID, params)
		return must(t, changed, err)
	}

	t.Run("is applied at once when it is paid", func(t *testing.T) {
		changed := upgrade(t, s.subscribe("paid", starter))
		equal(t, "price", changed.Items.Data[0].Price.ID, pro.ID)
		equal(t, "pending", changed.PendingUpdate, nil)
		equal(t, "net", s.net("paid"), 2000)
		if slices.Contains(s.events("paid"), "customer.subscription.pending_update_applied") {
			t.Error("an update that was never pending was announced as applied")
		}
	})
	t.Run("leaves the old plan when the card declines", func(t *testing.T) {
		sub := s.subscribe("declined", starter)
		s.card("declined", "decline")
		changed := upgrade(t, sub)
		equal(t, "price", changed.Items.Data[0].Price.ID, starter.ID)
		equal(t, "status", changed.Status, stripe.SubscriptionStatusActive)
		equal(t, "pending price", changed.PendingUpdate.SubscriptionItems[0].Price.ID, pro.ID)
		equal(t, "invoice", changed.LatestInvoice.Status, stripe.InvoiceStatusOpen)
		equal(t, "net", s.net("declined"), 1000)

		s.card("declined", "ok")
		s.control(http.MethodPost, "/_sim/pay", object{"tenant": "declined"}, nil)
		equal(t, "price", s.subscription(sub.ID).Items.Data[0].Price.ID, pro.ID)
		equal(t, "net", s.net("declined"), 2000)
		if !slices.Contains(s.events("declined"), "customer.subscription.pending_update_applied") {
			t.Error("the update was not announced as applied")
		}
	})
	t.Run("expires after 23 hours", func(t *testing.T) {
		sub := s.subscribe("late", starter)
		s.card("late", "decline")
		invoice := upgrade(t, sub).LatestInvoice.ID
		s.advance(24 * time.Hour)
		late := s.subscription(sub.ID)
		equal(t, "pending", late.PendingUpdate, nil)
		equal(t, "price", late.Items.Data[0].Price.ID, starter.ID)
		void, err := s.api.Invoices.Get(invoice, nil)
		equal(t, "invoice", must(t, void, err).Status, stripe.InvoiceStatusVoid)
		if !slices.Contains(s.events("late"), "customer.subscription.pending_update_expired") {
			t.Error("the update was not announced as expired")
		}
		s.card("late", "ok")
		s.advance(month)
		equal(t, "net", s.net("late"), 2000) // two periods of the old plan, and nothing of the void invoice
	})
	t.Run("is canceled by voiding its invoice", func(t *testing.T) {
		sub := s.subscribe("void", starter)
		s.card("void", "decline")
		void, err := s.api.Invoices.VoidInvoice(upgrade(t, sub).LatestInvoice.ID, nil)
		must(t, void, err)
		equal(t, "pending", s.subscription(sub.ID).PendingUpdate, nil)
	})
	t.Run("takes nothing but what charges", func(t *testing.T) {
		sub := s.subscribe("strict", starter)
		params := switchTo(sub, pro, "always_invoice")
		params.PaymentBehavior = stripe.String("pending_if_incomplete")
		params.AddMetadata("plan", "pro")
		_, err := s.api.Subscriptions.Update(sub.ID, params)
		if e, ok := errors.AsType[*stripe.Error](err); !ok || e.HTTPStatusCode != http.StatusBadRequest || e.Param != "metadata" {
			t.Errorf("metadata with pending_if_incomplete answer %v", err)
		}
	})
}

func TestPreview(t *testing.T) {
	s := start(t)
	starter, pro := s.price("starter", 1000), s.price("pro", 3000)
	sub := s.subscribe("acme", starter)
	item := []*stripe.SubscriptionItemsParams{{ID: &sub.Items.Data[0].ID, Price: &pro.ID}}

	t.Run("of the renewal", func(t *testing.T) {
		next, err := s.api.Invoices.Upcoming(&stripe.InvoiceUpcomingParams{Subscription: &sub.ID})
		equal(t, "due", must(t, next, err).AmountDue, 1000)
		equal(t, "start", next.Lines.Data[0].Period.Start, sub.CurrentPeriodEnd)
	})
	t.Run("of an upgrade now", func(t *testing.T) {
		next, err := s.api.Invoices.Upcoming(&stripe.InvoiceUpcomingParams{
			Subscription: &sub.ID, SubscriptionItems: item,
			SubscriptionProrationBehavior: stripe.String("always_invoice"), SubscriptionProrationDate: halfway(sub),
		})
		equal(t, "due", must(t, next, err).AmountDue, 1000)
	})
	t.Run("of an upgrade with the renewal", func(t *testing.T) {
		next, err := s.api.Invoices.Upcoming(&stripe.InvoiceUpcomingParams{
			Subscription: &sub.ID, SubscriptionItems: item, SubscriptionProrationDate: halfway(sub),
		})
		equal(t, "due", must(t, next, err).AmountDue, 1000+3000)
	})
	t.Run("of a new subscription", func(t *testing.T) {
		next, err := s.api.Invoices.Upcoming(&stripe.InvoiceUpcomingParams{
			Customer: &sub.Customer.ID, SubscriptionItems: []*stripe.SubscriptionItemsParams{{Price: &pro.ID}},
		})
		equal(t, "due", must(t, next, err).AmountDue, 3000)
	})
	equal(t, "net", s.net("acme"), 1000)
	equal(t, "price", s.subscription(sub.ID).Items.Data[0].Price.ID, starter.ID)
}

func TestRefunds(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("starter", 4900))
	intent := sub.LatestInvoice.PaymentIntent.ID
	part, err := s.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &intent, Amount: stripe.Int64(900)})
	must(t, part, err)
	equal(t, "net", s.net("acme"), 4000)
	_, err = s.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &intent, Amount: stripe.Int64(4001)})
	if e, ok := errors.AsType[*stripe.Error](err); !ok || e.Param != "amount" {
		t.Errorf("a refund of too much answers %v", err)
	}
	must(t, part, second(s.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &intent})))
	equal(t, "net", s.net("acme"), 0)
	_, err = s.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &intent})
	if e, ok := errors.AsType[*stripe.Error](err); !ok || e.Code != stripe.ErrorCodeChargeAlreadyRefunded {
		t.Errorf("a third refund answers %v", err)
	}
}

func TestCoupons(t *testing.T) {
	s := start(t)
	p := s.price("starter", 1000)
	half, err := s.api.Coupons.New(&stripe.CouponParams{PercentOff: stripe.Float64(50), Duration: stripe.String("once")})
	must(t, half, err)
	sub := s.subscribe("acme", p, func(params *stripe.SubscriptionParams) { params.Coupon = &half.ID })
	equal(t, "first", s.net("acme"), 500)
	equal(t, "subtotal", sub.LatestInvoice.Subtotal, 1000)
	s.advance(month + 2*time.Hour)
	equal(t, "second", s.net("acme"), 1500)
}

func TestItemsOfTheirOwn(t *testing.T) {
	s := start(t)
	starter, seats := s.price("starter", 1000), s.price("seats", 200)
	sub := s.subscribe("acme", starter)
	item, err := s.api.SubscriptionItems.New(&stripe.SubscriptionItemParams{
		Subscription: &sub.ID, Price: &seats.ID, Quantity: stripe.Int64(3), ProrationBehavior: stripe.String("none"),
	})
	must(t, item, err)
	more, err := s.api.SubscriptionItems.Update(item.ID, &stripe.SubscriptionItemParams{
		Quantity: stripe.Int64(5), ProrationBehavior: stripe.String("always_invoice"), ProrationDate: halfway(sub),
	})
	equal(t, "quantity", must(t, more, err).Quantity, 5)
	equal(t, "net after two more seats", s.net("acme"), 1000+200)
	gone, err := s.api.SubscriptionItems.Del(item.ID, &stripe.SubscriptionItemParams{ProrationBehavior: stripe.String("none")})
	equal(t, "deleted", must(t, gone, err).Deleted, true)
	if _, err := s.api.SubscriptionItems.Del(sub.Items.Data[0].ID, nil); status(err) != http.StatusBadRequest {
		t.Errorf("the last item's end answers %v", err)
	}
	s.advance(month + 2*time.Hour)
	equal(t, "net", s.net("acme"), 1000+200+1000)
}

func TestAChargeBelowTheMinimumStaysOnTheBalance(t *testing.T) {
	s := start(t)
	starter, pro := s.price("starter", 1000), s.price("pro", 1060)
	sub := s.subscribe("acme", starter)
	params := switchTo(sub, pro, "always_invoice")
	params.ProrationDate = halfway(sub)
	changed, err := s.api.Subscriptions.Update(sub.ID, params)
	equal(t, "invoice", must(t, changed, err).LatestInvoice.Status, stripe.InvoiceStatusPaid)
	equal(t, "net", s.net("acme"), 1000)
	s.advance(month + 2*time.Hour)
	equal(t, "net", s.net("acme"), 1000+1060+30)
}

func TestAFirstPeriodUpToAnAnchor(t *testing.T) {
	s := start(t)
	p := s.price("starter", 4900)
	anchor := func(params *stripe.SubscriptionParams) {
		params.BillingCycleAnchor = stripe.Int64(s.now().Add(10 * oneDay).Unix())
	}
	part := s.subscribe("part", p, anchor)
	whole := float64(month / time.Second)
	if got := float64(s.net("part")); got < 4900*10*86400/whole-1 || got > 4900*10*86400/(28*86400)+1 {
		t.Errorf("ten days cost %v", got)
	}
	free := s.subscribe("free", p, anchor, func(params *stripe.SubscriptionParams) { params.ProrationBehavior = stripe.String("none") })
	equal(t, "invoice", free.LatestInvoice, nil)
	s.advance(10*oneDay + 2*time.Hour)
	equal(t, "net", s.net("free"), 4900)
	equal(t, "period start", s.subscription(part.ID).CurrentPeriodStart, part.CurrentPeriodEnd)
}
