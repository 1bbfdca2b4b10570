package app_test

import (
	"errors"
	"testing"
	"time"

	"tenure/shared/events"
	"tenure/shared/testkit"
	"tenure/shared/vault"
)

func TestHoldPlacedBefore(t *testing.T) {
	s := &fakeStore{name: "documents", rows: 10}
	w := newWorld(t, s)
	w.start(w.app)
	w.send(&events.HoldPlaced{HoldID: "h1"})
	w.send(&events.HoldPlaced{HoldID: "h2"})
	w.purge(1)
	w.send(step("erase"))
	w.jobError("erase", "legal hold")
	w.send(&events.HoldReleased{HoldID: "h1"})
	w.jobError("erase", "legal hold")
	if rows, erased := s.state(); rows != 10 || erased != 0 {
		t.Errorf("%d rows are left after %d calls", rows, erased)
	}
	w.quiet()
	w.send(&events.HoldReleased{HoldID: "h2"})
	w.wantTold("store.erased", events.StepCompletedName)
}

// TestHoldPlacedDuringErasing: what is not erased yet stays.
func TestHoldPlacedDuringErasing(t *testing.T) {
	s, next := &fakeStore{name: "documents", rows: 10}, &fakeStore{name: "files", rows: 5}
	w := newWorld(t, s, next)
	p := w.pause(s, false)
	w.start(w.app)
	w.purge(1)
	w.send(step("erase"))
	testkit.Receive(t, patience, p.entered)
	w.send(&events.HoldPlaced{HoldID: "h1"})
	w.jobError("erase", "legal hold")
	if rows, _ := s.state(); rows != 9 {
		t.Errorf("%d rows are left", rows)
	}
	if rows, erased := next.state(); rows != 5 || erased != 0 {
		t.Errorf("of the other store %d rows are left after %d calls", rows, erased)
	}
	// Not even asking again helps.
	w.send(step("erase"))
	w.jobError("erase", "legal hold")
	w.quiet()
	w.send(&events.HoldReleased{HoldID: "h1"})
	told := w.wantTold("store.erased", "store.erased", events.StepCompletedName)
	if answer, err := told[2].DecodeAnswer(); err != nil || string(answer.Result) != `{"before":15,"after":0}` {
		t.Errorf("answer %s, %v", answer.Result, err)
	}
}

func TestHoldKeepsPersonalData(t *testing.T) {
	w := newWorld(t, &fakeStore{name: "documents", rows: 10})
	w.start(w.app)
	w.purge(1)
	w.finishFrom("erase")
	w.send(&events.HoldPlaced{HoldID: "h1"})
	w.finishFrom("verify") // looking destroys nothing
	w.send(step("certify"))
	w.jobError("certify", "legal hold")
	if _, err := w.vault.Get(t.Context(), w.db, tenant, 1); err != nil {
		t.Errorf("the contact: %v", err)
	}
	w.send(&events.HoldReleased{HoldID: "h1"})
	w.wantTold("certificate.issued", events.StepCompletedName)
	if _, err := w.vault.Get(t.Context(), w.db, tenant, 1); !errors.Is(err, vault.ErrShredded) {
		t.Errorf("the contact: %v", err)
	}
}

// TestHoldEndsWithTheTenant: a hold of a former life holds nothing in the next.
func TestHoldEndsWithTheTenant(t *testing.T) {
	s := &fakeStore{name: "documents", rows: 10}
	w := newWorld(t, s)
	w.start(w.app)
	w.send(&events.HoldPlaced{HoldID: "h1"})
	w.send(&events.TenantPurged{Generation: 1})
	w.purge(2)
	w.finishFrom("erase")
}

func TestFreshStartErasesAndKeepsTheContact(t *testing.T) {
	s := &fakeStore{name: "documents", rows: 10}
	w := newWorld(t, s)
	w.start(w.app)
	for _, action := range []string{"erase", "verify"} {
		w.send(freshStart(action, time.Now().Add(patience)))
		w.wantAnswer(events.StepCompletedName)
	}
	w.send(freshStart("certify", time.Now().Add(patience)))
	if a := w.wantAnswer(events.StepFailedName); !a.Permanent {
		t.Errorf("a fresh start is certified: %+v", a)
	}
	if _, err := w.vault.Get(t.Context(), w.db, tenant, 1); err != nil {
		t.Errorf("the contact: %v", err)
	}
}

// TestFreshStartThatIsGivenUp: after the deadline the tenant may be back on its old data.
func TestFreshStartThatIsGivenUp(t *testing.T) {
	s := &fakeStore{name: "documents", rows: 10}
	w := newWorld(t, s)
	p := w.pause(s, false)
	w.start(w.app)
	w.send(freshStart("erase", time.Now().Add(patience)))
	testkit.Receive(t, patience, p.entered)
	if _, err := w.db.Exec(t.Context(), `UPDATE jobs SET deadline = now()`); err != nil {
		t.Fatal(err)
	}
	w.jobError("erase", "the time for the step is over")
	if rows, erased := s.state(); rows != 9 || erased != 1 {
		t.Errorf("%d rows are left after %d calls", rows, erased)
	}
	w.quiet()
	w.send(freshStart("erase", time.Now().Add(patience)))
	w.wantTold("store.erased", events.StepCompletedName)
}

// TestFreshStartThatEnded takes the job from a worker in the middle of it.
func TestFreshStartThatEnded(t *testing.T) {
	for _, end := range []events.Payload{&events.ReactivationFailed{OperationID: "op"}, &events.TenantReactivated{OperationID: "op"}} {
		t.Run(end.EventType(), func(t *testing.T) {
			s := &fakeStore{name: "documents", rows: 10}
			w := newWorld(t, s)
			p := w.pause(s, false)
			w.start(w.app)
			w.send(freshStart("erase", time.Now().Add(patience)))
			testkit.Receive(t, patience, p.entered)
			w.send(end)
			testkit.Receive(t, patience, p.left)
			if rows, erased := s.state(); rows != 9 || erased != 1 {
				t.Errorf("%d rows are left after %d calls", rows, erased)
			}
			w.quiet()
		})
	}
}
