package plan_test

import (
	"slices"
	"testing"
	"time"

	"tenure/services/billing/internal/plan"
	"tenure/shared/plans"
)

// agreedOn is the agreement of a tenant that has settled on a plan.
func agreedOn(name string, state plan.State) plan.Agreement {
	return plan.Agreement{Tenant: "acme", Generation: 1, Plan: name, State: state, Version: 9}
}

func goingDown(to string) plan.Agreement {
	a := agreedOn("starter", plan.Live)
	a.Plan, a.PendingPlan = "professional", to
	return a
}

func TestDrift(t *testing.T) {
	const (
		none    = ""
		starter = "starter"
	)
	retired := with(live("active"), func(s *plan.Subscription) { s.CancelAtPeriodEnd = true })
	professional := with(live("active"), func(s *plan.Subscription) { s.Plan = "professional" })
	second := with(live("active"), func(s *plan.Subscription) { s.ID = "sub_2" })
	scheduled := with(professional, func(s *plan.Subscription) { s.ScheduleID, s.ScheduledPlan = "sched_1", starter })
	addOn := plan.Subscription{ID: "sub_addon", Status: plan.Active}
	named := with(live("active"), func(s *plan.Subscription) { s.Tenant = "acme" })
	all := func(s ...plan.Subscription) []plan.Subscription { return s }

	tests := map[string]struct {
		agreed plan.Agreement
		belief plan.Belief
		live   []plan.Subscription
		want   plan.Kind // none: no difference
		about  string
	}{
		"all is well":             {agreedOn(starter, plan.Live), told(live("active")), all(live("active"), addOn), none, ""},
		"a trial":                 {agreedOn(starter, plan.Live), told(live("trialing")), all(live("trialing")), none, ""},
		"overdue, as was told":    {agreedOn(starter, plan.Live), told(live("past_due")), all(live("past_due")), none, ""},
		"on a free plan":          {agreedOn("free", plan.Live), plan.Belief{}, nil, none, ""},
		"a default without end":   {agreedOn(starter, plan.Live), plan.Belief{Standing: plan.InDefault}, nil, none, ""},
		"a sign-up without card":  {agreedOn(starter, plan.Joining), told(live("incomplete")), all(live("incomplete")), none, ""},
		"leaving":                 {agreedOn(starter, plan.Leaving), told(retired), all(retired), none, ""},
		"leaving, and run out":    {agreedOn(starter, plan.Leaving), plan.Belief{Retired: true}, nil, none, ""},
		"over":                    {agreedOn(starter, plan.Ended), plan.Belief{Retired: true}, nil, none, ""},
		"over, and never paid":    {agreedOn(starter, plan.Ended), told(live("incomplete")), all(live("incomplete_expired")), none, ""},
		"going down":              {goingDown(starter), told(scheduled), all(scheduled), none, ""},
		"gone down at Stripe":     {goingDown(starter), told(live("active")), all(live("active")), none, ""},
		"going down to nothing":   {goingDown("free"), told(with(professional, retire)), all(with(professional, retire)), none, ""},
		"gone to nothing":         {goingDown("free"), plan.Belief{Retired: true}, nil, none, ""},
		"a log without beginning": {plan.Agreement{Tenant: "acme"}, plan.Belief{}, all(live("active")), none, ""},
		"another program's":       {plan.Agreement{}, plan.Belief{}, all(live("active")), none, ""},
		"an extra that runs out":  {agreedOn(starter, plan.Live), told(live("active")), all(live("active"), with(second, retire)), none, ""},

		"nobody's":                  {plan.Agreement{}, plan.Belief{}, all(named), plan.UnknownCustomer, "sub_1"},
		"a webhook that was lost":   {agreedOn(starter, plan.Live), told(live("active")), all(live("past_due")), plan.MissedNews, ""},
		"the first one lost":        {agreedOn(starter, plan.Joining), told(live("incomplete")), all(live("active")), plan.MissedNews, ""},
		"the end unseen":            {agreedOn(starter, plan.Live), told(live("active")), nil, plan.MissedNews, ""},
		"never subscribed":          {agreedOn(starter, plan.Live), plan.Belief{}, nil, plan.MissingSubscription, ""},
		"an add-on alone":           {agreedOn(starter, plan.Live), plan.Belief{}, all(addOn), plan.MissingSubscription, ""},
		"two":                       {agreedOn(starter, plan.Live), told(live("active")), all(live("active"), second), plan.ExtraSubscription, "sub_2"},
		"one on a free plan":        {agreedOn("free", plan.Live), told(live("active")), all(live("active")), plan.ExtraSubscription, "sub_1"},
		"two, of one that leaves":   {agreedOn(starter, plan.Leaving), told(retired), all(retired, with(second, func(s *plan.Subscription) { s.Status = plan.PastDue })), plan.ExtraSubscription, "sub_2"},
		"another plan":              {agreedOn(starter, plan.Live), told(professional), all(professional), plan.PlanDiffers, "sub_1"},
		"after the end":             {agreedOn(starter, plan.Ended), plan.Belief{}, all(live("active")), plan.ChargedAfterEnd, "sub_1"},
		"an add-on after the end":   {agreedOn(starter, plan.Ended), plan.Belief{}, all(addOn), plan.ChargedAfterEnd, "sub_addon"},
		"leaving, but renewed":      {agreedOn(starter, plan.Leaving), told(live("active")), all(live("active")), plan.NotLeaving, "sub_1"},
		"staying, but not renewed":  {agreedOn(starter, plan.Live), told(retired), all(retired), plan.NotStaying, "sub_1"},
		"a schedule left behind":    {agreedOn("professional", plan.Live), told(scheduled), all(scheduled), plan.LeftSchedule, "sub_1"},
		"a schedule taken away":     {goingDown(starter), told(professional), all(professional), plan.NotScheduled, "sub_1"},
		"a retirement taken back":   {goingDown("free"), told(professional), all(professional), plan.NotScheduled, "sub_1"},
		"going down, but not to it": {goingDown("free"), told(with(scheduled, retire)), all(with(scheduled, retire)), plan.LeftSchedule, "sub_1"},
	}
	found := map[plan.Kind]bool{}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			life := plan.Life{Agreement: tt.agreed, Belief: tt.belief, Live: tt.live}
			got := plan.Drift(plans.Default(), life)
			if tt.want == none {
				if len(got) > 0 {
					t.Errorf("found %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Kind != tt.want || got[0].SubscriptionID != tt.about || got[0].Detail == "" {
				t.Errorf("found %+v, want %s of %q alone", got, tt.want, tt.about)
			}
			found[tt.want] = true
		})
	}
	if len(found) != 10 {
		t.Errorf("the table shows %d kinds of 10", len(found))
	}
}

func retire(s *plan.Subscription) { s.CancelAtPeriodEnd = true }

// TestSeveralDifferencesAtOnce: each is found for itself, and each that is no news has a subscription.
func TestSeveralDifferencesAtOnce(t *testing.T) {
	second := with(live("active"), func(s *plan.Subscription) { s.ID, s.Plan, s.CancelAtPeriodEnd = "sub_0", "enterprise", true })
	second.Created = monthEnd // newer: it speaks for the tenant
	got := plan.Drift(plans.Default(), plan.Life{
		Agreement: agreedOn("starter", plan.Live), Belief: told(live("active")), Live: []plan.Subscription{live("active"), second},
	})
	var kinds []plan.Kind
	for _, d := range got {
		kinds = append(kinds, d.Kind)
	}
	want := []plan.Kind{plan.MissedNews, plan.PlanDiffers, plan.NotStaying, plan.ExtraSubscription}
	if !slices.Equal(kinds, want) {
		t.Errorf("found %v, want %v", kinds, want)
	}
}

func TestWhatIsInMotionIsLeftAlone(t *testing.T) {
	still := plan.Life{Agreement: agreedOn("starter", plan.Live), Age: time.Hour}
	operating, busy, young := still, still, still
	operating.Agreement.Operation = "op"
	busy.Busy = true
	young.Age = time.Second
	for name, l := range map[string]plan.Life{"operation": operating, "work": busy, "young": young} {
		if l.Settled(time.Minute) {
			t.Errorf("%s: not left alone", name)
		}
	}
	if !still.Settled(time.Minute) || !(plan.Life{}).Settled(time.Minute) {
		t.Error("what has settled, or is nobody's, is left alone")
	}
}

// TestCuresChargeNobody: whatever is healed without a person's word moves no money to us.
func TestCuresChargeNobody(t *testing.T) {
	main := live("active")
	for _, kind := range []plan.Kind{
		plan.UnknownCustomer, plan.MissedNews, plan.MissingSubscription, plan.ExtraSubscription, plan.PlanDiffers,
		plan.ChargedAfterEnd, plan.NotLeaving, plan.NotStaying, plan.LeftSchedule, plan.NotScheduled,
	} {
		cure := kind.Cure(&main)
		if len(cure) > 0 && !kind.Heals() {
			t.Errorf("%s is left to people and has the cure %v", kind, cure)
		}
		for _, change := range cure {
			if change.MovesMoney() || change == plan.Swap || change == plan.Resume {
				t.Errorf("the cure of %s charges: %v", kind, cure)
			}
		}
	}
}
