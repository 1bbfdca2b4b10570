package stripesim_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
)

func metered(t *testing.T, s *sim, meter *string) *stripe.Price {
	t.Helper()
	p, err := s.api.Prices.New(&stripe.PriceParams{
		Currency: stripe.String("usd"), UnitAmountDecimal: stripe.Float64(0.5),
		ProductData: &stripe.PriceProductDataParams{Name: stripe.String("Queries")},
		Recurring: &stripe.PriceRecurringParams{
			Interval: stripe.String("month"), UsageType: stripe.String("metered"), Meter: meter,
		},
	})
	return must(t, p, err)
}

func TestUsageRecordsAreChargedAfterThePeriod(t *testing.T) {
	s := start(t)
	usage := metered(t, s, nil)
	sub := s.subscribe("acme", s.price("starter", 1000), func(p *stripe.SubscriptionParams) {
		p.Items = append(p.Items, &stripe.SubscriptionItemsParams{Price: &usage.ID})
	})
	equal(t, "net in advance", s.net("acme"), 1000)
	item := sub.Items.Data[1].ID
	for _, quantity := range []int64{300, 41} {
		record, err := s.api.UsageRecords.New(&stripe.UsageRecordParams{
			SubscriptionItem: &item, Quantity: &quantity, TimestampNow: stripe.Bool(true), Action: stripe.String("increment"),
		})
		must(t, record, err)
	}
	next, err := s.api.Invoices.Upcoming(&stripe.InvoiceUpcomingParams{Subscription: &sub.ID})
	equal(t, "preview", must(t, next, err).AmountDue, 1000+171) // 341 half cents, rounded once
	s.advance(month + 2*time.Hour)
	equal(t, "net", s.net("acme"), 1000+1000+171)
}

func TestMeterEventsAreCountedOnce(t *testing.T) {
	s := start(t)
	meter, err := s.api.BillingMeters.New(&stripe.BillingMeterParams{
		DisplayName: stripe.String("Queries"), EventName: stripe.String("queries"),
		DefaultAggregation: &stripe.BillingMeterDefaultAggregationParams{Formula: stripe.String("sum")},
	})
	must(t, meter, err)
	usage := metered(t, s, &meter.ID)
	sub := s.subscribe("acme", usage)
	for i := range 20 {
		_, err := s.api.BillingMeterEvents.New(&stripe.BillingMeterEventParams{
			EventName: stripe.String("queries"), Identifier: stripe.String(fmt.Sprint("e", i%15)),
			Payload: map[string]string{"stripe_customer_id": sub.Customer.ID, "value": "100"},
		})
		if twin := i >= 15; twin != (status(err) == http.StatusBadRequest) {
			t.Fatalf("event %d answers %v", i, err)
		}
	}
	s.advance(month + 2*time.Hour)
	equal(t, "net", s.net("acme"), 15*100/2)
}

func TestAnItemCanBeAddedToADraft(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("starter", 1000))
	s.advance(time.Unix(sub.CurrentPeriodEnd, 0).Sub(s.now()) + time.Minute)
	draft := s.subscription(sub.ID).LatestInvoice
	item, err := s.api.InvoiceItems.New(&stripe.InvoiceItemParams{
		Customer: &sub.Customer.ID, Invoice: &draft.ID, Amount: stripe.Int64(250), Currency: stripe.String("usd"),
	})
	must(t, item, err)
	s.advance(time.Hour)
	equal(t, "net", s.net("acme"), 1000+1250)
	late := &stripe.InvoiceItemParams{Customer: &sub.Customer.ID, Invoice: &draft.ID, Amount: stripe.Int64(1), Currency: stripe.String("usd")}
	if _, err := s.api.InvoiceItems.New(late); status(err) != http.StatusBadRequest {
		t.Errorf("an item on a paid invoice answers %v", err)
	}
}

func TestAnInvoiceOfItsOwn(t *testing.T) {
	s := start(t)
	cus := s.customer("acme")
	item, err := s.api.InvoiceItems.New(&stripe.InvoiceItemParams{Customer: &cus.ID, Amount: stripe.Int64(700), Currency: stripe.String("usd")})
	must(t, item, err)
	draft, err := s.api.Invoices.New(&stripe.InvoiceParams{Customer: &cus.ID, PendingInvoiceItemsBehavior: stripe.String("include")})
	must(t, draft, err)
	open, err := s.api.Invoices.FinalizeInvoice(draft.ID, nil)
	equal(t, "status", must(t, open, err).Status, stripe.InvoiceStatusOpen)
	paid, err := s.api.Invoices.Pay(draft.ID, nil)
	equal(t, "status", must(t, paid, err).Status, stripe.InvoiceStatusPaid)
	equal(t, "net", s.net("acme"), 700)
	if _, err := s.api.Invoices.Pay(draft.ID, nil); status(err) != http.StatusBadRequest {
		t.Errorf("a second payment answers %v", err)
	}
}

func TestWhenUsageIsTaken(t *testing.T) {
	s := start(t)
	s.freeze(true)
	last, err := s.api.Prices.New(&stripe.PriceParams{
		Currency: stripe.String("usd"), UnitAmount: stripe.Int64(1), ProductData: &stripe.PriceProductDataParams{Name: stripe.String("Pages")},
		Recurring: &stripe.PriceRecurringParams{
			Interval: stripe.String("month"), UsageType: stripe.String("metered"), AggregateUsage: stripe.String("last_during_period"),
		},
	})
	must(t, last, err)
	usage := metered(t, s, nil)
	sub := s.subscribe("acme", s.price("starter", 1000), func(p *stripe.SubscriptionParams) {
		p.Items = append(p.Items, &stripe.SubscriptionItemsParams{Price: &usage.ID}, &stripe.SubscriptionItemsParams{Price: &last.ID})
	})
	licensed, summed, lastly := sub.Items.Data[0].ID, sub.Items.Data[1].ID, sub.Items.Data[2].ID
	s.advance(time.Unix(sub.CurrentPeriodEnd, 0).Sub(s.now()) + time.Minute) // of the next period
	turn := sub.CurrentPeriodEnd
	for _, c := range []struct {
		name, item string
		at         int64
		taken      bool
	}{
		{"now", lastly, turn + 60, true},
		{"the period's first second", lastly, turn, true},
		{"the second before", lastly, turn - 1, false},
		{"the future", lastly, turn + 61, false},
		{"a drifting clock, for what is summed up", summed, turn - 299, true},
		{"another period", summed, turn - 301, false},
		{"an item that is not metered", licensed, turn, false},
	} {
		_, err := s.api.UsageRecords.New(&stripe.UsageRecordParams{SubscriptionItem: &c.item, Quantity: stripe.Int64(7), Timestamp: &c.at})
		if (err == nil) != c.taken {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	s.advance(10 * time.Minute)
	drifted := turn - 100
	if _, err := s.api.UsageRecords.New(&stripe.UsageRecordParams{SubscriptionItem: &summed, Quantity: stripe.Int64(7), Timestamp: &drifted}); err == nil {
		t.Error("the grace has no end")
	}
	must(t, sub, second(s.api.Subscriptions.Cancel(sub.ID, nil)))
	if _, err := s.api.UsageRecords.New(&stripe.UsageRecordParams{SubscriptionItem: &summed, Quantity: stripe.Int64(7)}); err == nil {
		t.Error("a canceled subscription takes usage")
	}
}

func TestSetAndIncrement(t *testing.T) {
	s := start(t)
	s.freeze(true)
	usage := metered(t, s, nil)
	sub := s.subscribe("acme", usage)
	item, at := sub.Items.Data[0].ID, s.now().Unix()
	report := func(quantity int64, action string) {
		t.Helper()
		record, err := s.api.UsageRecords.New(&stripe.UsageRecordParams{
			SubscriptionItem: &item, Quantity: &quantity, Timestamp: &at, Action: &action,
		})
		must(t, record, err)
	}
	report(100, "increment")
	report(20, "increment")
	equal(t, "sum", s.usagePeriods(item)[0].TotalUsage, 120)
	report(50, "set")
	equal(t, "set", s.usagePeriods(item)[0].TotalUsage, 50)
	report(5, "increment")
	s.advance(time.Hour)
	at += 3600
	report(5, "set")
	equal(t, "two moments", s.usagePeriods(item)[0].TotalUsage, 60)
}

// usagePeriods are the summaries of an item, the newest first, in pages of two.
func (s *sim) usagePeriods(item string) []*stripe.UsageRecordSummary {
	s.t.Helper()
	params := &stripe.UsageRecordSummaryListParams{SubscriptionItem: &item}
	params.Limit = stripe.Int64(2)
	var all []*stripe.UsageRecordSummary
	list := s.api.UsageRecordSummaries.List(params)
	for list.Next() {
		all = append(all, list.UsageRecordSummary())
	}
	if err := list.Err(); err != nil {
		s.t.Fatal(err)
	}
	return all
}

func TestEveryPeriodOfUsageNamesItsInvoice(t *testing.T) {
	s := start(t)
	s.freeze(true)
	usage := metered(t, s, nil)
	sub := s.subscribe("acme", usage, func(p *stripe.SubscriptionParams) { p.TrialPeriodDays = stripe.Int64(10) })
	item := sub.Items.Data[0].ID
	var invoices []string
	for n := range int64(5) {
		s.use(item, 1000*(n+1))
		s.renew(s.subscription(sub.ID))
		invoices = append(invoices, s.subscription(sub.ID).LatestInvoice.ID)
	}
	periods := s.usagePeriods(item)
	equal(t, "periods", len(periods), 6)
	equal(t, "current", periods[0].TotalUsage, 0)
	equal(t, "current invoice", periods[0].Invoice, "")
	for i, p := range periods[1:] {
		equal(t, "usage", p.TotalUsage, 1000*int64(5-i))
		equal(t, "invoice", p.Invoice, invoices[4-i])
		equal(t, "end", p.Period.End, periods[i].Period.Start)
	}
	equal(t, "net, without the trial's", s.net("acme"), (2000+3000+4000+5000)/2)
}
