package stripesim_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
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
