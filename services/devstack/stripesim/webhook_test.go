package stripesim_test

import (
	"net/http"
	"testing"
	"time"

	"tenure/services/devstack/stripesim"
)

func to(e *endpoint) func(*stripesim.Config) {
	return func(cfg *stripesim.Config) { cfg.WebhookURL = e.url }
}

func TestWebhooksAreSignedWithTheFirstSecret(t *testing.T) {
	e := receive(t, "whsec_first")
	s := start(t, to(e))
	s.subscribe("acme", s.price("starter", 4900))
	for _, kind := range []string{"customer.created", "customer.subscription.created", "invoice.paid", "payment_intent.succeeded"} {
		s.until(kind, func() bool { return e.count(kind) == 1 })
	}
	delivered := 0
	s.until("the confirmation of all", func() bool {
		var events []struct {
			Pending int `json:"pending_webhooks"`
		}
		s.control(http.MethodGet, "/_sim/events", nil, &events)
		delivered = 0
		for _, event := range events {
			if event.Pending == 0 {
				delivered++
			}
		}
		return delivered == len(events)
	})
}

func TestARefusedWebhookComesAgain(t *testing.T) {
	e := receive(t, "whsec_first")
	e.answer(http.StatusInternalServerError)
	s := start(t, to(e))
	s.customer("acme")
	e.answer(http.StatusOK)
	s.advance(time.Hour) // the backoff counts on the simulated clock
	s.until("the delivery", func() bool { return e.count("customer.created") == 1 })
}

func TestEventsWaitForAnEndpoint(t *testing.T) {
	e := receive(t, "whsec_first")
	s := start(t)
	s.customer("acme")
	equal(t, "delivered without an endpoint", e.count("customer.created"), 0)
	s.server.SetWebhookURL(e.url)
	s.until("the delivery", func() bool { return e.count("customer.created") == 1 })
}

func TestDeliverAgain(t *testing.T) {
	e := receive(t, "whsec_first")
	s := start(t, to(e))
	s.customer("acme")
	s.until("the delivery", func() bool { return e.count("customer.created") == 1 })
	var events []struct{ ID, Type string }
	s.control(http.MethodGet, "/_sim/events?tenant=acme", nil, &events)
	var outcome struct{ Statuses []int }
	s.control(http.MethodPost, "/_sim/deliver", object{"event_id": events[0].ID, "times": 3}, &outcome)
	equal(t, "posts", len(outcome.Statuses), 3)
	equal(t, "received", e.count("customer.created"), 4)
}

// A receiver of invoice.created may add to the draft: the invoice must not be
// finalized before the event has arrived.
func TestADraftWaitsForItsWebhook(t *testing.T) {
	e := receive(t, "whsec_first")
	s := start(t, to(e))
	sub := s.subscribe("acme", s.price("starter", 4900))
	s.until("the first invoice's event", func() bool { return e.count("invoice.created") == 1 })
	e.answer(http.StatusServiceUnavailable)
	s.advance(time.Unix(sub.CurrentPeriodEnd, 0).Sub(s.now()) + 3*time.Hour)
	equal(t, "invoice", string(s.subscription(sub.ID).LatestInvoice.Status), "draft")
	e.answer(http.StatusOK)
	s.advance(time.Minute)
	s.until("the payment", func() bool { return s.net("acme") == 2*4900 })
}

func TestWebhooksCanBeShuffled(t *testing.T) {
	e := receive(t, "whsec_first")
	s := start(t, func(cfg *stripesim.Config) { cfg.Shuffle = 7 })
	p := s.price("starter", 4900)
	for range 5 {
		s.subscribe("acme", p)
	}
	var events []struct{ ID string }
	s.control(http.MethodGet, "/_sim/events", nil, &events)
	s.server.SetWebhookURL(e.url) // all have waited for it
	s.until("all events", func() bool { return len(e.order()) >= len(events) })
	moved, place := 0, e.order()
	equal(t, "deliveries", len(place), len(events))
	for i, event := range events {
		at, ok := place[event.ID]
		if !ok {
			t.Errorf("%s was not delivered", event.ID)
		}
		moved = max(moved, i-at)
	}
	if moved < 16 { // eight at once would lose the order a little by themselves
		t.Errorf("no event came earlier than by %d places", moved)
	}
}
