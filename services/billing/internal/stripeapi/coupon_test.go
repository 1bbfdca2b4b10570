package stripeapi_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
)

// half makes a coupon of 50%.
func (s *sim) half(id, duration string) string {
	s.t.Helper()
	return s.post("/v1/coupons", url.Values{"id": {id}, "percent_off": {"50"}, "duration": {duration}})
}

func TestANewSubscriptionComesWithItsCoupon(t *testing.T) {
	s := simulate(t)
	s.half("BACK50", "once")
	made := s.subscribed("professional", func(n *app.NewSubscription) { n.Coupon = "BACK50" })
	equal(t, "charged", s.net(), cents("professional")/2)
	s.renew(s.live(made.CustomerID))
	equal(t, "charged with the renewal", s.net(), cents("professional")/2+cents("professional"))
}

func TestACouponIsPutOnASubscriptionOnceAndTakenOff(t *testing.T) {
	s := simulate(t)
	s.half("BACK50", "forever")
	sub := s.subscribed("professional")
	with := got(s.Redeem(t.Context(), "k", sub.ID, "BACK50", "operation-1"))(t)
	equal(t, "coupon", with.Coupon, "BACK50")
	equal(t, "redeemed by", with.RedeemedBy, "operation-1")
	equal(t, "plan", with.Plan, "professional")
	before := s.applied()
	got(s.Redeem(t.Context(), "k", sub.ID, "BACK50", "operation-1"))(t)
	equal(t, "calls with an effect", s.applied(), before)
	equal(t, "tenant", s.live(sub.CustomerID).Tenant, sub.Tenant)

	without := got(s.Forfeit(t.Context(), "back", sub.ID))(t)
	equal(t, "coupon", without.Coupon, "")
	charged := s.net()
	s.renew(s.live(sub.CustomerID))
	equal(t, "charged with the renewal", s.net()-charged, cents("professional"))
}

func TestACouponThatIsNotGoodIsRefusedWithTheReason(t *testing.T) {
	s := simulate(t)
	s.post("/v1/coupons", url.Values{"id": {"GONE"}, "percent_off": {"50"}, "duration": {"once"}, "max_redemptions": {"1"}})
	sub := s.subscribed("professional", func(n *app.NewSubscription) { n.Coupon = "GONE" })
	for _, coupon := range []string{"NEVER", "GONE"} {
		for what, err := range map[string]error{
			"subscribe": second(s.Subscribe(t.Context(), coupon+"s", app.NewSubscription{CustomerID: sub.CustomerID, Tenant: "acme", Plan: "starter", Coupon: coupon})),
			"redeem":    second(s.Redeem(t.Context(), coupon+"r", sub.ID, coupon, "operation-1")),
		} {
			var refused *app.Refused
			if !errors.As(err, &refused) || !strings.Contains(refused.Reason, coupon) {
				t.Errorf("%s with %s: %v", what, coupon, err)
			}
		}
		if _, err := s.Quote(t.Context(), plan.QuoteOf{CustomerID: sub.CustomerID, Plan: "starter", Coupon: coupon}); err == nil {
			t.Errorf("%s has got a quote", coupon)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// What a quote says is what a tenant pays that comes back with a coupon.
func TestAQuoteWithACouponIsWhatIsCharged(t *testing.T) {
	for _, duration := range []string{"once", "forever"} {
		t.Run(duration+", to a new subscription", func(t *testing.T) {
			s := simulate(t)
			s.half("BACK50", duration)
			stranger := got(s.Quote(t.Context(), plan.QuoteOf{Plan: "professional", Coupon: "BACK50"}))(t)
			quote := got(s.Quote(t.Context(), plan.QuoteOf{CustomerID: s.customer(), Plan: "professional", Coupon: "BACK50"}))(t)
			equal(t, "due now of a stranger", stranger.DueNowCents, quote.DueNowCents)
			equal(t, "next of a stranger", stranger.NextCents, quote.NextCents)
			made := s.subscribed("professional", func(n *app.NewSubscription) { n.Coupon = "BACK50" })
			charged := s.net()
			equal(t, "due now", quote.DueNowCents, charged)
			s.renew(s.live(made.CustomerID))
			equal(t, "next", quote.NextCents, s.net()-charged)
		})
		t.Run(duration+", instead of leaving", func(t *testing.T) {
			s := simulate(t)
			s.half("BACK50", duration)
			sub := s.subscribed("professional")
			sub = got(s.CancelAtPeriodEnd(t.Context(), "leave", sub.ID, true))(t)
			quote := got(s.Quote(t.Context(), plan.QuoteOf{CustomerID: sub.CustomerID, Subscription: &sub, Plan: "professional", Stays: true, Coupon: "BACK50"}))(t)
			equal(t, "due now", quote.DueNowCents, 0)
			got(s.CancelAtPeriodEnd(t.Context(), "stay", sub.ID, false))(t)
			got(s.Redeem(t.Context(), "redeem", sub.ID, "BACK50", "operation-1"))(t)
			charged := s.net()
			s.renew(s.live(sub.CustomerID))
			equal(t, "next", quote.NextCents, s.net()-charged)
			equal(t, "half of the price", quote.NextCents, cents("professional")/2)
		})
		t.Run(duration+", to a higher plan", func(t *testing.T) {
			s := simulate(t)
			s.half("BACK50", duration)
			sub := s.subscribed("starter")
			s.advance(sub.CurrentPeriodEnd.Sub(sub.CurrentPeriodStart) / 2)
			quote := got(s.Quote(t.Context(), plan.QuoteOf{CustomerID: sub.CustomerID, Subscription: &sub, Plan: "professional", Stays: true, Coupon: "BACK50"}))(t)
			before := s.net()
			got(s.ChangePlan(t.Context(), "raise", sub, plan.Raise, "professional"))(t)
			got(s.Redeem(t.Context(), "redeem", sub.ID, "BACK50", "operation-1"))(t)
			charged := s.net()
			equal(t, "due now", quote.DueNowCents, charged-before)
			s.renew(s.live(sub.CustomerID))
			equal(t, "next", quote.NextCents, s.net()-charged)
		})
	}
}
