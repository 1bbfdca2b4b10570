package plan_test

import (
	"slices"
	"testing"

	"tenure/services/billing/internal/plan"
	"tenure/shared/plans"
)

func TestPeriodEnd(t *testing.T) {
	type lists = []plan.Change
	professional := with(live("active"), func(s *plan.Subscription) { s.Plan = "professional" })
	leaving := with(professional, func(s *plan.Subscription) { s.CancelAtPeriodEnd = true })
	scheduled := with(professional, func(s *plan.Subscription) { s.ScheduleID, s.ScheduledPlan = "sub_sched_1", "starter" })
	moved := with(scheduled, func(s *plan.Subscription) { s.Plan = "starter" })
	enterprise := with(professional, func(s *plan.Subscription) { s.Plan = "enterprise" })
	letGo := plan.Belief{Retired: true}

	catalogue := plans.Default()
	tests := []struct {
		name      string
		got, want []plan.Change
	}{
		{"leaving", plan.Leave(&professional), lists{plan.Retire}},
		{"leaving with a lower plan scheduled", plan.Leave(&scheduled), lists{plan.Unschedule, plan.Retire}},
		{"leaving with nothing", plan.Leave(nil), nil},

		{"down", plan.AtPeriodEnd(catalogue, &professional, "starter"), lists{plan.Schedule}},
		{"down in place of another", plan.AtPeriodEnd(catalogue, &scheduled, "starter"), lists{plan.Schedule}},
		{"down in place of leaving", plan.AtPeriodEnd(catalogue, &leaving, "starter"), lists{plan.Resume, plan.Schedule}},
		{"down to free", plan.AtPeriodEnd(catalogue, &professional, "free"), lists{plan.Retire}},
		{"down to what it is on", plan.AtPeriodEnd(catalogue, &professional, "professional"), nil},
		{"down from nothing", plan.AtPeriodEnd(catalogue, nil, "starter"), nil},
		{"down to a plan that is not there", plan.AtPeriodEnd(catalogue, &professional, "gold"), nil},

		{"called off in time", plan.CallOff(catalogue, &scheduled, plan.Belief{}, "professional"), lists{plan.Unschedule}},
		{"to free, called off in time", plan.CallOff(catalogue, &leaving, plan.Belief{}, "professional"), lists{plan.Resume}},
		{"called off before anything was done", plan.CallOff(catalogue, &professional, plan.Belief{}, "professional"), nil},
		{"called off too late", plan.CallOff(catalogue, &moved, plan.Belief{}, "professional"), lists{plan.Unschedule, plan.Reinstate}},
		{"to free, called off too late", plan.CallOff(catalogue, nil, letGo, "professional"), lists{plan.Reinstate}},
		{"called off with nothing to come back to", plan.CallOff(catalogue, nil, plan.Belief{}, "professional"), nil},
		{"called off, and the plan before is not known", plan.CallOff(catalogue, &moved, plan.Belief{}, ""), lists{plan.Unschedule}},
		{"called off on a plan that a person chose", plan.CallOff(catalogue, &enterprise, plan.Belief{}, "professional"), nil},

		{"rolled back before Stripe moved", plan.RollBack(catalogue, &scheduled, plan.Belief{}, "professional"), lists{plan.Unschedule}},
		{"rolled back after Stripe moved", plan.RollBack(catalogue, &moved, plan.Belief{}, "professional"), lists{plan.Unschedule, plan.Swap}},
		{"rolled back after it ran out", plan.RollBack(catalogue, nil, letGo, "professional"), lists{plan.Subscribe}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !slices.Equal(tt.got, tt.want) {
				t.Errorf("got %v, want %v", tt.got, tt.want)
			}
		})
	}
}
