package store_test

import (
	"slices"
	"testing"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
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
