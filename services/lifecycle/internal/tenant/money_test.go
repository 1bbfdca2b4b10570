package tenant

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"tenure/shared/events"
)

// subscription is what the tenant pays for at Stripe, as billing would have it after the events so far: no plan is none.
type subscription struct {
	plan string
	// scheduled is the plan that Stripe goes over to by itself; none is the end of the subscription.
	scheduled *string
	asked     map[string]string // the plans of the bill's steps
}

// subscribed folds the log as billing does. moves are the places in the log at which Stripe went over by itself.
func (w *world) subscribed(moves []int) subscription {
	s := subscription{asked: map[string]string{}}
	plan := ""
	for i := range len(w.log) + 1 {
		if slices.Contains(moves, i) && s.scheduled != nil {
			s.plan, s.scheduled = *s.scheduled, nil
		}
		if i < len(w.log) {
			s.take(w, w.log[i].payload, &plan)
		}
	}
	return s
}

// charged is what a plan is at Stripe: nothing for a free one.
func (w *world) charged(plan string) string {
	if p, ok := w.facts.Plans.Find(plan); !ok || p.Free() {
		return ""
	}
	return plan
}

func (s *subscription) take(w *world, p events.Payload, plan *string) {
	switch p := p.(type) {
	case *events.TenantRegistered:
		s.plan, *plan = w.charged(p.Plan), p.Plan
	case *events.TenantReborn:
		s.plan, *plan = "", p.Plan
	case *events.UpgradeCompleted:
		*plan = p.Plan
	case *events.DowngradeCompleted:
		*plan = p.Plan
	case *events.TenantReactivated:
		*plan = p.Plan
	case *events.DowngradeScheduled:
		s.scheduled = ptr(w.charged(p.Plan))
	case *events.DowngradeCancelled:
		s.scheduled = nil
		if !p.Superseded {
			s.plan = w.charged(*plan)
		}
	case *events.DowngradeRolledBack:
		s.plan, s.scheduled = w.charged(p.Plan), nil
	case *events.StepRequested:
		s.asked[p.StepID] = w.charged(p.ToPlan)
	case *events.StepDone:
		if p.Participant == billing {
			s.plan, s.scheduled = s.asked[p.StepID], nil
		}
	}
}

// stripeMoves lets the period end by Stripe's clock, whatever ours says.
func (l *life) stripeMoves(t *rapid.T) {
	if l.subscribed(l.moves).scheduled == nil {
		t.Skip("nothing is scheduled")
	}
	l.moves = append(l.moves, len(l.log))
	l.untold = true
	if rapid.Bool().Draw(t, "told at once") {
		l.tell()
	}
}

// tell passes billing's news of the subscription on. It may come late, but it comes.
func (l *life) tell() {
	l.untold = false
	l.send(CmdChangeDue, &ChangeDue{Plan: l.subscribed(l.moves).plan})
}

// checkMoney: what a tenant pays for, when all has settled, is the plan that it is on.
func (l *life) checkMoney() {
	s := l.state
	stays := slices.Contains(open, s.Name) || s.Name == Suspended
	paid := l.subscribed(l.moves).plan
	switch {
	case !stays, paid == l.charged(s.Plan):
	case s.Name == Suspended && s.changeDue(l.now) && paid == l.charged(s.Pending.Plan):
		// It goes over as soon as it comes back.
	default:
		l.Fatalf("the %s tenant is on %s and pays for %q; pending %+v", s.Name, s.Plan, paid, s.Pending)
	}
}

func TestMoneyFollowsAPendingChange(t *testing.T) {
	w := active(t).after(CmdDowngrade, &events.Downgrade{Plan: "free"})
	if s := w.subscribed(nil); s.plan != "starter" || s.scheduled == nil || *s.scheduled != "" {
		t.Errorf("scheduled %+v", s)
	}
	if s := w.subscribed([]int{len(w.log)}); s.plan != "" {
		t.Errorf("moved %+v", s)
	}
}
