package tenant

import (
	"slices"
	"testing"
	"time"

	"tenure/shared/events"
)

func TestStepIsTriedWithGrowingPauses(t *testing.T) {
	w := active(t)
	w.facts.Policy.StepAttempts = 8
	w.after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.done("search", actionProvision)
	var pauses []time.Duration
	for range 7 {
		s := w.step("sample", actionProvision)
		w.do(CmdFailStep, &FailStep{StepID: s.ID, Participant: "sample", Error: "down"}, "step.errored")
		pauses = append(pauses, last[*events.StepErrored](w).RetryAt.Sub(w.now))
		w.do(CmdFailStep, &FailStep{StepID: s.ID, Participant: "sample", Error: "down"}) // told twice
		w.fire(TimerStepRetry, "step.requested")
	}
	want := []time.Duration{1, 2, 4, 8, 16, 30, 30}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(pauses, want) {
		t.Errorf("pauses %v", pauses)
	}
	if p := last[*events.StepRequested](w); p.Attempt != 8 || p.StepID != w.step("sample", actionProvision).ID {
		t.Errorf("asked %+v", p)
	}
	w.do(CmdFailStep, &FailStep{StepID: w.step("sample", actionProvision).ID, Participant: "sample", Error: "down"},
		"step.errored", "step.requested", "step.requested")
	if !last[*events.StepErrored](w).Final {
		t.Error("the last try was not the last")
	}
}

func TestSilenceIsAFailure(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.done("search", actionProvision)
	w.fire(TimerStepTimeout, "step.errored")
	if w.now != epoch.Add(10*time.Second) {
		t.Errorf("the participant's own timeout was passed over: %s", w.now.Sub(epoch))
	}
	w.done("sample", actionProvision, "step.requested") // late, and welcome all the same
}

func TestAnswersThatNobodyWaitsFor(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	s := w.step("sample", actionProvision)
	w.do(CmdCompleteStep, &CompleteStep{StepID: s.ID, Participant: "search"}) // not its step
	w.do(CmdFailStep, &FailStep{StepID: s.ID, Participant: "search"})
	w.do(CmdCompleteStep, &CompleteStep{StepID: "op1-9", Participant: "sample"})
	w.do(CmdCompleteStep, &CompleteStep{StepID: s.ID, Participant: "sample"}, "step.done")
	w.do(CmdCompleteStep, &CompleteStep{StepID: s.ID, Participant: "sample"})
	w.do(CmdFailStep, &FailStep{StepID: s.ID, Participant: "sample"})
	w.failed("search", actionProvision, "step.requested", "step.requested")
	// The operation has turned back: the first way's answers are late.
	w.do(CmdCompleteStep, &CompleteStep{StepID: w.step("search", actionProvision).ID, Participant: "search"})
	w.finish()
	w.is(Active)
	w.do(CmdCompleteStep, &CompleteStep{StepID: s.ID, Participant: "sample"})
}

func TestStepThatWasNeverAskedIsNotUndone(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	w.failed("sample", actionProvision, "step.requested", "step.requested")
	w.finish()
	for _, e := range w.log {
		if p, ok := e.payload.(*events.StepRequested); ok && p.Compensate && p.Action != actionProvision {
			t.Errorf("asked to undo %+v", p)
		}
	}
}

func TestEveryLeaseIsNewer(t *testing.T) {
	w := active(t).after(CmdUpgrade, &events.Upgrade{Plan: "professional"})
	first := w.state.Lease.Epoch
	w.finish()
	w.after(CmdUpgrade, &events.Upgrade{Plan: "enterprise"})
	if second := w.state.Lease.Epoch; second <= first {
		t.Errorf("epochs %d and %d", first, second)
	}
}

func TestStaleTimersFireIntoNothing(t *testing.T) {
	w := deleting(t)
	purge := w.state.Timers()[0]
	fire := func(at time.Time, timer Timer) {
		t.Helper()
		w.now = at
		w.do(CmdFireTimer, &FireTimer{Kind: timer.Kind, Due: timer.Due, Generation: timer.Generation})
	}
	other := purge
	other.Generation = 2
	fire(purge.Due, other)
	w.now = epoch
	w.after(CmdCancelDeletion, &events.CancelDeletion{})
	w.finish()
	fire(purge.Due, purge) // a tenant that was won back is not purged
	w.is(Active)
}

func TestTimersDoNotFireBeforeTheirTime(t *testing.T) {
	for _, situation := range situations {
		w := situation.make(t)
		for _, timer := range w.state.Timers() {
			w.now = timer.Due.Add(-time.Nanosecond)
			w.do(CmdFireTimer, &FireTimer{Kind: timer.Kind, Due: timer.Due, Generation: timer.Generation})
		}
	}
}

// No plan of today has steps of both ways open at once; one of tomorrow may.
func TestStepsThatCannotBeUndoneDoNotHoldUpTheWayBack(t *testing.T) {
	w := newWorld(t)
	w.state.Name = Reactivating
	w.state.Lease = &Operation{
		ID: "op", Kind: OpReactivate, Status: LeaseCompensating, ReturnTo: Suspended, Steps: []Step{
			{ID: "a", Participant: "search", Action: actionErase, Status: StepRunning},
			{ID: "b", Participant: "search", Action: actionVerify, Status: StepFailed},
			{ID: "c", Participant: billing, Action: actionBill, Phase: 1, Status: StepRunning, Undo: true, Attempt: 1},
		},
	}
	w.do(CmdFailStep, &FailStep{StepID: "a", Participant: "search", Permanent: true})
	w.do(CmdFailStep, &FailStep{StepID: "c-undo", Participant: billing, Error: "broken", Permanent: true}, "step.errored")
	if !w.state.NeedsOperator() {
		t.Fatalf("lease %+v", w.state.Lease)
	}
	w.do(CmdRetryOperation, &RetryOperation{}, "step.requested")
	w.done(billing, actionBill, "reactivation.failed")
}

func TestStatesShareNothing(t *testing.T) {
	s := State{Name: Active, Holds: make([]Hold, 0, 8)}
	hold := func(id string) State {
		return Evolve(s, events.Event{}, &events.HoldPlaced{Change: events.Change{To: "active"}, HoldID: id})
	}
	first, second := hold("first"), hold("second")
	if first.Holds[0].ID != "first" || second.Holds[0].ID != "second" {
		t.Errorf("%v and %v", first.Holds, second.Holds)
	}
}
