package tenant

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tenure/shared/events"
	"tenure/shared/plans"
)

func TestConfigurationOverrulesThePlan(t *testing.T) {
	w := active(t)
	w.facts.Usage = Usage{Documents: 100}
	w.do(CmdConfigure, &events.Configure{TenantConfig: events.TenantConfig{Limits: map[string]float64{"documents": 50}}}, "config.changed", "block.added")
	if got := w.state.Limits(plans.Default()[1]); got.Documents != 50 || got.Queries != 10_000 {
		t.Errorf("limits are %+v", got)
	}
	at := w.state.ConfigVersion
	if at == 0 || at >= w.state.Version {
		t.Errorf("the configuration is of version %d, the block of %d", at, w.state.Version)
	}
	// All of it is set anew: what is not named is as the plan says.
	w.do(CmdConfigure, &events.Configure{TenantConfig: events.TenantConfig{Values: map[string]string{"model": "large"}}}, "config.changed", "block.lifted")
	if len(w.state.Config.Limits) > 0 || w.state.Config.Values["model"] != "large" || w.state.ConfigVersion <= at {
		t.Errorf("configuration %+v of version %d", w.state.Config, w.state.ConfigVersion)
	}
	// A plan change is a change of the configuration, too, and keeps what is set.
	at = w.state.ConfigVersion
	w.after(CmdUpgrade, &events.Upgrade{Plan: "professional"}).finish()
	if w.state.ConfigVersion <= at || w.state.Config.Values["model"] != "large" {
		t.Errorf("after the upgrade %+v of version %d", w.state.Config, w.state.ConfigVersion)
	}
	// Limits of the tenant's own count for a lower plan as well.
	w.after(CmdConfigure, &events.Configure{TenantConfig: events.TenantConfig{Limits: map[string]float64{"documents": 99}}})
	r := w.refused(CodeUsageOverLimit, CmdDowngrade, &events.Downgrade{Plan: "starter"})
	if !slices.Equal(r.Violations, []events.Violation{{Metric: "documents", Usage: 100, Limit: 99}}) {
		t.Errorf("violations %v", r.Violations)
	}
}

func TestWhatCannotBeConfigured(t *testing.T) {
	w := active(t)
	for _, c := range []events.TenantConfig{
		{Limits: map[string]float64{"documents": -1}},
		{Limits: map[string]float64{"": 1}},
		{Values: map[string]string{"a": strings.Repeat("x", maxConfig)}},
	} {
		w.refused(CodeInvalidArgument, CmdConfigure, &events.Configure{TenantConfig: c})
	}
	w.actor = "tenant:acme"
	w.refused(CodeForbidden, CmdConfigure, &events.Configure{})
}

func TestMilestonesAreReachedOnce(t *testing.T) {
	w := active(t)
	w.now = w.now.Add(time.Hour)
	w.facts.Usage = Usage{Queries: 1}
	w.do(CmdCheckUsage, &CheckUsage{}, "milestone.reached")
	if m := w.log[len(w.log)-1].payload.(*events.MilestoneReached); m.Milestone != FirstQuery || m.SinceSignup != time.Hour.Seconds() {
		t.Errorf("%+v", m)
	}
	w.facts.Usage = Usage{Queries: 2, Documents: 1}
	w.do(CmdCheckUsage, &CheckUsage{}, "milestone.reached")
	w.facts.Usage = Usage{}
	w.do(CmdCheckUsage, &CheckUsage{})
	w.facts.Usage = Usage{Queries: 1, Documents: 1}
	w.do(CmdCheckUsage, &CheckUsage{})
}

// While a gate is there, a plan change waits until all of them have the new plan, before the old capacity goes; on the way
// back they get the old plan before anything else is undone.
func TestAPlanChangeWaitsForTheGates(t *testing.T) {
	w := active(t)
	w.facts.Participants = append(w.facts.Participants, Participant{Name: Gates, Actions: GatesActions})
	phases := func() map[string]int {
		out := map[string]int{}
		for _, s := range w.state.Lease.Steps {
			out[s.Action] = s.Phase
		}
		return out
	}
	w.after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	got := phases()
	if got[actionApply] != got[actionSwitch]+1 || got[actionRestore] != got[actionApply]+1 || got[actionRelease] != got[actionRestore]+1 {
		t.Errorf("phases %v", got)
	}
	w.finish()
	w.after(CmdDowngrade, &events.Downgrade{Plan: "starter", At: "now"})
	got = phases()
	if got[actionApply] != got[actionSwitch]+1 || got[actionRelease] != got[actionApply]+1 {
		t.Errorf("phases %v", got)
	}
}

// A participant that can switch only without writes gets a window: every event says until when, and the first one
// behind the step says nothing any more.
func TestAReadOnlyWindow(t *testing.T) {
	w := active(t)
	w.facts.Participants[0].ReadOnly = true
	windows := map[string]int{} // events in the window, by the action that runs
	w.observe = func(_ State, e entry, after State) {
		until := e.payload.(change).StateChange().ReadOnlyUntil
		running := slices.IndexFunc(leaseSteps(after), func(s Step) bool { return s.Status == StepRunning })
		switch {
		case running >= 0 && after.Lease.Steps[running].Action == actionSwitch:
			windows[actionSwitch]++
			if until == nil || !until.Equal(after.Lease.Steps[running].Deadline) {
				t.Errorf("%s in the switch says %v", e.event.Name(), until)
			}
		case until != nil:
			t.Errorf("%s outside of the switch says %v", e.event.Name(), until)
		}
	}
	w.after(CmdUpgrade, &events.Upgrade{Plan: "professional"}).finish()
	if !maps.Equal(windows, map[string]int{actionSwitch: 1}) {
		t.Errorf("windows %v", windows)
	}
}

func leaseSteps(s State) []Step {
	if s.Lease == nil {
		return nil
	}
	return s.Lease.Steps
}
