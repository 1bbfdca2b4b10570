package stripesim_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/stripe/stripe-go/v76"
)

// A list within an object is cut after ten; the rest is listed by itself.
func TestALongInvoiceIsListedInPages(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("starter", 1000))
	for i := range 24 {
		item, err := s.api.InvoiceItems.New(&stripe.InvoiceItemParams{
			Customer: &sub.Customer.ID, Amount: stripe.Int64(100), Currency: stripe.String("usd"), Description: stripe.String(fmt.Sprint(i)),
		})
		must(t, item, err)
	}
	s.renew(sub)
	inv := s.subscription(sub.ID).LatestInvoice
	equal(t, "total", inv.Total, 24*100+1000)
	equal(t, "lines within", len(inv.Lines.Data), 10)
	equal(t, "more", inv.Lines.HasMore, true)
	for _, limit := range []int64{1, 7, 10, 100} {
		params := &stripe.InvoiceListLinesParams{Invoice: &inv.ID}
		params.Limit = &limit
		var sum, n int64
		for list := s.api.Invoices.ListLines(params); list.Next(); n++ {
			sum += list.InvoiceLineItem().Amount
		}
		equal(t, fmt.Sprint("lines in pages of ", limit), n, 25)
		equal(t, "sum", sum, inv.Total)
	}
}

func TestPagesOfAListWithinAnObject(t *testing.T) {
	s := start(t)
	var params []*stripe.SubscriptionItemsParams
	for i := range 5 {
		params = append(params, &stripe.SubscriptionItemsParams{Price: &s.price(fmt.Sprint("p", i), 100).ID})
	}
	sub := s.subscribe("acme", s.price("starter", 1000), func(p *stripe.SubscriptionParams) { p.Items = append(p.Items, params...) })
	var ids []string
	for _, item := range sub.Items.Data {
		ids = append(ids, item.ID)
	}
	for _, c := range []struct {
		query string
		want  []string
		more  bool
	}{
		{"limit=4", ids[:4], true},
		{"limit=6", ids, false},
		{"limit=2&starting_after=" + ids[1], ids[2:4], true},
		{"limit=2&starting_after=" + ids[3], ids[4:], false},
		{"limit=2&ending_before=" + ids[4], ids[2:4], true},
		{"limit=3&ending_before=" + ids[2], ids[:2], false},
	} {
		var page struct {
			Data []struct{ ID string }
			More bool `json:"has_more"`
		}
		s.read("/v1/subscription_items?subscription="+sub.ID+"&"+c.query, &page)
		var found []string
		for _, item := range page.Data {
			found = append(found, item.ID)
		}
		if !slices.Equal(found, c.want) || page.More != c.more {
			t.Errorf("%s answers %v, more: %v; want %v, %v", c.query, found, page.More, c.want, c.more)
		}
	}
	for _, query := range []string{"limit=0", "limit=101", "starting_after=" + ids[0] + "&ending_before=" + ids[1], "starting_after=si_none"} {
		if status := s.get("/v1/subscription_items?subscription="+sub.ID+"&"+query, nil); status != http.StatusBadRequest {
			t.Errorf("%s answers %d", query, status)
		}
	}
}

func TestEventsAreListedForThirtyDays(t *testing.T) {
	s := start(t)
	s.customer("early")
	s.advance(29 * oneDay)
	made := s.customer("late")
	count := func(filter url.Values) (n int) {
		t.Helper()
		filter.Set("limit", "1")
		for after := ""; ; n++ {
			var page struct {
				Data []struct{ ID string }
				More bool `json:"has_more"`
			}
			s.read("/v1/events?"+filter.Encode()+after, &page)
			if len(page.Data) == 0 {
				return n
			}
			after = "&starting_after=" + page.Data[0].ID
		}
	}
	since := fmt.Sprint(made.Created)
	equal(t, "customers", count(url.Values{"type": {"customer.created"}}), 2)
	equal(t, "by pattern", count(url.Values{"types[]": {"customer.*"}}), 2)
	equal(t, "from a time on", count(url.Values{"types[]": {"customer.created"}, "created[gte]": {since}}), 1)
	equal(t, "before it", count(url.Values{"types[]": {"customer.created"}, "created[lt]": {since}}), 1)
	s.advance(2 * oneDay)
	equal(t, "after 31 days", count(url.Values{"type": {"customer.created"}}), 1)
}

func (s *sim) get(path string, out any) int {
	s.t.Helper()
	return s.send(http.MethodGet, path, http.NoBody, out)
}

func (s *sim) read(path string, out any) {
	s.t.Helper()
	if status := s.get(path, out); status != http.StatusOK {
		s.t.Fatalf("GET %s answers %d", path, status)
	}
}
