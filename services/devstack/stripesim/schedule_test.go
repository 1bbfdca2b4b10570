package stripesim_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"tenure/services/devstack/stripesim"
)

// downgradeLater schedules the change of a subscription to a price at the end of
// its period, as billing does.
func downgradeLater(t *testing.T, s *sim, sub *stripe.Subscription, to *stripe.Price) *stripe.SubscriptionSchedule {
	t.Helper()
	made, err := s.api.SubscriptionSchedules.New(&stripe.SubscriptionScheduleParams{FromSubscription: &sub.ID})
	must(t, made, err)
	equal(t, "status", made.Status, stripe.SubscriptionScheduleStatusActive)
	equal(t, "end of the phase", made.Phases[0].EndDate, sub.CurrentPeriodEnd)
	changed, err := s.api.SubscriptionSchedules.Update(made.ID, &stripe.SubscriptionScheduleParams{
		EndBehavior: stripe.String("release"),
		Phases: []*stripe.SubscriptionSchedulePhaseParams{
			{
				Items:     []*stripe.SubscriptionSchedulePhaseItemParams{{Price: &sub.Items.Data[0].Price.ID, Quantity: stripe.Int64(1)}},
				StartDate: &made.Phases[0].StartDate, EndDate: &made.Phases[0].EndDate,
			},
			{
				Items:      []*stripe.SubscriptionSchedulePhaseItemParams{{Price: &to.ID, Quantity: stripe.Int64(1)}},
				Iterations: stripe.Int64(1), ProrationBehavior: stripe.String("none"),
			},
		},
	})
	return must(t, changed, err)
}

func TestAScheduledDowngrade(t *testing.T) {
	s := start(t)
	starter, pro := s.price("starter", 1000), s.price("pro", 3000)
	sub := s.subscribe("acme", pro)
	made := downgradeLater(t, s, sub, starter)
	equal(t, "price before", s.subscription(sub.ID).Items.Data[0].Price.ID, pro.ID)
	equal(t, "schedule", s.subscription(sub.ID).Schedule.ID, made.ID)

	next, err := s.api.Invoices.Upcoming(&stripe.InvoiceUpcomingParams{Subscription: &sub.ID})
	equal(t, "preview", must(t, next, err).AmountDue, 1000)

	s.advance(time.Unix(sub.CurrentPeriodEnd, 0).Sub(s.now()) + 2*time.Hour)
	after := s.subscription(sub.ID)
	equal(t, "price after", after.Items.Data[0].Price.ID, starter.ID)
	equal(t, "item", after.Items.Data[0].ID, sub.Items.Data[0].ID)
	equal(t, "net", s.net("acme"), 3000+1000)

	s.advance(month)
	equal(t, "schedule", s.subscription(sub.ID).Schedule, nil)
	released, err := s.api.SubscriptionSchedules.Get(made.ID, nil)
	equal(t, "status", must(t, released, err).Status, stripe.SubscriptionScheduleStatusReleased)
	equal(t, "net", s.net("acme"), 3000+1000+1000)
}

func TestAReleasedScheduleChangesNothing(t *testing.T) {
	s := start(t)
	starter, pro := s.price("starter", 1000), s.price("pro", 3000)
	sub := s.subscribe("acme", pro)
	made := downgradeLater(t, s, sub, starter)
	if _, err := s.api.Subscriptions.Update(sub.ID, &stripe.SubscriptionParams{CancelAtPeriodEnd: stripe.Bool(true)}); err == nil {
		t.Error("a cancellation went past the schedule")
	}
	released, err := s.api.SubscriptionSchedules.Release(made.ID, nil)
	equal(t, "status", must(t, released, err).Status, stripe.SubscriptionScheduleStatusReleased)
	s.advance(month + 2*time.Hour)
	equal(t, "price", s.subscription(sub.ID).Items.Data[0].Price.ID, pro.ID)
	equal(t, "net", s.net("acme"), 6000)
}

func TestPhasesMustTouch(t *testing.T) {
	s := start(t)
	starter, pro := s.price("starter", 1000), s.price("pro", 3000)
	sub := s.subscribe("acme", pro)
	made, err := s.api.SubscriptionSchedules.New(&stripe.SubscriptionScheduleParams{FromSubscription: &sub.ID})
	must(t, made, err)
	_, err = s.api.SubscriptionSchedules.Update(made.ID, &stripe.SubscriptionScheduleParams{
		Phases: []*stripe.SubscriptionSchedulePhaseParams{{
			Items:     []*stripe.SubscriptionSchedulePhaseItemParams{{Price: &starter.ID}},
			StartDate: stripe.Int64(made.Phases[0].StartDate + 5), EndDate: &made.Phases[0].EndDate,
		}},
	})
	if e, ok := errors.AsType[*stripe.Error](err); !ok || e.Param != "phases[0][start_date]" {
		t.Errorf("another start of the current phase answers %v", err)
	}
}

func TestAScheduleCanEndTheSubscription(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("starter", 1000))
	made, err := s.api.SubscriptionSchedules.New(&stripe.SubscriptionScheduleParams{FromSubscription: &sub.ID})
	must(t, made, err)
	must(t, made, second(s.api.SubscriptionSchedules.Update(made.ID, &stripe.SubscriptionScheduleParams{EndBehavior: stripe.String("cancel")})))
	s.advance(month + 2*time.Hour)
	equal(t, "status", s.subscription(sub.ID).Status, stripe.SubscriptionStatusCanceled)
	equal(t, "net", s.net("acme"), 1000)
}

// A phase names all items: what it does not name it takes away, and what was used
// of an item that it keeps is charged when the period ends.
func TestAPhaseKeepsItsMeteredItem(t *testing.T) {
	s := start(t)
	s.freeze(true)
	starter, pro, usage := s.price("starter", 1000), s.price("pro", 3000), metered(t, s, nil)
	sub := s.subscribe("acme", pro, func(p *stripe.SubscriptionParams) {
		p.Items = append([]*stripe.SubscriptionItemsParams{{Price: &usage.ID}}, p.Items...) // before the plan's item
	})
	s.use(sub.Items.Data[0].ID, 400)
	made, err := s.api.SubscriptionSchedules.New(&stripe.SubscriptionScheduleParams{FromSubscription: &sub.ID})
	must(t, made, err)
	items := func(plan *stripe.Price) []*stripe.SubscriptionSchedulePhaseItemParams {
		return []*stripe.SubscriptionSchedulePhaseItemParams{{Price: &plan.ID, Quantity: stripe.Int64(1)}, {Price: &usage.ID}}
	}
	must(t, made, second(s.api.SubscriptionSchedules.Update(made.ID, &stripe.SubscriptionScheduleParams{
		Phases: []*stripe.SubscriptionSchedulePhaseParams{
			{Items: items(pro), StartDate: &made.Phases[0].StartDate, EndDate: &made.Phases[0].EndDate, ProrationBehavior: stripe.String("none")},
			{Items: items(starter), Iterations: stripe.Int64(1), ProrationBehavior: stripe.String("none")},
		},
	})))
	equal(t, "net after the phases were set", s.net("acme"), 3000)
	s.renew(sub)
	after := map[string]string{}
	for _, item := range s.subscription(sub.ID).Items.Data {
		after[item.Price.ID] = item.ID
	}
	equal(t, "metered item", after[usage.ID], sub.Items.Data[0].ID)
	equal(t, "plan's item", after[starter.ID], sub.Items.Data[1].ID)
	equal(t, "net", s.net("acme"), 3000+1000+200)
}

func TestWhatAScheduledSubscriptionTakes(t *testing.T) {
	s := start(t)
	s.freeze(true)
	starter, pro, top := s.price("starter", 1000), s.price("pro", 3000), s.price("top", 9000)
	sub := s.subscribe("acme", pro)
	if _, err := s.api.SubscriptionSchedules.New(&stripe.SubscriptionScheduleParams{
		FromSubscription: &sub.ID, Metadata: map[string]string{"tenant_id": "acme"},
	}); status(err) != http.StatusBadRequest {
		t.Errorf("metadata with from_subscription answer %v", err)
	}
	made := downgradeLater(t, s, sub, starter)
	if _, err := s.api.SubscriptionSchedules.New(&stripe.SubscriptionScheduleParams{FromSubscription: &sub.ID}); status(err) != http.StatusBadRequest {
		t.Errorf("a second schedule answers %v", err)
	}
	for name, params := range map[string]*stripe.SubscriptionParams{
		"cancel_at_period_end": {CancelAtPeriodEnd: stripe.Bool(true)},
		"cancel_at":            {CancelAt: stripe.Int64(sub.CurrentPeriodEnd)},
	} {
		if _, err := s.api.Subscriptions.Update(sub.ID, params); status(err) != http.StatusBadRequest {
			t.Errorf("%s answers %v", name, err)
		}
	}
	// Another price is taken, for the current phase alone.
	changed := s.mustSwitch(s.subscription(sub.ID), top)
	equal(t, "price", changed.Items.Data[0].Price.ID, top.ID)
	now, err := s.api.SubscriptionSchedules.Get(made.ID, nil)
	equal(t, "current phase", must(t, now, err).Phases[0].Items[0].Price.ID, top.ID)
	equal(t, "next phase", now.Phases[1].Items[0].Price.ID, starter.ID)
	s.renew(sub)
	equal(t, "net", s.net("acme"), 9000+1000)
}

func TestAScheduleEndsWithItsSubscription(t *testing.T) {
	for _, c := range []struct {
		event string
		end   func(*sim, *stripe.Subscription)
	}{
		{"subscription_schedule.canceled", func(s *sim, sub *stripe.Subscription) {
			must(s.t, sub, second(s.api.Subscriptions.Cancel(sub.ID, nil)))
		}},
		{"subscription_schedule.aborted", func(s *sim, sub *stripe.Subscription) {
			s.card("acme", "decline")
			s.renew(sub)
			s.advance(17 * oneDay) // of retries
		}},
	} {
		t.Run(c.event, func(t *testing.T) {
			s := start(t, func(cfg *stripesim.Config) { cfg.AfterRetries = "canceled" })
			sub := s.subscribe("acme", s.price("pro", 3000))
			made := downgradeLater(t, s, sub, s.price("starter", 1000))
			c.end(s, sub)
			equal(t, "subscription", s.subscription(sub.ID).Status, stripe.SubscriptionStatusCanceled)
			ended, err := s.api.SubscriptionSchedules.Get(made.ID, nil)
			equal(t, "schedule", must(t, ended, err).Status, stripe.SubscriptionScheduleStatusCanceled)
			if !slices.Contains(s.events("acme"), c.event) {
				t.Errorf("no %s in %v", c.event, s.events("acme"))
			}
		})
	}
}

func TestAScheduleTellsOfItself(t *testing.T) {
	s := start(t)
	sub := s.subscribe("acme", s.price("pro", 3000))
	downgradeLater(t, s, sub, s.price("starter", 1000))
	s.renew(sub)
	s.advance(month)
	for _, kind := range []string{"created", "updated", "expiring", "released"} {
		if !slices.Contains(s.events("acme"), "subscription_schedule."+kind) {
			t.Errorf("no subscription_schedule.%s in %v", kind, s.events("acme"))
		}
	}
}

func TestAPhaseHasItsOwnCoupon(t *testing.T) {
	s := start(t)
	half, err := s.api.Coupons.New(&stripe.CouponParams{PercentOff: stripe.Float64(50), Duration: stripe.String("forever")})
	must(t, half, err)
	sub := s.subscribe("acme", s.price("pro", 3000), func(p *stripe.SubscriptionParams) { p.Coupon = &half.ID })
	made, err := s.api.SubscriptionSchedules.New(&stripe.SubscriptionScheduleParams{FromSubscription: &sub.ID})
	equal(t, "coupon of the phase", must(t, made, err).Phases[0].Coupon.ID, half.ID)
	item := []*stripe.SubscriptionSchedulePhaseItemParams{{Price: &sub.Items.Data[0].Price.ID, Quantity: stripe.Int64(1)}}
	must(t, made, second(s.api.SubscriptionSchedules.Update(made.ID, &stripe.SubscriptionScheduleParams{
		Phases: []*stripe.SubscriptionSchedulePhaseParams{
			{Items: item, StartDate: &made.Phases[0].StartDate, EndDate: &made.Phases[0].EndDate, Coupon: &half.ID},
			{Items: item, Iterations: stripe.Int64(1)},
		},
	})))
	equal(t, "net", s.net("acme"), 1500)
	s.renew(sub)
	equal(t, "net without the coupon", s.net("acme"), 1500+3000)
}
