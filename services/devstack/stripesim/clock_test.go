package stripesim_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
)

func (s *sim) freeze(frozen bool) {
	s.t.Helper()
	s.control(http.MethodPost, "/_sim/clock", object{"freeze": frozen}, nil)
}

func (s *sim) frozen() bool {
	s.t.Helper()
	var clock struct{ Frozen bool }
	s.control(http.MethodGet, "/_sim/clock", nil, &clock)
	return clock.Frozen
}

// With a frozen clock a test knows every amount beforehand.
func TestAFrozenClockMakesProrationsExact(t *testing.T) {
	s := start(t)
	s.freeze(true)
	begun := s.now()
	starter, pro := s.price("starter", 4900), s.price("pro", 19900)
	sub := s.subscribe("acme", starter)
	equal(t, "start", sub.CurrentPeriodStart, begun.Unix())
	equal(t, "credit of the whole period", s.mustSwitch(sub, pro).LatestInvoice.Total, 19900-4900)

	whole := sub.CurrentPeriodEnd - sub.CurrentPeriodStart
	s.advance(time.Duration(whole/4) * time.Second)
	equal(t, "now", s.now().Unix(), begun.Unix()+whole/4)
	left := whole - whole/4
	want := (4900*left*2+whole)/(2*whole) - (19900*left*2+whole)/(2*whole) // each line rounded by itself
	equal(t, "three quarters", s.mustSwitch(sub, starter).LatestInvoice.Total, want)

	s.freeze(false)
	equal(t, "frozen", s.frozen(), false)
	s.until("time to go on", func() bool { return s.now().After(begun.Add(time.Duration(whole/4) * time.Second)) })
}

func TestAFrozenClockSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	s, kill := spawn(t, dir)
	s.freeze(true)
	s.advance(time.Hour)
	at := s.now()
	kill()
	again, _ := spawn(t, dir)
	equal(t, "frozen", again.frozen(), true)
	equal(t, "now", again.now(), at)
	again.advance(time.Minute)
	equal(t, "a minute later", again.now(), at.Add(time.Minute))
}

func TestWebhooksComeAgainWhileTheClockIsFrozen(t *testing.T) {
	e := receive(t, "whsec_first")
	e.answer(http.StatusInternalServerError)
	s := start(t, to(e))
	s.freeze(true)
	s.customer("acme")
	e.answer(http.StatusOK)
	s.until("the delivery", func() bool { return e.count("customer.created") == 1 })
}

func (s *sim) mustSwitch(sub *stripe.Subscription, p *stripe.Price) *stripe.Subscription {
	s.t.Helper()
	changed, err := s.api.Subscriptions.Update(sub.ID, switchTo(sub, p, "always_invoice"))
	return must(s.t, changed, err)
}
