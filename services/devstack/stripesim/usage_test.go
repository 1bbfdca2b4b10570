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
