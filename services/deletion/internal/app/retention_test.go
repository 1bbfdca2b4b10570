package app_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/services/connectors"
	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/verify"
	"tenure/shared/events"
	"tenure/shared/retention"
	"tenure/shared/testkit"
)

// newKeeper is a world whose policy keeps the class of ledger for ten days of this length.
func newKeeper(t *testing.T, day time.Duration) (w *world, documents, ledger *fakeStore) {
	documents = &fakeStore{name: "documents", rows: 10}
	ledger = &fakeStore{name: "ledger", rows: 4, traits: connectors.Traits{Class: "invoices", Targets: []string{"table app.ledger"}}}
	w = newWorld(t, documents, ledger)
	w.policy.Classes = []retention.Class{{Name: "invoices", KeepDays: 10, Basis: "§ 147 AO"}, {Name: "logs", Basis: "none"}}
	w.cfg.Day = day
	w.app = w.newApp(w.db)
	return w, documents, ledger
}

func (w *world) purged1() {
	w.Helper()
	w.purge(1)
	w.finish()
	w.send(&events.TenantPurged{OperationID: "op", Generation: 1})
}

// certificateOf reads a certificate that must be genuine.
func (w *world) certificateOf(key string) (c purge.Certificate) {
	w.Helper()
	document := w.documents.get(key)
	if _, err := verify.Certificate(document, w.signer.PublicKey()); err != nil {
		w.Fatalf("%s: %v", document, err)
	}
	if err := json.Unmarshal(document, &c); err != nil {
		w.Fatal(err)
	}
	return c
}

// TestKeptClassIsAnException: it is neither erased nor taken for residue, and the certificate tells until when it stays.
func TestKeptClassIsAnException(t *testing.T) {
	w, documents, ledger := newKeeper(t, 24*time.Hour)
	w.start(w.app)
	w.purged1()
	if rows, erased := ledger.state(); rows != 4 || erased != 0 {
		t.Errorf("of the ledger %d rows are left after %d calls", rows, erased)
	}
	if rows, _ := documents.state(); rows != 0 {
		t.Errorf("of the documents %d rows are left", rows)
	}
	c := w.certificateOf("certificates/acme/1.json")
	rows, until := int64(4), c.StartedAt.AddDate(0, 0, 10)
	want := purge.Exception{
		What: "store ledger", Why: "the retention policy keeps data of class invoices", Store: "ledger", Class: "invoices", Basis: "§ 147 AO",
		Until: &until, Rows: &rows,
	}
	if diff := cmp.Diff(want, c.Exceptions[0]); diff != "" {
		t.Errorf("exception (-want +got):\n%s", diff)
	}
	// Not even a hold that is released, which wakes all jobs, makes it early.
	w.send(&events.HoldPlaced{HoldID: "h1"})
	w.send(&events.HoldReleased{HoldID: "h1"})
	if _, err := w.db.Exec(t.Context(), `UPDATE sweeps SET due_at = now()`); err != nil {
		t.Fatal(err)
	}
	w.sweepAgain()
	w.sweepsDone(3)
	w.quiet()
	var due time.Time
	if err := w.db.QueryRow(t.Context(), `SELECT due_at FROM jobs WHERE status = 'open' AND epoch = 0`).Scan(&due); err != nil || !due.Equal(until) {
		t.Errorf("the ledger is erased at %v, want %v: %v", due, until, err)
	}
}

// sweepAgain starts a process whose first look at the sweeps is now.
func (w *world) sweepAgain() { w.Helper(); w.start(w.newApp(w.db)) }

func TestKeptClassIsErasedInTheEnd(t *testing.T) {
	w, _, ledger := newKeeper(t, 200*time.Millisecond)
	w.start(w.app)
	w.purged1()
	told := w.told("certificate.issued")
	var names []string
	for _, e := range told {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"store.erased", "certificate.issued"}, names); diff != "" {
		t.Fatalf("told (-want +got):\n%s", diff)
	}
	issued, err := told[1].Payload()
	if err != nil {
		t.Fatal(err)
	}
	got := *issued.(*events.CertificateIssued)
	want := events.CertificateIssued{OperationID: "op-invoices", Generation: 1, Class: "invoices", Key: "certificates/acme/1-invoices.json", SHA256: got.SHA256}
	if got != want {
		t.Errorf("told %+v", got)
	}
	report, err := verify.Certificate(w.documents.get(want.Key), w.signer.PublicKey())
	if err != nil || report.Kind != verify.Retention || report.Erased != 4 || report.FinishedAt.Before(report.ScheduledFor) {
		t.Errorf("report %+v, %v", report, err)
	}
	if until := w.certificateOf("certificates/acme/1.json").Exceptions[0].Until; !report.ScheduledFor.Equal(*until) {
		t.Errorf("kept until %v, promised %v", report.ScheduledFor, until)
	}
	if rows, _ := ledger.state(); rows != 0 {
		t.Errorf("%d rows are left", rows)
	}
	w.quiet()
	for _, table := range []string{"jobs", "erasures"} {
		var rows int
		if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&rows); err != nil || rows != 0 {
			t.Errorf("%s keeps %d rows, %v", table, rows, err)
		}
	}
}

// TestHeldClassStays: a hold counts for what outlived the tenant as for everything.
func TestHeldClassStays(t *testing.T) {
	w, _, ledger := newKeeper(t, 100*time.Millisecond)
	w.purge(1)
	stop := w.start(w.app)
	w.finish()
	stop()
	w.send(&events.TenantPurged{OperationID: "op", Generation: 1})
	w.send(&events.HoldPlaced{HoldID: "h1"})
	w.start(w.newApp(w.db))
	testkit.WaitFor(t, patience, "the erasure waits for the hold", func() bool {
		var held bool
		err := w.db.QueryRow(t.Context(), `SELECT error LIKE '%legal hold%' FROM jobs WHERE operation = 'retention'`).Scan(&held)
		return err == nil && held
	})
	if rows, erased := ledger.state(); rows != 4 || erased != 0 {
		t.Errorf("%d rows are left after %d calls", rows, erased)
	}
	w.send(&events.HoldReleased{HoldID: "h1"})
	w.told("certificate.issued")
}

// TestReturnedTenantHasItsDataBack: a new life's rows in the same store cannot be told apart, so that nothing is erased.
func TestReturnedTenantHasItsDataBack(t *testing.T) {
	w, documents, ledger := newKeeper(t, 24*time.Hour)
	w.start(w.app)
	w.purged1()
	w.send(&events.TenantReborn{Generation: 2})
	look := step("verify")
	look.Operation, look.OperationID, look.Generation = "provision", "op-2", 2
	w.send(look)
	w.wantAnswer(events.StepCompletedName)
	if rows, erased := ledger.state(); rows != 4 || erased != 0 {
		t.Errorf("%d rows are left after %d calls", rows, erased)
	}
	var armed int
	if err := w.db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM retentions) + (SELECT count(*) FROM jobs WHERE status = 'open')`).Scan(&armed); err != nil || armed != 0 {
		t.Errorf("%d erasures are armed, %v", armed, err)
	}
	// Its next purge counts anew.
	documents.set(func() { documents.rows = 1 })
	w.read = 0
	w.purge(2)
	erase := step("erase")
	erase.StepID, erase.Generation = "op-erase-2", 2
	w.send(erase)
	testkit.WaitFor(t, patience, "the second purge erases", func() bool {
		rows, _ := documents.state()
		return rows == 0
	})
}

// TestFreshStartKeepsTheClass: the tenant goes on, and so does its duty to keep.
func TestFreshStartKeepsTheClass(t *testing.T) {
	w, documents, ledger := newKeeper(t, 24*time.Hour)
	w.start(w.app)
	for _, action := range []string{"erase", "verify"} {
		w.send(freshStart(action, time.Now().Add(patience)))
		w.wantAnswer(events.StepCompletedName)
	}
	if rows, _ := documents.state(); rows != 0 {
		t.Errorf("of the documents %d rows are left", rows)
	}
	if rows, erased := ledger.state(); rows != 4 || erased != 0 {
		t.Errorf("of the ledger %d rows are left after %d calls", rows, erased)
	}
}

// TestStuckRetentionCallsAnOperator: nobody would ask again for what no step stands behind.
func TestStuckRetentionCallsAnOperator(t *testing.T) {
	w, _, ledger := newKeeper(t, 10*time.Millisecond)
	ledger.leaves = 1
	w.start(w.app)
	w.purged1()
	told := w.told("erasure.stuck")
	p, err := told[len(told)-1].Payload()
	if err != nil {
		t.Fatal(err)
	}
	want := events.ErasureStuck{
		OperationID: "op-invoices", Operation: "retention", Error: "store ledger says that it erased everything, but holds 1 rows",
	}
	if got := *p.(*events.ErasureStuck); got != want {
		t.Errorf("told %+v", got)
	}
	ledger.set(func() { ledger.leaves = 0 })
	for _, e := range w.told("certificate.issued") {
		if e.Name() == "erasure.stuck" {
			t.Error("it is told twice")
		}
	}
}

// TestRetentionCrashAtEveryCommit breaks each write at the end of a retention in turn.
func TestRetentionCrashAtEveryCommit(t *testing.T) {
	for name, failure := range map[string]testkit.Failure{
		"the inventory":     {Table: "deletion.erasures", Op: "INSERT", When: "NEW.operation_id = 'op-invoices'"},
		"the erasing":       {Table: "deletion.erasures", Op: "UPDATE", When: "NEW.operation_id = 'op-invoices' AND NEW.after IS NULL"},
		"the look":          {Table: "deletion.erasures", Op: "UPDATE", When: "NEW.operation_id = 'op-invoices' AND NEW.after = 0"},
		"the certificate":   {Table: "deletion.retentions", Op: "UPDATE", When: "NEW.ended_at IS NULL"},
		"the end":           {Table: "deletion.retentions", Op: "UPDATE", When: "NEW.ended_at IS NOT NULL"},
		"what is told":      {Table: "deletion.log", Op: "INSERT", When: "NEW.data::json->>'class' = 'invoices'"},
		"the job's removal": {Table: "deletion.jobs", Op: "DELETE", When: "OLD.operation = 'retention'"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, ledger := newKeeper(t, 10*time.Millisecond)
			w.start(w.app)
			failure.Times = 2
			testkit.FailQuery(t, w.db, failure)
			w.purged1()
			told := map[string]int{}
			for _, e := range w.told("certificate.issued") {
				told[e.Name()]++
			}
			if told["certificate.issued"] != 1 || told["store.erased"] != 1 || len(told) != 2 {
				t.Errorf("told %v", told)
			}
			report, err := verify.Certificate(w.documents.get("certificates/acme/1-invoices.json"), w.signer.PublicKey())
			if rows, _ := ledger.state(); err != nil || report.Erased != 4 || rows != 0 {
				t.Errorf("report %+v, %v, %d rows left", report, err, rows)
			}
		})
	}
}
