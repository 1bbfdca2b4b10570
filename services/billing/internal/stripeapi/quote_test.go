package stripeapi_test

import (
	"testing"
	"time"

	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/plan"
)

// What a quote says is what then happens: nobody is charged another amount than was shown.
func TestAQuoteIsWhatIsCharged(t *testing.T) {
	tests := []struct {
		name        string
		from, to    string
		atPeriodEnd bool
		cancel      bool
		trial       bool
		begin       func(*testing.T, *sim, plan.Subscription) plan.Subscription
		do          func(*testing.T, *sim, plan.Subscription)
	}{
		{name: "up now", from: "starter", to: "professional", do: change(plan.Raise, "professional")},
		{name: "down now", from: "professional", to: "starter", do: change(plan.Lower, "starter")},
		{name: "up in a trial", from: "starter", to: "professional", trial: true, do: change(plan.Swap, "professional")},
		{
			name: "down with the period", from: "professional", to: "starter", atPeriodEnd: true,
			do: func(t *testing.T, s *sim, sub plan.Subscription) {
				got(s.Schedule(t.Context(), "k", sub, "starter"))(t)
			},
		},
		{
			name: "what is scheduled already", from: "professional", to: "starter", atPeriodEnd: true, begin: scheduled("starter"),
			do: func(*testing.T, *sim, plan.Subscription) {},
		},
		{
			name: "another plan than the scheduled one", from: "enterprise", to: "professional", atPeriodEnd: true, begin: scheduled("starter"),
			do: func(t *testing.T, s *sim, sub plan.Subscription) {
				got(s.Schedule(t.Context(), "k2", sub, "professional"))(t)
			},
		},
		{
			name: "up now instead of what is scheduled", from: "professional", to: "enterprise", begin: scheduled("starter"),
			do: func(t *testing.T, s *sim, sub plan.Subscription) {
				change(plan.Raise, "enterprise")(t, s, got(s.Unschedule(t.Context(), "r", sub))(t))
			},
		},
		{
			name: "up now instead of leaving", from: "starter", to: "professional",
			begin: func(t *testing.T, s *sim, sub plan.Subscription) plan.Subscription {
				return got(s.CancelAtPeriodEnd(t.Context(), "leave", sub.ID, true))(t)
			},
			do: func(t *testing.T, s *sim, sub plan.Subscription) {
				change(plan.Raise, "professional")(t, s, got(s.CancelAtPeriodEnd(t.Context(), "stay", sub.ID, false))(t))
			},
		},
		{name: "the plan that it is on", from: "starter", to: "starter", do: func(*testing.T, *sim, plan.Subscription) {}},
		{
			name: "leaving", from: "starter", to: "starter", cancel: true,
			do: func(t *testing.T, s *sim, sub plan.Subscription) {
				got(s.CancelAtPeriodEnd(t.Context(), "k", sub.ID, true))(t)
			},
		},
		{
			name: "leaving instead of what is scheduled", from: "professional", to: "professional", cancel: true, begin: scheduled("starter"),
			do: func(t *testing.T, s *sim, sub plan.Subscription) {
				got(s.Unschedule(t.Context(), "r", sub))(t)
				got(s.CancelAtPeriodEnd(t.Context(), "k", sub.ID, true))(t)
			},
		},
		{
			name: "free with the period", from: "starter", to: "free", atPeriodEnd: true,
			do: func(t *testing.T, s *sim, sub plan.Subscription) {
				got(s.CancelAtPeriodEnd(t.Context(), "k", sub.ID, true))(t)
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := simulate(t)
			var options []func(*app.NewSubscription)
			if tt.trial {
				options = append(options, trial(10*24*time.Hour, s))
			}
			sub := s.subscribed(tt.from, options...)
			if tt.begin != nil {
				sub = tt.begin(t, s, sub)
			}
			sub = s.live(sub.CustomerID)
			if err := s.SetUsage(t.Context(), "u", sub.Usage["documents"], 300, time.Time{}); err != nil {
				t.Fatal(err)
			}
			s.advance(7 * 24 * time.Hour)
			quote := got(s.Quote(t.Context(), plan.QuoteOf{
				CustomerID: sub.CustomerID, Subscription: &sub, Plan: tt.to, AtPeriodEnd: tt.atPeriodEnd, Cancel: tt.cancel,
			}))(t)
			if len(quote.Lines) == 0 {
				t.Error("the quote has no lines")
			}
			before, credit := s.net(), s.credit(sub.CustomerID)
			tt.do(t, s, sub)
			equal(t, "due now", quote.DueNowCents, s.net()-before-(s.credit(sub.CustomerID)-credit))
			before = s.net()
			s.renew(sub)
			equal(t, "next", quote.NextCents, s.net()-before)
			if quote.NextAt == nil || !quote.NextAt.Equal(sub.CurrentPeriodEnd) {
				t.Errorf("the next invoice is to come at %v, not %v", quote.NextAt, sub.CurrentPeriodEnd)
			}
		})
	}
}

func TestAQuoteOfAFirstSubscription(t *testing.T) {
	s := simulate(t)
	t.Run("to a stranger", func(t *testing.T) {
		quote := got(s.Quote(t.Context(), plan.QuoteOf{Plan: "starter"}))(t)
		equal(t, "due now", quote.DueNowCents, cents("starter"))
		equal(t, "next", quote.NextCents, cents("starter"))
	})
	t.Run("with credit left", func(t *testing.T) {
		former := s.subscribed("professional")
		got(s.Cancel(t.Context(), former.ID, true))(t)
		quote := got(s.Quote(t.Context(), plan.QuoteOf{CustomerID: former.CustomerID, Plan: "enterprise"}))(t)
		equal(t, "due now", quote.DueNowCents, cents("enterprise")-cents("professional"))
		before := s.net()
		made := got(s.Subscribe(t.Context(), "again", app.NewSubscription{CustomerID: former.CustomerID, Tenant: "acme", Plan: "enterprise"}))(t)
		equal(t, "charged", s.net()-before, quote.DueNowCents)
		s.renew(made)
		equal(t, "charged next", s.net()-before-quote.DueNowCents, quote.NextCents)
		if quote.NextAt == nil || !quote.NextAt.Equal(made.CurrentPeriodEnd) {
			t.Errorf("next at %v, want %v", quote.NextAt, made.CurrentPeriodEnd)
		}
	})
	t.Run("of nothing", func(t *testing.T) {
		quote := got(s.Quote(t.Context(), plan.QuoteOf{Plan: "free"}))(t)
		if quote.DueNowCents != 0 || quote.NextCents != 0 || quote.NextAt != nil || quote.Lines == nil {
			t.Errorf("got %+v", quote)
		}
		if _, err := s.Quote(t.Context(), plan.QuoteOf{Plan: "gold"}); err == nil {
			t.Error("an unknown plan has got a quote")
		}
	})
}

func TestAQuoteOfLeavingNow(t *testing.T) {
	s := simulate(t)
	sub := s.subscribed("professional")
	s.advance(sub.CurrentPeriodEnd.Sub(sub.CurrentPeriodStart) / 2)
	quote := got(s.Quote(t.Context(), plan.QuoteOf{CustomerID: sub.CustomerID, Subscription: &sub, Plan: "free"}))(t)
	equal(t, "due now", quote.DueNowCents, -cents("professional")/2)
	equal(t, "next", quote.NextCents, 0)
	got(s.Cancel(t.Context(), sub.ID, true))(t)
	equal(t, "credit", s.credit(sub.CustomerID), cents("professional")/2)
}

func change(how plan.Change, to string) func(*testing.T, *sim, plan.Subscription) {
	return func(t *testing.T, s *sim, sub plan.Subscription) {
		t.Helper()
		got(s.ChangePlan(t.Context(), "change", sub, how, to))(t)
	}
}

func scheduled(to string) func(*testing.T, *sim, plan.Subscription) plan.Subscription {
	return func(t *testing.T, s *sim, sub plan.Subscription) plan.Subscription {
		t.Helper()
		return got(s.Schedule(t.Context(), "schedule", sub, to))(t)
	}
}
