package plan_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/services/billing/internal/plan"
	"tenure/shared/events"
)

var (
	monthEnd = time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	nextEnd  = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
)

func live(status string) plan.Subscription {
	return plan.Subscription{
		ID: "sub_1", ItemID: "si_1", CustomerID: "cus_1", Plan: "starter", Status: status, LatestInvoice: "in_1",
		CurrentPeriodEnd: monthEnd,
	}
}

// told is the belief after everything about s was told.
func told(s plan.Subscription) plan.Belief {
	b, _ := plan.Derive([]plan.Subscription{s}, plan.Belief{})
	return b
}

func with(s plan.Subscription, change func(*plan.Subscription)) plan.Subscription {
	change(&s)
	return s
}

func TestDerive(t *testing.T) {
	created := func(status string) events.Payload {
		return &events.SubscriptionCreated{SubscriptionID: "sub_1", CustomerID: "cus_1", Plan: "starter", Status: status, CurrentPeriodEnd: &monthEnd}
	}
	confirmed := func(status string) events.Payload {
		return &events.BillingPaymentConfirmed{SubscriptionID: "sub_1", Status: status, CurrentPeriodEnd: &monthEnd}
	}
	failed := func(status string) events.Payload {
		return &events.BillingPaymentFailed{SubscriptionID: "sub_1", InvoiceID: "in_1", Status: status}
	}
	recovered := &events.BillingPaymentRecovered{SubscriptionID: "sub_1", Status: "active", CurrentPeriodEnd: &monthEnd}
	changed := func(from, to string, end time.Time) events.Payload {
		return &events.SubscriptionChanged{SubscriptionID: "sub_1", FromPlan: from, Plan: to, Status: "active", CurrentPeriodEnd: &end}
	}
	addOn := plan.Subscription{ID: "sub_addon", Status: plan.PastDue}
	leaving := with(live("active"), func(s *plan.Subscription) { s.CancelAtPeriodEnd = true })
	gone := &events.BillingPaymentFailed{SubscriptionID: "sub_1", Status: "canceled"}
	professional := with(live("active"), func(s *plan.Subscription) { s.Plan = "professional" })
	scheduled := with(professional, func(s *plan.Subscription) { s.ScheduleID, s.ScheduledPlan = "sub_sched_1", "starter" })
	addOnsOwed := with(live("past_due"), func(s *plan.Subscription) { s.AddOnsOwed = true })

	tests := []struct {
		name   string
		belief plan.Belief
		live   []plan.Subscription
		want   []events.Payload
	}{
		{"nothing, and nothing told", plan.Belief{}, nil, nil},
		{"a sign-up that paid", plan.Belief{}, []plan.Subscription{live("active")}, []events.Payload{created("active"), confirmed("active")}},
		{"a trial", plan.Belief{}, []plan.Subscription{live("trialing")}, []events.Payload{created("trialing"), confirmed("trialing")}},
		{"a sign-up that waits for its payment", plan.Belief{}, []plan.Subscription{live("incomplete")}, []events.Payload{created("incomplete")}},
		{"which comes", told(live("incomplete")), []plan.Subscription{live("active")}, []events.Payload{confirmed("active")}},
		{"which never comes", told(live("incomplete")), []plan.Subscription{live("incomplete_expired")}, []events.Payload{&events.SubscriptionCancelled{SubscriptionID: "sub_1"}}},
		{"the same again", told(live("active")), []plan.Subscription{live("active")}, nil},
		{"a failed renewal", told(live("active")), []plan.Subscription{live("past_due")}, []events.Payload{failed("past_due")}},
		{"which fails again", told(live("past_due")), []plan.Subscription{live("unpaid")}, nil},
		{"and is paid", told(live("unpaid")), []plan.Subscription{live("active")}, []events.Payload{recovered}},
		{"a trial that is paid for", told(live("trialing")), []plan.Subscription{live("active")}, []events.Payload{confirmed("active")}},
		{
			"a trial that ended and is not billed yet", told(live("trialing")),
			[]plan.Subscription{with(live("active"), func(s *plan.Subscription) { s.InvoiceStatus = plan.InvoiceDraft })},
			nil,
		},
		{"a trial that is not", told(live("trialing")), []plan.Subscription{live("past_due")}, []events.Payload{failed("past_due")}},
		{
			"another plan", told(live("active")),
			[]plan.Subscription{with(live("active"), func(s *plan.Subscription) { s.Plan = "professional" })},
			[]events.Payload{changed("starter", "professional", monthEnd)},
		},
		{
			"a renewal", told(live("active")),
			[]plan.Subscription{with(live("active"), func(s *plan.Subscription) { s.CurrentPeriodEnd = nextEnd })},
			[]events.Payload{changed("starter", "starter", nextEnd)},
		},
		{
			"leaving", told(live("active")),
			[]plan.Subscription{with(live("active"), func(s *plan.Subscription) { s.CancelAtPeriodEnd = true })},
			[]events.Payload{&events.SubscriptionCancelled{SubscriptionID: "sub_1", AtPeriodEnd: true}},
		},
		{
			"staying after all", told(with(live("active"), func(s *plan.Subscription) { s.CancelAtPeriodEnd = true })),
			[]plan.Subscription{live("active")},
			[]events.Payload{changed("starter", "starter", monthEnd)},
		},
		{
			"another plan and leaving at once", told(live("active")),
			[]plan.Subscription{with(live("active"), func(s *plan.Subscription) { s.Plan, s.CancelAtPeriodEnd = "professional", true })},
			[]events.Payload{changed("starter", "professional", monthEnd), &events.SubscriptionCancelled{SubscriptionID: "sub_1", AtPeriodEnd: true}},
		},
		{"gone without our doing", told(live("active")), nil, []events.Payload{&events.SubscriptionCancelled{SubscriptionID: "sub_1"}, gone}},
		{"gone after it was not paid", told(live("unpaid")), nil, []events.Payload{&events.SubscriptionCancelled{SubscriptionID: "sub_1"}}},
		{
			"run out, as billing had it", told(leaving).After([]plan.Change{plan.Retire}), nil,
			[]events.Payload{&events.SubscriptionCancelled{SubscriptionID: "sub_1"}},
		},
		{
			"ended by billing", told(live("active")).After([]plan.Change{plan.End}), nil,
			[]events.Payload{&events.SubscriptionCancelled{SubscriptionID: "sub_1"}},
		},
		{"run out, as a person had it", told(leaving), nil, []events.Payload{&events.SubscriptionCancelled{SubscriptionID: "sub_1"}, gone}},
		{
			"a trial that ended without a card", told(live("trialing")),
			[]plan.Subscription{live("paused")},
			[]events.Payload{failed("paused")},
		},
		{
			"a new one that was not paid, for a plan that is in use", plan.Belief{Retired: true}.After([]plan.Change{plan.Reinstate}),
			[]plan.Subscription{live("incomplete")},
			[]events.Payload{created("incomplete"), failed("incomplete")},
		},
		{
			"a lower plan at the period's end", told(professional),
			[]plan.Subscription{scheduled},
			[]events.Payload{&events.SubscriptionScheduled{SubscriptionID: "sub_1", FromPlan: "professional", Plan: "starter", EffectiveAt: monthEnd}},
		},
		{
			"another lower plan instead", told(scheduled),
			[]plan.Subscription{with(scheduled, func(s *plan.Subscription) { s.ScheduledPlan = "free" })},
			[]events.Payload{&events.SubscriptionScheduled{SubscriptionID: "sub_1", FromPlan: "professional", Plan: "free", EffectiveAt: monthEnd}},
		},
		{
			"which is taken back", told(scheduled),
			[]plan.Subscription{professional},
			[]events.Payload{&events.SubscriptionUnscheduled{SubscriptionID: "sub_1", Plan: "professional"}},
		},
		{
			"which has begun", told(scheduled),
			[]plan.Subscription{with(scheduled, func(s *plan.Subscription) { s.Plan, s.CurrentPeriodEnd = "starter", nextEnd })},
			[]events.Payload{changed("professional", "starter", nextEnd)},
		},
		{"and whose schedule is over", told(live("active")), []plan.Subscription{live("active")}, nil},
		{"an add-on's invoice that is not paid", told(live("active")), []plan.Subscription{addOnsOwed}, nil},
		{"the plan's, too", told(addOnsOwed), []plan.Subscription{live("past_due")}, []events.Payload{failed("past_due")}},
		{"the plan's is paid, an add-on's not", told(live("past_due")), []plan.Subscription{addOnsOwed}, []events.Payload{
			&events.BillingPaymentRecovered{SubscriptionID: "sub_1", Status: "past_due", CurrentPeriodEnd: &monthEnd},
		}},
		{"an unpaid add-on beside it", told(live("active")), []plan.Subscription{addOn, live("active")}, nil},
		{"an add-on alone", plan.Belief{}, []plan.Subscription{addOn}, nil},
		{
			"a new one that works beside the unpaid one", told(live("unpaid")),
			[]plan.Subscription{live("unpaid"), with(live("active"), func(s *plan.Subscription) { s.ID = "sub_2" })},
			[]events.Payload{
				&events.SubscriptionCreated{SubscriptionID: "sub_2", CustomerID: "cus_1", Plan: "starter", Status: "active", CurrentPeriodEnd: &monthEnd},
				&events.BillingPaymentRecovered{SubscriptionID: "sub_2", Status: "active", CurrentPeriodEnd: &monthEnd},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			next, got := plan.Derive(tt.live, tt.belief)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			if _, again := plan.Derive(tt.live, next); again != nil {
				t.Errorf("told twice: %v", again)
			}
		})
	}
}

// TestDefaultOutlivesSubscription: Stripe may cancel what stays unpaid; the payment of a new one is the recovery.
func TestDefaultOutlivesSubscription(t *testing.T) {
	gone, _ := plan.Derive(nil, told(live("unpaid")))
	_, facts := plan.Derive([]plan.Subscription{with(live("active"), func(s *plan.Subscription) { s.ID = "sub_2" })}, gone)
	if len(facts) != 2 || facts[1].EventType() != (*events.BillingPaymentRecovered)(nil).EventType() {
		t.Errorf("got %v, want created and recovered", facts)
	}
}
