package tenant

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"tenure/shared/events"
)

// A deletion that is taken back leaves the tenant as if nobody had asked for it: its deadlines have gone on, and nothing else
// has changed.
func TestACancelledDeletionBringsEverythingBack(t *testing.T) {
	tried := 0
	for _, situation := range situations {
		if s := situation.make(t).state; slices.Contains(leased, s.Name) || !slices.Contains(s.AllowedCommands(), CmdDelete) {
			continue
		}
		t.Run(situation.name, func(t *testing.T) {
			tried++
			w := situation.make(t)
			w.facts.Policy.Retention.Approvals.Delete = false
			if slices.Contains(w.state.AllowedCommands(), CmdConfigure) {
				w.after(CmdConfigure, &events.Configure{TenantConfig: events.TenantConfig{Limits: map[string]float64{"queries": 7}}})
			}
			want := asIfStill(w.state)
			w.after(CmdDelete, &events.Delete{RetentionDays: days(10)})
			w.is(Deleting)
			w.now = w.now.Add(day)
			w.after(CmdCancelDeletion, &events.CancelDeletion{})
			w.finish()
			if got := asIfStill(w.state); !reflect.DeepEqual(got, want) {
				t.Errorf("it came back as\n%+v\nnot as\n%+v", got, want)
			}
		})
	}
	if tried < 15 {
		t.Errorf("only %d situations were tried", tried)
	}
}

// asIfStill leaves out what counts events, and the request of an operator that the deletion answered.
func asIfStill(s State) State {
	s.Version, s.Approvals = 0, nil
	if s.Pending != nil {
		p := *s.Pending
		p.OperationID = ""
		s.Pending = &p
	}
	return s
}

// What ran when the deletion was asked for was undone, and is not begun again.
func TestACancelledDeletionBeginsNoChangeAgain(t *testing.T) {
	for _, situation := range situations {
		s := situation.make(t).state
		if !slices.Contains(leased, s.Name) || s.QueuedDeletion != nil || s.Approvals != nil || s.NeedsOperator() {
			continue
		}
		t.Run(situation.name, func(t *testing.T) {
			w := situation.make(t).after(CmdDelete, &events.Delete{})
			if w.state.Lease != nil {
				w.finish()
			}
			w.is(Deleting)
			w.after(CmdCancelDeletion, &events.CancelDeletion{})
			w.finish()
			if home, _ := w.state.home(); w.state.Plan != s.Plan || w.state.Name != home || w.state.Pending != nil && s.Pending == nil {
				t.Errorf("it came back as %+v", w.state)
			}
		})
	}
}

func TestDeadlinesGoOnInTheWindow(t *testing.T) {
	for name, c := range map[string]struct {
		make  func(tb) *world
		timer string
		want  []string
	}{
		"trial": {trialing, TimerTrialEnd, []string{"trial.expired"}},
		"grace": {func(t tb) *world { return active(t).after(CmdPaymentFailed, &PaymentFailed{}) }, TimerGraceEnd, []string{"tenant.suspended"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := c.make(t)
			due := w.state.Timers()[0].Due
			w.after(CmdDelete, &events.Delete{RetentionDays: days(30)})
			w.now = epoch.Add(29 * day)
			w.after(CmdCancelDeletion, &events.CancelDeletion{})
			w.finish()
			w.fire(c.timer, c.want...)
			if !w.now.Equal(epoch.Add(29*day)) || !due.Before(w.now) {
				t.Errorf("it was due at %s and came at %s", due, w.now)
			}
			w.is(Suspended)
		})
	}
}

func TestAPendingChangeMakesWayForADeletionAndComesBack(t *testing.T) {
	w := pending(t)
	was := *w.state.Pending
	w.do(CmdDelete, &events.Delete{RetentionDays: days(10)}, "downgrade.cancelled", "deletion.requested")
	if p := last[*events.DeletionRequested](w).PendingChange; p == nil || p.Plan != "free" || !p.DueAt.Equal(was.DueAt) || w.state.Pending != nil {
		t.Fatalf("remembered %+v, pending %+v", p, w.state.Pending)
	}
	// A return that fails leaves it where it is.
	w.after(CmdCancelDeletion, &events.CancelDeletion{})
	w.failed("sample", actionRestore, "step.requested")
	w.done("sample", actionRestore, "reactivation.failed")
	w.after(CmdCancelDeletion, &events.CancelDeletion{})
	w.done("sample", actionRestore, "step.requested")
	w.done(billing, actionBill, "tenant.reactivated", "downgrade.scheduled")
	if p := w.state.Pending; p.Plan != was.Plan || !p.DueAt.Equal(was.DueAt) || p.Resolution != was.Resolution || p.OperationID == was.OperationID {
		t.Errorf("it came back as %+v", p)
	}
	if v := w.views()[was.OperationID]; v.Status != OpCancelled {
		t.Errorf("the operation that made way is %s", v.Status)
	}
}

// The period ended while the tenant was away: it comes back for the lower price, and goes over at once.
func TestAPendingChangeThatFellDueInTheWindow(t *testing.T) {
	w := toStarter(t)
	due := w.state.Pending.DueAt
	w.after(CmdDelete, &events.Delete{RetentionDays: days(30)})
	w.now = due.Add(time.Hour)
	w.after(CmdCancelDeletion, &events.CancelDeletion{})
	w.done("sample", actionRestore, "step.requested")
	if p := last[*events.StepRequested](w); p.Participant != billing || p.FromPlan != "starter" || p.ToPlan != "starter" {
		t.Errorf("asked to bill %+v", p)
	}
	w.done(billing, actionBill, "tenant.reactivated", "downgrade.scheduled")
	w.fire(TimerDowngradeDue, begun...)
	w.finish()
	w.is(Active)
	if w.state.Plan != "starter" {
		t.Errorf("plan %s", w.state.Plan)
	}
}

// Another plan, or a fresh start, has no use for it.
func TestAPendingChangeThatDoesNotComeBack(t *testing.T) {
	for name, back := range map[string]*events.Reactivate{
		"another plan": {Plan: "enterprise"}, "afresh": {RestoreData: ptr(false)},
	} {
		w := toStarter(t).after(CmdDelete, &events.Delete{})
		w.after(CmdReactivate, back)
		w.finish()
		if w.is(Active); w.state.Pending != nil {
			t.Errorf("%s: pending %+v", name, w.state.Pending)
		}
	}
}
