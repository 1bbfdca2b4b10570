package app_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/shared/events"
	"tenure/shared/testkit"
)

// purged has a tenant purged in a world whose days are short, or long over.
func (w *world) purged(day time.Duration) {
	w.Helper()
	w.cfg.Day = day
	w.app = w.newApp(w.db)
	w.purge(1)
	w.send(&events.TenantPurged{OperationID: "op", Generation: 1})
}

func (w *world) sweepsDone(want int) {
	w.Helper()
	testkit.WaitFor(w, patience, "the sweeps are done", func() bool {
		var done int
		err := w.db.QueryRow(w.Context(), `SELECT count(*) FROM sweeps WHERE swept_at IS NOT NULL`).Scan(&done)
		return err == nil && done == want
	})
}

func TestSweepsFindNothing(t *testing.T) {
	w := newWorld(t, &fakeStore{name: "documents"})
	if err := w.vault.Shred(t.Context(), w.db, tenant, 1); err != nil {
		t.Fatal(err)
	}
	w.purged(time.Millisecond)
	w.start(w.app)
	w.sweepsDone(3)
	w.quiet()
	for _, table := range []string{"jobs", "erasures", "purges", "holds"} {
		var rows int
		if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%s keeps %d rows of a purged tenant, %v", table, rows, err)
		}
	}
}

// TestSweepsFindWhatCameBack: each sweep tells it once, and none erases it.
func TestSweepsFindWhatCameBack(t *testing.T) {
	s := &fakeStore{name: "documents", rows: 4}
	w := newWorld(t, s)
	w.purged(time.Millisecond)
	w.start(w.app)
	w.start(w.newApp(w.db)) // two processes sweep
	w.sweepsDone(3)
	found := map[events.ResidueFound]int{}
	for _, e := range w.told("residue.found") {
		p, err := e.Payload()
		if err != nil {
			t.Fatal(err)
		}
		found[*p.(*events.ResidueFound)]++
	}
	want := map[events.ResidueFound]int{
		{Store: "documents", Rows: 4, Generation: 1}:    3,
		{Store: "tenure/vault", Rows: 1, Generation: 1}: 3,
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	if _, erased := s.state(); erased != 0 {
		t.Errorf("a sweep erased %d times", erased)
	}
}

func TestSweepsAreNotEarly(t *testing.T) {
	w := newWorld(t, &fakeStore{name: "documents", rows: 4})
	w.purged(24 * time.Hour)
	var due []int // hours from now
	rows, err := w.db.Query(t.Context(), `SELECT round(extract(epoch FROM due_at - now()) / 3600)::int FROM sweeps ORDER BY day`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var hours int
		if err := rows.Scan(&hours); err != nil {
			t.Fatal(err)
		}
		due = append(due, hours)
	}
	if diff := cmp.Diff([]int{24, 168, 720}, due); diff != "" {
		t.Errorf("due after hours (-want +got):\n%s", diff)
	}
}

// TestSweepsSpareATenantThatCameBack: what it has now is its own.
func TestSweepsSpareATenantThatCameBack(t *testing.T) {
	w := newWorld(t, &fakeStore{name: "documents", rows: 4})
	w.purged(time.Millisecond)
	w.send(&events.TenantReborn{Generation: 2})
	w.start(w.app)
	// A job that comes after the sweeps were due shows that the worker has looked.
	w.purge(2)
	w.finishFrom("erase")
	var sweeps int
	if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM sweeps`).Scan(&sweeps); err != nil || sweeps != 0 {
		t.Errorf("%d sweeps are armed, %v", sweeps, err)
	}
	all, err := w.log.Read(t.Context(), w.db, tenant, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Name() == "residue.found" {
			t.Errorf("told %s", e.Data)
		}
	}
}
