package app_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/services/deletion/verify"
	"tenure/shared/events"
	"tenure/shared/testkit"
)

// settles is how long the stores of these tests may show what was before.
const settles = 300 * time.Millisecond

func slowStore(rows int64) *fakeStore {
	return &fakeStore{name: "vectors", rows: rows, traits: connectors.Traits{Settles: settles}}
}

// jobSleeps waits until the step's job waits for a store, and nobody holds it.
func (w *world) jobSleeps(action string) {
	w.Helper()
	w.jobError(action, "may still show an older state")
}

func TestTwoEmptyLooksApart(t *testing.T) {
	s := slowStore(5)
	w := newWorld(t, s)
	w.start(w.app)
	w.purge(1)
	w.send(step("erase"))
	w.jobSleeps("erase")
	w.send(step("erase")) // to be asked again makes no store faster
	w.wantTold("store.erased", events.StepCompletedName)
	looks := s.looked() // the count before, and the two behind the erasing
	if len(looks) != 3 || looks[2].Sub(looks[1]) < settles {
		t.Errorf("looked at %v", looks)
	}
	if _, erased := s.state(); erased != 1 {
		t.Errorf("erased %d times", erased)
	}
	w.finishFrom("verify", "certify") // an empty look long after the first is enough
	if looks := s.looked(); len(looks) != 1 {
		t.Errorf("verified at %v", looks)
	}
}

// TestFirstEmptyLookSurvivesARestart: the second process counts from the first one's look, and looks no sooner.
func TestFirstEmptyLookSurvivesARestart(t *testing.T) {
	s := slowStore(5)
	w := newWorld(t, s)
	stop := w.start(w.app)
	w.purge(1)
	w.send(step("erase"))
	w.jobSleeps("erase")
	stop()
	before := s.looked()
	w.start(w.newApp(open(t, w.url)))
	w.wantTold("store.erased", events.StepCompletedName)
	after := s.looked()
	if len(after) != 1 || after[0].Sub(before[len(before)-1]) < settles {
		t.Errorf("looked at %v, then at %v", before, after)
	}
	if _, erased := s.state(); erased != 1 {
		t.Errorf("erased %d times", erased)
	}
}

// TestRowsBetweenTheLooksStartOver: what comes to light late is erased, and two looks are wanted again.
func TestRowsBetweenTheLooksStartOver(t *testing.T) {
	s := slowStore(5)
	w := newWorld(t, s)
	w.start(w.app)
	w.purge(1)
	w.send(step("erase"))
	w.jobSleeps("erase")
	s.set(func() { s.rows = 2 })
	w.wantTold("store.erased", events.StepCompletedName)
	looks := s.looked()
	if rows, erased := s.state(); rows != 0 || erased != 2 {
		t.Errorf("%d rows are left after %d calls", rows, erased)
	}
	if n := len(looks); n < 4 || looks[n-1].Sub(looks[n-2]) < settles {
		t.Errorf("looked at %v", looks)
	}
}

// TestOldStateIsNoFailure: right behind an erasing a store that settles may show what was there before.
func TestOldStateIsNoFailure(t *testing.T) {
	s := slowStore(5)
	shows := int64(5)
	s.shows = &shows
	w := newWorld(t, s)
	w.start(w.app)
	w.purge(1)
	w.send(step("erase"))
	w.jobSleeps("erase")
	s.set(func() { s.shows = nil })
	w.wantTold("store.erased", events.StepCompletedName)
	if _, erased := s.state(); erased != 1 {
		t.Errorf("erased %d times", erased)
	}
}

// TestStoreKeepsAShare keeps 5% of its rows: for a while, and it is retried; for ever, and it is never deleted: the step
// fails until an operator is called.
func TestStoreKeepsAShare(t *testing.T) {
	for name, traits := range map[string]connectors.Traits{"at once": {}, "settles late": {Settles: 50 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			s := &fakeStore{name: "vectors", rows: 100, leaves: 5, traits: traits}
			w := newWorld(t, s)
			w.start(w.app)
			w.purge(1)
			for range 2 { // however often it is asked for
				w.send(step("erase"))
				if a := w.wantAnswer(events.StepFailedName); a.Permanent || !strings.Contains(a.Error, "store vectors says that it erased everything, but holds 5 rows") {
					t.Fatalf("answer %+v", a)
				}
			}
			w.send(step("certify"))
			if a := w.wantAnswer(events.StepFailedName); !strings.Contains(a.Error, "vectors holds 5 rows") {
				t.Fatalf("answer %+v", a)
			}
			s.set(func() { s.leaves = 0 })
			w.finishFrom("erase", "verify", "certify")
			report, err := verify.Certificate(w.documents.get("certificates/acme/1.json"))
			if err != nil || report.Erased != 100+1 {
				t.Errorf("report %+v, %v", report, err)
			}
		})
	}
}

// TestNothingIsErasedBeforeAllIsCounted: with one store away nothing is gone that the certificate could not tell of.
func TestNothingIsErasedBeforeAllIsCounted(t *testing.T) {
	first, away := &fakeStore{name: "documents", rows: 3}, &fakeStore{name: "files", rows: 2, unread: errors.New("no answer")}
	w := newWorld(t, first, away)
	w.start(w.app)
	w.purge(1)
	w.send(step("erase"))
	if a := w.wantAnswer(events.StepFailedName); !strings.Contains(a.Error, "nothing is erased before all is counted: no answer") {
		t.Errorf("answer %+v", a)
	}
	var written int
	if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM erasures`).Scan(&written); err != nil || written != 0 {
		t.Errorf("%d stores are written down, %v", written, err)
	}
	if rows, erased := first.state(); rows != 3 || erased != 0 {
		t.Errorf("%d rows are left after %d calls", rows, erased)
	}
	away.set(func() { away.unread = nil })
	w.finishFrom("erase", "verify", "certify")
}

// TestInventorySurvivesAKill: what the stores held first is in the certificate, though most of it was erased by a worker that
// died.
func TestInventorySurvivesAKill(t *testing.T) {
	first, second := &fakeStore{name: "documents", rows: 10}, &fakeStore{name: "files", rows: 5}
	w := newWorld(t, first, second)
	p := w.pause(second, false)
	stop := w.start(w.app)
	w.purge(1)
	w.send(step("erase"))
	testkit.Receive(t, patience, p.entered)
	stop()
	if rows, _ := first.state(); rows != 0 {
		t.Fatalf("%d rows are left", rows)
	}
	w.start(w.newApp(open(t, w.url)))
	told := w.wantTold("store.erased", "store.erased", events.StepCompletedName)
	if a, err := told[2].DecodeAnswer(); err != nil || string(a.Result) != `{"before":15,"after":0}` {
		t.Errorf("answer %s, %v", a.Result, err)
	}
}
