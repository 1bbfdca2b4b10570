package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tenure/services/connectors"
	"tenure/services/deletion/internal/app"
	"tenure/services/deletion/internal/store"
	"tenure/services/deletion/verify"
	"tenure/shared/events"
	"tenure/shared/retention"
	"tenure/shared/testkit"
)

const person = "ann@example.com"

// newCrew is a tenant with persons in one store, in one that a law keeps, and in one that cannot tell.
func newCrew(t *testing.T) (w *world, people, ledger, files *fakeStore) {
	persons := func() map[string]int64 { return map[string]int64{person: 3, "bob@example.com": 2} }
	people = &fakeStore{name: "people", rows: 10, persons: persons(), traits: connectors.Traits{Subjects: true}}
	ledger = &fakeStore{name: "ledger", rows: 4, persons: persons(), traits: connectors.Traits{Subjects: true, Class: "invoices"}}
	files = &fakeStore{name: "files", rows: 5}
	w = newWorld(t, people, ledger, files)
	w.policy.Classes = []retention.Class{{Name: "invoices", KeepDays: 10, Basis: "§ 147 AO"}}
	w.app = w.newApp(w.db)
	w.send(&events.TenantRegistered{Plan: "starter", Generation: 1})
	return w, people, ledger, files
}

func (w *world) ask(key string) *store.SubjectErasure {
	w.Helper()
	request, err := w.app.RequestSubjectErasure(w.Context(), app.SubjectRequest{
		Tenant: tenant, Subject: person, Reason: "she asked", Actor: "operator:ada", Key: key,
	})
	if err != nil {
		w.Fatal(err)
	}
	return request
}

func TestSubjectErasure(t *testing.T) {
	var logged bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	w, people, ledger, files := newCrew(t)
	people.fail = fmt.Errorf("no such person: %s", person) // what a store says may name the person
	stop := w.start(w.app)
	asked := w.ask("")
	if !asked.DueBy.Equal(retention.MonthAfter(asked.RequestedAt)) {
		t.Errorf("asked at %v, due by %v", asked.RequestedAt, asked.DueBy)
	}
	stuck := w.wantTold("erasure.stuck")
	people.set(func() { people.fail = nil })
	told := w.wantTold("subject.erased")
	fact, err := told[0].Payload()
	if err != nil {
		t.Fatal(err)
	}
	want := &events.SubjectErased{RequestID: asked.RequestID, Stores: []events.SubjectRows{{Store: "people", Before: 3}}}
	if diff := cmp.Diff(want, fact); diff != "" {
		t.Errorf("fact (-want +got):\n%s", diff)
	}
	stop()
	if people.persons[person] != 0 || people.persons["bob@example.com"] != 2 || people.rows != 10 || ledger.persons[person] != 3 || files.rows != 5 {
		t.Errorf("left: %v, %v, %d files", people.persons, ledger.persons, files.rows)
	}
	request, progress, err := w.app.SubjectErasure(t.Context(), asked.RequestID)
	if err != nil {
		t.Fatal(err)
	}
	if request.Status != store.StatusCompleted || request.Subject != "" || request.EndedAt == nil {
		t.Errorf("request %+v", request)
	}
	wantSubjectReport(t, w, request, progress)
	var traces int
	err = w.db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM subject_erasures s WHERE s::text LIKE $1) + (SELECT count(*) FROM log l WHERE l::text LIKE $1)
		+ (SELECT count(*) FROM jobs j WHERE j::text LIKE $1) + (SELECT count(*) FROM erasures e WHERE e::text LIKE $1)`, "%"+person+"%").Scan(&traces)
	if err != nil || traces != 0 || strings.Contains(logged.String(), person) || strings.Contains(string(stuck[0].Data), person) {
		t.Errorf("the person is named in %d rows (%v), in %s, or in %s", traces, err, stuck[0].Data, logged.String())
	}
}

func wantSubjectReport(t *testing.T, w *world, request *store.SubjectErasure, progress app.SubjectProgress) {
	t.Helper()
	report, err := verify.Certificate(request.Document, w.signer.PublicKey())
	if err != nil || report.Kind != verify.Subject || report.OperationID != request.RequestID || report.Erased != 3 || report.Stores != 1 {
		t.Errorf("report %+v, %v", report, err)
	}
	if len(progress.Stores) != 1 || !cmp.Equal(progress.Exceptions, report.Exceptions) {
		t.Errorf("progress %+v", progress)
	}
	var left []string
	for _, e := range report.Exceptions {
		left = append(left, strings.TrimSpace(e.Store+" "+e.Basis))
	}
	if diff := cmp.Diff([]string{"files", "ledger § 147 AO", ""}, left); diff != "" {
		t.Errorf("exceptions (-want +got):\n%s", diff)
	}
}

func TestSubjectRequestRepeated(t *testing.T) {
	w, _, _, _ := newCrew(t)
	first, again := w.ask("k1"), w.ask("k1")
	if first.RequestID != again.RequestID || !first.DueBy.Equal(again.DueBy) {
		t.Errorf("first %+v, then %+v", first, again)
	}
	if other := w.ask("k2"); other.RequestID == first.RequestID {
		t.Error("another key is the same request")
	}
	_, err := w.app.RequestSubjectErasure(t.Context(), app.SubjectRequest{Tenant: tenant, Subject: "bob@example.com", Key: "k1"})
	if !errors.Is(err, app.ErrKeyReused) {
		t.Errorf("the key serves another person: %v", err)
	}
	w.start(w.app)
	w.told("subject.erased")
	testkit.WaitFor(t, patience, "both are done", func() bool {
		var open int
		err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM subject_erasures WHERE status = 'open'`).Scan(&open)
		return err == nil && open == 0
	})
	if done := w.ask("k1"); done.RequestID != first.RequestID {
		t.Error("after its end the same key is another request")
	}
}

func TestSubjectRequestRefused(t *testing.T) {
	w, _, _, _ := newCrew(t)
	request := func(of string) error {
		_, err := w.app.RequestSubjectErasure(t.Context(), app.SubjectRequest{Tenant: of, Subject: person})
		return err
	}
	if err := request("nobody"); !errors.Is(err, app.ErrUnknownTenant) {
		t.Errorf("of an unknown tenant: %v", err)
	}
	w.purge(1)
	if err := request(tenant); !errors.Is(err, app.ErrUnknownTenant) {
		t.Errorf("of a tenant that is purged: %v", err)
	}
	w.send(&events.TenantPurged{OperationID: "op", Generation: 1})
	if err := request(tenant); !errors.Is(err, app.ErrUnknownTenant) {
		t.Errorf("of a deleted tenant: %v", err)
	}
	w.send(&events.TenantReborn{Generation: 2})
	if err := request(tenant); err != nil {
		t.Errorf("of a tenant that came back: %v", err)
	}
	w.stores = w.stores[1:]
	w.app = w.newApp(w.db)
	if err := request(tenant); !errors.Is(err, app.ErrNoSubjects) {
		t.Errorf("without a store that may erase a person: %v", err)
	}
}

func TestHoldKeepsAPerson(t *testing.T) {
	w, people, _, _ := newCrew(t)
	w.send(&events.HoldPlaced{HoldID: "h1"})
	asked := w.ask("")
	w.start(w.app)
	testkit.WaitFor(t, patience, "the request waits for the hold", func() bool {
		_, progress, err := w.app.SubjectErasure(t.Context(), asked.RequestID)
		return err == nil && strings.Contains(progress.WaitsFor, "legal hold")
	})
	if _, erased := people.state(); erased != 0 {
		t.Errorf("erased %d times", erased)
	}
	w.quiet()
	w.send(&events.HoldReleased{HoldID: "h1"})
	w.wantTold("subject.erased")
}

// TestPurgeEndsSubjectRequests: everything is gone then, and so are the keys and what people wrote.
func TestPurgeEndsSubjectRequests(t *testing.T) {
	w, _, _, _ := newCrew(t)
	asked := w.ask("")
	w.purge(1)
	w.send(&events.TenantPurged{OperationID: "op", Generation: 1})
	request, _, err := w.app.SubjectErasure(t.Context(), asked.RequestID)
	if err != nil || request.Status != store.StatusSuperseded || request.Subject != "" || request.Reason != "" {
		t.Errorf("request %+v, %v", request, err)
	}
	var left int
	if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM jobs`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d jobs are left, %v", left, err)
	}
}

// TestDeadlineWarning tells once, from seven days before, of a request that is not done.
func TestDeadlineWarning(t *testing.T) {
	w, _, _, _ := newCrew(t)
	w.send(&events.HoldPlaced{HoldID: "h1"})
	asked := w.ask("")
	move := func(left string) {
		if _, err := w.db.Exec(t.Context(), `UPDATE subject_erasures SET due_by = now() + $1::interval`, left); err != nil {
			t.Fatal(err)
		}
	}
	move("7 days 1 minute")
	stop := w.start(w.app)
	testkit.WaitFor(t, patience, "the request waits for the hold", func() bool {
		_, progress, err := w.app.SubjectErasure(t.Context(), asked.RequestID)
		return err == nil && strings.Contains(progress.WaitsFor, "legal hold")
	})
	stop()
	w.quiet()
	move("6 days 23 hours")
	stop = w.start(w.newApp(w.db))
	told := w.wantTold("subject.overdue")
	p, err := told[0].Payload()
	if err != nil || p.(*events.SubjectOverdue).RequestID != asked.RequestID {
		t.Errorf("told %+v, %v", p, err)
	}
	stop()
	w.start(w.newApp(w.db))
	w.send(&events.HoldReleased{HoldID: "h1"})
	w.wantTold("subject.erased")
}

// TestSubjectCrashAtEveryCommit breaks each write of a request in turn.
func TestSubjectCrashAtEveryCommit(t *testing.T) {
	for name, failure := range map[string]testkit.Failure{
		"the inventory":     {Table: "deletion.erasures", Op: "INSERT", When: "NEW.store = 'files'"},
		"the erasing":       {Table: "deletion.erasures", Op: "UPDATE", When: "NEW.after IS NULL"},
		"the look":          {Table: "deletion.erasures", Op: "UPDATE", When: "NEW.after = 0"},
		"the end":           {Table: "deletion.subject_erasures", Op: "UPDATE"},
		"what is told":      {Table: "deletion.log", Op: "INSERT"},
		"the job's end":     {Table: "deletion.jobs", Op: "UPDATE", When: "NEW.status = 'done'"},
		"the job's removal": {Table: "deletion.jobs", Op: "DELETE"},
	} {
		t.Run(name, func(t *testing.T) {
			w, people, _, _ := newCrew(t)
			failure.Times = 2
			testkit.FailQuery(t, w.db, failure)
			w.start(w.app)
			asked := w.ask("")
			w.wantTold("subject.erased")
			request, _, err := w.app.SubjectErasure(t.Context(), asked.RequestID)
			if found, verr := people.Verify(t.Context(), connectors.Scope{Tenant: tenant, Subject: person}); err != nil || verr != nil || found.Total() != 0 {
				t.Fatalf("left %v, %v, %v", found, err, verr)
			}
			if report, err := verify.Certificate(request.Document); err != nil || report.Erased != 3 {
				t.Errorf("report %+v, %v", report, err)
			}
		})
	}
}

// TestSubjectOfNobody: a scope without a person is the whole tenant, so that there may be no request without one.
func TestSubjectOfNobody(t *testing.T) {
	w, people, _, _ := newCrew(t)
	w.start(w.app)
	if _, err := w.app.RequestSubjectErasure(t.Context(), app.SubjectRequest{Tenant: tenant}); err == nil {
		t.Error("it is accepted")
	}
	w.ask("")
	w.wantTold("subject.erased")
	if rows, _ := people.state(); rows != 10 {
		t.Errorf("%d rows are left", rows)
	}
}
