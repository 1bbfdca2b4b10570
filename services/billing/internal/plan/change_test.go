package plan_test

import (
	"slices"
	"testing"

	"tenure/services/billing/internal/plan"
	"tenure/shared/plans"
)

func TestChanges(t *testing.T) {
	professional := with(live("active"), func(s *plan.Subscription) { s.Plan = "professional" })
	leaving := with(professional, func(s *plan.Subscription) { s.CancelAtPeriodEnd = true })
	trial := with(professional, func(s *plan.Subscription) { s.Status = plan.Trialing })
	scheduled := with(professional, func(s *plan.Subscription) { s.ScheduleID, s.ScheduledPlan = "sub_sched_1", "starter" })
	moved := with(scheduled, func(s *plan.Subscription) { s.Plan = "starter" })
	tests := []struct {
		name string
		main *plan.Subscription
		to   string
		want []plan.Change
	}{
		{"up, with a lower plan scheduled", &scheduled, "enterprise", []plan.Change{plan.Unschedule, plan.Raise}},
		{"down now, with a lower plan scheduled", &scheduled, "starter", []plan.Change{plan.Unschedule, plan.Lower}},
		{"down, as Stripe has done already", &moved, "starter", []plan.Change{plan.Unschedule}},
		{"to free, with a lower plan scheduled", &scheduled, "free", []plan.Change{plan.Unschedule, plan.Retire}},
		{"free to paid", nil, "starter", []plan.Change{plan.Subscribe}},
		{"free to free", nil, "free", nil},
		{"up", &professional, "enterprise", []plan.Change{plan.Raise}},
		{"down", &professional, "starter", []plan.Change{plan.Lower}},
		{"the same", &professional, "professional", nil},
		{"up in a trial", &trial, "enterprise", []plan.Change{plan.Swap}},
		{"down in a trial", &trial, "starter", []plan.Change{plan.Swap}},
		{"paid to free", &professional, "free", []plan.Change{plan.Retire}},
		{"paid to free, leaving already", &leaving, "free", nil},
		{"staying", &leaving, "professional", []plan.Change{plan.Resume}},
		{"staying on a higher plan", &leaving, "enterprise", []plan.Change{plan.Resume, plan.Raise}},
		{"a plan that is not there", &professional, "gold", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := plan.Changes(plans.Default(), tt.main, tt.to); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAReturnWithACoupon(t *testing.T) {
	starter := with(live("active"), func(s *plan.Subscription) { s.Plan = "starter" })
	leaving := with(starter, func(s *plan.Subscription) { s.CancelAtPeriodEnd = true })
	for _, tt := range []struct {
		name       string
		main       *plan.Subscription
		to, coupon string
		want       []plan.Change
	}{
		{"a new subscription is made with it", nil, "starter", "BACK50", []plan.Change{plan.Subscribe}},
		{"nothing else changes", &starter, "starter", "BACK50", []plan.Change{plan.Redeem}},
		{"when the plan is changed", &leaving, "professional", "BACK50", []plan.Change{plan.Resume, plan.Raise, plan.Redeem}},
		{"without one", &leaving, "professional", "", []plan.Change{plan.Resume, plan.Raise}},
		{"for nothing", &starter, "free", "BACK50", []plan.Change{plan.Retire}},
		{"to a plan that is not there", &starter, "gold", "BACK50", nil},
	} {
		if got := plan.Return(plans.Default(), tt.main, tt.to, tt.coupon); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestUndo(t *testing.T) {
	tests := []struct{ done, want []plan.Change }{
		{nil, nil},
		{[]plan.Change{plan.Subscribe}, []plan.Change{plan.End}},
		{[]plan.Change{plan.Resume, plan.Raise}, []plan.Change{plan.Swap, plan.Retire}},
		{[]plan.Change{plan.Resume, plan.Raise, plan.Redeem}, []plan.Change{plan.Forfeit, plan.Swap, plan.Retire}},
		{[]plan.Change{plan.Lower}, []plan.Change{plan.Swap}},
		{[]plan.Change{plan.Unschedule, plan.Lower}, []plan.Change{plan.Swap}},
		{[]plan.Change{plan.Retire}, []plan.Change{plan.Resume}},
		{[]plan.Change{plan.End}, nil}, // there is no way back from the end
	}
	for _, tt := range tests {
		if got := plan.Undo(tt.done); !slices.Equal(got, tt.want) {
			t.Errorf("undo of %v: got %v, want %v", tt.done, got, tt.want)
		}
	}
}

func TestMainSubscription(t *testing.T) {
	older := live("active")
	newer := with(live("active"), func(s *plan.Subscription) { s.ID, s.Created = "sub_2", monthEnd })
	tests := []struct {
		name string
		all  []plan.Subscription
		want string
	}{
		{"none", nil, ""},
		{"ended", []plan.Subscription{live("canceled"), live("incomplete_expired")}, ""},
		{"best by status", []plan.Subscription{with(newer, func(s *plan.Subscription) { s.Status = plan.PastDue }), older}, "sub_1"},
		{"then the newest", []plan.Subscription{older, newer}, "sub_2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if s := plan.Main(tt.all); s != nil {
				got = s.ID
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
