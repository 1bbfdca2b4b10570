package app_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/services/deletion/verify"
	"tenure/shared/events"
	"tenure/shared/testkit"
)

// pause is a stop half-way through a store's first erasing.
type pause struct {
	entered, left chan struct{} // it is there, and gone
	proceed       chan struct{} // closed, it goes on; unless it is deaf, it breaks off when its context ends
}

func (w *world) pause(s *fakeStore, deaf bool) pause {
	p := pause{make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})}
	var paused atomic.Bool
	s.set(func() {
		s.during = func(ctx context.Context) error {
			if paused.Swap(true) {
				return nil
			}
			defer func() { p.left <- struct{}{} }()
			p.entered <- struct{}{}
			done := ctx.Done()
			if deaf {
				done = nil
			}
			select {
			case <-p.proceed:
			case <-w.Context().Done(): // the test is over
			case <-done:
				return ctx.Err()
			}
			return nil
		}
	})
	return p
}

// TestWorkerStopsBetweenBatches stops a process in the middle of an erasing. The next one goes on, and the certificate
// tells what there was before the first.
func TestWorkerStopsBetweenBatches(t *testing.T) {
	s := &fakeStore{name: "documents", rows: 10}
	w := newWorld(t, s)
	p := w.pause(s, false)
	stop := w.start(w.app)
	w.purge(1)
	w.send(step("erase"))
	testkit.Receive(t, patience, p.entered)
	stop()
	w.quiet()
	if rows, _ := s.state(); rows != 9 {
		t.Fatalf("%d rows are left", rows)
	}
	w.start(w.newApp(open(t, w.url)))
	w.wantTold("store.erased", events.StepCompletedName)
	w.finishFrom("verify")
	w.send(step("certify"))
	w.wantTold("certificate.issued", events.StepCompletedName)
	report, err := verify.Certificate(w.documents.get("certificates/acme/1.json"))
	if err != nil || report.Erased != 10+1 {
		t.Errorf("report %+v, %v", report, err)
	}
}

// TestWorkerThatIsNotHeardOf cuts a worker off from the database while it erases, as a frozen process or a killed one
// is. Another takes the job when the lease is over; what the first still does changes nothing.
func TestWorkerThatIsNotHeardOf(t *testing.T) {
	s := &fakeStore{name: "documents", rows: 10}
	w := newWorld(t, s)
	w.cfg.Lease = 500 * time.Millisecond
	p := w.pause(s, true)
	cutOff := open(t, w.url)
	w.start(w.newApp(cutOff))
	w.purge(1)
	w.send(step("erase"))
	testkit.Receive(t, patience, p.entered)
	cutOff.Close()

	w.start(w.newApp(w.db))
	w.wantTold("store.erased", events.StepCompletedName)
	close(p.proceed)
	w.finishFrom("verify", "certify")
	w.quiet()
	report, err := verify.Certificate(w.documents.get("certificates/acme/1.json"))
	if err != nil || report.Erased != 10+1 {
		t.Errorf("report %+v, %v", report, err)
	}
}

// TestFormerHolderStoresNothing lets a worker's lease run out while it can still reach the database.
func TestFormerHolderStoresNothing(t *testing.T) {
	s := &fakeStore{name: "documents", rows: 10}
	w := newWorld(t, s)
	p := w.pause(s, true)
	w.start(w.app)
	w.purge(1)
	w.send(step("erase"))
	testkit.Receive(t, patience, p.entered)
	// What the clock would do, had the worker not extended its lease for so long.
	if _, err := w.db.Exec(t.Context(), `UPDATE jobs SET epoch = epoch + 1, lease_until = 'infinity'`); err != nil {
		t.Fatal(err)
	}
	close(p.proceed)
	testkit.WaitFor(t, patience, "the former holder is done", func() bool {
		rows, _ := s.state()
		return rows == 0
	})
	var read bool
	err := w.db.QueryRow(t.Context(), `SELECT after IS NOT NULL FROM erasures`).Scan(&read)
	if err != nil || read {
		t.Errorf("the former holder stored what it read: %v, %v", read, err)
	}
	w.quiet()
	if _, err := w.db.Exec(t.Context(), `UPDATE jobs SET lease_until = '-infinity'`); err != nil {
		t.Fatal(err)
	}
	w.wantTold("store.erased", events.StepCompletedName)
}

// TestCrashAtEveryCommit breaks each write of a purge in turn. There is one certificate, whatever fails.
func TestCrashAtEveryCommit(t *testing.T) {
	for name, failure := range map[string]testkit.Failure{
		"the inventory":           {Table: "deletion.erasures", Op: "INSERT", When: "NEW.store = 'tenure/vault'"},
		"the erasing's beginning": {Table: "deletion.erasures", Op: "UPDATE", When: "NEW.erased_at IS DISTINCT FROM OLD.erased_at"},
		"the count after":         {Table: "deletion.erasures", Op: "UPDATE", When: "NEW.after IS NOT NULL"},
		"the first empty look":    {Table: "deletion.erasures", Op: "UPDATE", When: "NEW.empty_since IS NOT NULL"},
		"the wait for the second": {Table: "deletion.jobs", Op: "UPDATE", When: "NEW.error LIKE '%older state%'"},
		"the end of the erasing":  {Table: "deletion.jobs", Op: "UPDATE", When: "NEW.status = 'done' AND NEW.action = 'erase'"},
		"the end of the vault":    {Table: "deletion.erasures", Op: "UPDATE", When: "NEW.after IS NOT NULL AND NEW.store = 'tenure/vault'"},
		"the certificate":         {Table: "deletion.certificates", Op: "INSERT"},
		"the end of the whole":    {Table: "deletion.jobs", Op: "UPDATE", When: "NEW.status = 'done' AND NEW.action = 'certify'"},
		"the answers":             {Table: "deletion.log", Op: "INSERT", When: "NEW.type LIKE '%step.completed%'"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, &fakeStore{name: "documents", rows: 10, traits: connectors.Traits{Settles: 50 * time.Millisecond}})
			w.start(w.app)
			failure.Times = 2
			testkit.FailQuery(t, w.db, failure)
			w.purge(1)
			w.finishFrom("erase", "verify", "certify")
			all, err := w.log.Read(t.Context(), w.db, tenant, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			told := map[string]int{}
			for _, e := range all {
				told[e.Name()]++
			}
			if told["certificate.issued"] != 1 || told["store.erased"] != 1 || told[events.StepCompletedName] != 3 {
				t.Errorf("told %v", told)
			}
			report, err := verify.Certificate(w.documents.get("certificates/acme/1.json"), w.signer.PublicKey())
			if err != nil || report.Erased != 10+1 {
				t.Errorf("report %+v, %v", report, err)
			}
		})
	}
}
