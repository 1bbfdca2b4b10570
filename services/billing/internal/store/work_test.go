package store_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/shared/pg"
)

func TestWorkIsWhatWasWrittenFirst(t *testing.T) {
	s, _, _ := open(t)
	first := store.Work{
		Tenant: "acme", ID: "op-1", OperationID: "op", Generation: 1, Plan: "professional",
		Changes: []plan.Change{plan.Raise}, SubscriptionID: "sub_1", InvoiceBefore: "in_1",
	}
	if _, err := s.Begin(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	// Looked at again, the change is there already: what had to be done must not look like nothing.
	later := first
	later.Changes, later.InvoiceBefore = nil, "in_2"
	got, err := s.Begin(t.Context(), later)
	if err != nil || !slices.Equal(got.Changes, first.Changes) || got.InvoiceBefore != "in_1" {
		t.Errorf("got %+v, %v", got, err)
	}
	found, ok, err := s.WorkOf(t.Context(), "acme", "op", "op-1-undo")
	if err != nil || !ok || found.ID != "op-1" {
		t.Errorf("found %+v, %v, %v", found, ok, err)
	}
	if _, ok, err := s.WorkOf(t.Context(), "other", "op", "op-1-undo"); ok || err != nil {
		t.Errorf("another tenant's work was found, %v", err)
	}
}

func TestWorkIsUnderWayUntilItOrItsWayBackIsFinished(t *testing.T) {
	s, db, _ := open(t)
	begin := func(id, operation string) store.Work {
		t.Helper()
		w, err := s.Begin(t.Context(), store.Work{Tenant: "acme", ID: id, OperationID: operation, Generation: 1})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	finish := func(w store.Work) {
		t.Helper()
		if err := pg.WithTx(t.Context(), db, func(tx pgx.Tx) error { return s.Finish(t.Context(), tx, w) }); err != nil {
			t.Fatal(err)
		}
	}
	want := func(generation int64, want bool) {
		t.Helper()
		if got, err := s.UnderWay(t.Context(), "acme", generation); err != nil || got != want {
			t.Errorf("under way: %v, %v, want %v", got, err, want)
		}
	}
	alone := begin("evt-1", "")
	begin("evt-2", "")
	finish(alone)
	want(1, true) // the other one
	want(2, false)
	finish(begin("evt-2", ""))
	want(1, false)

	begin("op-1", "op") // its time ran out: only its way back is asked for any more
	finish(begin("op-1-undo", "op"))
	want(1, false)
	if w, found, err := s.Work(t.Context(), "acme", "op-1"); err != nil || !found || !w.Done || w.Failure == "" {
		t.Errorf("what was taken back is %+v, %v, %v", w, found, err)
	}
}

func TestKeyIsRenewedBeforeStripeForgetsIt(t *testing.T) {
	s, db, _ := open(t)
	begin := func() string {
		t.Helper()
		w, err := s.Begin(t.Context(), store.Work{Tenant: "acme", ID: "op-1", Generation: 1})
		if err != nil {
			t.Fatal(err)
		}
		return w.Key("raise")
	}
	age := func(interval string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), `UPDATE works SET tried_at = tried_at - $1::interval`, interval); err != nil {
			t.Fatal(err)
		}
	}
	key := begin()
	age("22 hours")
	if begin() != key {
		t.Error("renewed while Stripe still knows it: a call under way could be done twice")
	}
	age("2 hours")
	renewed := begin()
	if renewed == key {
		t.Error("not renewed after 24 hours")
	}
	if begin() != renewed {
		t.Error("renewed again")
	}
}
