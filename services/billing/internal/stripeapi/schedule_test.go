package stripeapi_test

import (
	"testing"
	"time"

	"tenure/services/billing/internal/plan"
)

func TestAScheduleChangesThePlanWithThePeriod(t *testing.T) {
	s := simulate(t)
	before := s.subscribed("professional")
	made := got(s.Schedule(t.Context(), "k", before, "starter"))(t)
	equal(t, "plan", made.Plan, "professional")
	equal(t, "scheduled", made.ScheduledPlan, "starter")

	listed := s.live(before.CustomerID)
	equal(t, "listed schedule", listed.ScheduleID, made.ScheduleID)
	equal(t, "listed plan ahead", listed.ScheduledPlan, "starter")
	if err := s.SetUsage(t.Context(), "u", before.Usage["queries"], 1_000, time.Time{}); err != nil {
		t.Fatal(err)
	}

	s.renew(before)
	after := s.live(before.CustomerID)
	equal(t, "plan", after.Plan, "starter")
	equal(t, "plan ahead", after.ScheduledPlan, "")
	equal(t, "metered item", after.Usage["queries"], before.Usage["queries"])
	equal(t, "net", s.net(), cents("professional")+cents("starter")+500)

	released := got(s.Unschedule(t.Context(), "r", after))(t)
	equal(t, "schedule", released.ScheduleID, "")
	equal(t, "plan", released.Plan, "starter")
	s.renew(released)
	equal(t, "net", s.net(), cents("professional")+2*cents("starter")+500)
}

func TestAScheduleInATrialKeepsTheTrial(t *testing.T) {
	s := simulate(t)
	before := s.subscribed("professional", trial(10*24*time.Hour, s))
	made := got(s.Schedule(t.Context(), "k", before, "starter"))(t)
	equal(t, "status", made.Status, plan.Trialing)
	equal(t, "status", s.live(before.CustomerID).Status, plan.Trialing)
	s.renew(before)
	equal(t, "plan", s.live(before.CustomerID).Plan, "starter")
	equal(t, "net", s.net(), cents("starter"))
}

func TestAHalfMadeScheduleIsGoneOnWith(t *testing.T) {
	for name, key := range map[string]string{"same key": "k", "another key, after 25 hours": "other"} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t)
			before := s.subscribed("professional")
			s.fault("/v1/subscription_schedules/", "503") // made, but without phases
			if _, err := s.Schedule(t.Context(), "k", before, "starter"); !waits(err) {
				t.Fatalf("got %v, want to wait", err)
			}
			half := s.live(before.CustomerID)
			equal(t, "plan ahead", half.ScheduledPlan, "")
			if half.ScheduleID == "" {
				t.Fatal("there is no half made schedule")
			}
			if key == "other" {
				s.advance(25 * time.Hour)
			}
			made := got(s.Schedule(t.Context(), key, before, "starter"))(t) // what the caller saw is older
			equal(t, "schedule", made.ScheduleID, half.ScheduleID)
			equal(t, "plan ahead", made.ScheduledPlan, "starter")
		})
	}
}

// A key that was used before the schedule was released repeats an answer about a schedule that is over.
func TestAReleasedScheduleIsMadeAnew(t *testing.T) {
	s := simulate(t)
	before := s.subscribed("professional")
	made := got(s.Schedule(t.Context(), "k", before, "starter"))(t)
	got(s.Unschedule(t.Context(), "r", made))(t)
	if again, err := s.Unschedule(t.Context(), "r2", made); err != nil || again.ScheduleID != "" {
		t.Errorf("a second release: %+v, %v", again, err)
	}
	if _, err := s.Schedule(t.Context(), "k", before, "enterprise"); !keySpent(err) {
		t.Errorf("the old key answers %v, want that it is spent", err)
	}
	anew := got(s.Schedule(t.Context(), "k2", before, "enterprise"))(t)
	equal(t, "plan ahead", anew.ScheduledPlan, "enterprise")
	elsewhere := got(s.Schedule(t.Context(), "k3", anew, "starter"))(t)
	equal(t, "schedule", elsewhere.ScheduleID, anew.ScheduleID)
	equal(t, "plan ahead", elsewhere.ScheduledPlan, "starter")
}
