package tenant

import (
	"testing"
	"time"

	"tenure/shared/events"
)

func TestATenantIsColdUntilItIsUsed(t *testing.T) {
	w := active(t)
	used := w.now.Add(time.Hour)
	w.facts.UsedAt, w.facts.Usage = used, Usage{Queries: 1}
	idle := w.facts.Policy.Idle()
	w.now = used.Add(idle - time.Second)
	w.do(CmdCool, &Cool{})
	w.now = used.Add(idle)
	w.do(CmdCool, &Cool{}, "tenant.cooled")
	if c := w.log[len(w.log)-1].payload.(*events.TenantCooled); !c.IdleSince.Equal(used) || !w.state.Cold() {
		t.Errorf("%+v, state %+v", c, w.state)
	}
	w.do(CmdCool, &Cool{})
	w.do(CmdCheckUsage, &CheckUsage{}, "milestone.reached") // figures that were told before
	w.facts.UsedAt = w.now
	w.do(CmdCheckUsage, &CheckUsage{}, "tenant.warmed")
	w.do(CmdCool, &Cool{})
	if w.state.Cold() {
		t.Error("still cold")
	}
}

// Without any use, the time counts from the sign-up: of this life, whatever was used in an earlier one.
func TestATenantThatWasNeverUsedCoolsToo(t *testing.T) {
	w := active(t)
	w.facts.UsedAt = w.state.CreatedAt.Add(-time.Hour)
	w.now = w.state.CreatedAt.Add(w.facts.Policy.Idle() - time.Second)
	w.do(CmdCool, &Cool{})
	w.now = w.now.Add(time.Second)
	w.do(CmdCool, &Cool{}, "tenant.cooled")
	if !w.state.IdleSince.Equal(w.state.CreatedAt) {
		t.Errorf("idle since %v", w.state.IdleSince)
	}
}

func TestCoolingCanBeOff(t *testing.T) {
	w := active(t)
	w.facts.Policy.IdleAfter = 0
	w.now = w.now.AddDate(10, 0, 0)
	w.do(CmdCool, &Cool{})
}

func TestColdEndsWithTheLife(t *testing.T) {
	w := cold(t)
	w.do(CmdDelete, &events.Delete{}, "deletion.requested")
	if !w.state.Cold() || ended(w.state).Cold() {
		t.Errorf("%+v", w.state)
	}
}
