package app_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/deletion/internal/app"
	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/migrations"
	"tenure/shared/bus"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/inbox"
	"tenure/shared/pg"
	"tenure/shared/retention"
	"tenure/shared/testkit"
	"tenure/shared/vault"
)

const (
	tenant = "acme"
	// patience is for a busy machine; nothing waits that long.
	patience = 60 * time.Second
)

var key32 = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))

// world is deletion on a real database with fake stores; deliver plays the bus.
type world struct {
	*testing.T
	url       string
	db        *pgxpool.Pool
	log       *eventlog.Log
	vault     *vault.Vault
	documents *documents
	stores    []*fakeStore
	app       *app.App // takes events in; it works once start is called

	cfg        app.Config
	policy     retention.Policy
	signer     certificate.Signer
	generation int64 // that was purged last
	sequence   int64
	read       int64 // facts already looked at
}

func newWorld(t *testing.T, stores ...*fakeStore) *world {
	t.Helper()
	url := testkit.Postgres(t)
	if err := pg.Migrate(t.Context(), url, "deletion", migrations.Files); err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, url: url, db: open(t, url), documents: &documents{}, stores: stores, policy: retention.Default()}
	if err := inbox.Migrate(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.log, err = eventlog.Open(t.Context(), w.db, eventlog.Config{Service: "deletion"}); err != nil {
		t.Fatal(err)
	}
	if w.vault, err = vault.Open(t.Context(), url, key32); err != nil {
		t.Fatal(err)
	}
	if err := w.vault.Put(t.Context(), w.db, tenant, 1, vault.Contact{Name: "Ann", Email: "ann@example.com"}); err != nil {
		t.Fatal(err)
	}
	if w.signer, err = certificate.ParseSigner(key32); err != nil {
		t.Fatal(err)
	}
	w.cfg = app.Config{Day: 24 * time.Hour, Lease: 2 * time.Second, Backoff: func(int) time.Duration { return 0 }}
	w.app = w.newApp(w.db)
	return w
}

func open(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	db, err := pg.Open(t.Context(), url, "deletion")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// newApp is another process of the service.
func (w *world) newApp(db *pgxpool.Pool) *app.App {
	parts := app.Parts{DB: db, Log: w.log, Policy: w.policy, Vault: w.vault, Documents: w.documents, Signer: w.signer}
	for _, s := range w.stores {
		parts.Stores = append(parts.Stores, s)
	}
	return app.New(parts, w.cfg)
}

// start lets a process work until the test ends, or stop is called.
func (w *world) start(a *app.App) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.Run(ctx); err != nil {
			w.Errorf("run: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	w.Cleanup(stop)
	return stop
}

// send delivers the next event of the tenant's log.
func (w *world) send(p events.Payload) {
	w.Helper()
	e, err := events.New(p, tenant)
	if err != nil {
		w.Fatal(err)
	}
	w.sequence++
	e.ID, e.Source, e.Sequence = fmt.Sprintf("%s.%d", tenant, w.sequence), "tenure/lifecycle", w.sequence
	e.CorrelationID, e.Time = "command-1", time.Now().UTC()
	handle := inbox.Reactor(w.db, "deletion", app.Wants, w.app.React, w.app.Committed)
	// Twice, as the bus may do.
	for range 2 {
		if _, err := handle(w.Context(), []bus.Message{{Event: e}}); err != nil {
			w.Fatalf("%s: %v", e.Type, err)
		}
	}
}

// purge sends the start of a purge in which the participants erase, too.
func (w *world) purge(generation int64, participants ...string) {
	w.Helper()
	w.generation = generation
	now := time.Now().UTC()
	p := &events.PurgeStarted{
		Operation:   events.OperationPlan{ID: "op", Kind: "purge", FromPlan: "starter"},
		RequestedAt: now.Add(-time.Hour), ScheduledFor: now.Add(-time.Second), RetentionDays: 30, Generation: generation,
		Region: "eu-central-1", GDPR: true,
	}
	for _, name := range append(participants, "deletion") {
		for _, action := range []string{"erase", "verify"} {
			p.Operation.Steps = append(p.Operation.Steps, events.StepPlan{Participant: name, Action: action})
		}
	}
	w.send(p)
}

// chainHead is the end of the tenant's log, which must have this version.
func (w *world) chainHead(version int64) purge.ChainHead {
	w.Helper()
	h := purge.ChainHead{Version: version, EventID: fmt.Sprintf("%s.%d", tenant, version)}
	err := w.db.QueryRow(w.Context(), `SELECT encode(hash, 'hex') FROM chains WHERE tenant_id = $1 AND version = $2`, tenant, version).Scan(&h.Hash)
	if err != nil {
		w.Fatalf("the log's end is not at version %d: %v", version, err)
	}
	return h
}

func step(action string) *events.StepRequested {
	return &events.StepRequested{StepRequest: events.StepRequest{
		StepID: "op-" + action, OperationID: "op", Operation: "purge", Participant: "deletion", Action: action, Attempt: 1,
		Generation: 1, Deadline: time.Now().Add(patience),
	}}
}

func freshStart(action string, deadline time.Time) *events.StepRequested {
	restore := false
	s := step(action)
	s.Operation, s.RestoreData, s.Deadline = "reactivate", &restore, deadline
	return s
}

func participantDone(name, action, result string) *events.StepDone {
	return &events.StepDone{OperationID: "op", StepID: "op-" + name, Participant: name, Action: action, Result: json.RawMessage(result)}
}

// told waits until something was told after the last call, up to the next answer or other end, and returns it.
func (w *world) told(last string) []eventlog.Recorded {
	w.Helper()
	var all []eventlog.Recorded
	testkit.WaitFor(w, patience, last+" is told", func() bool {
		var err error
		if all, err = w.log.Read(w.Context(), w.db, tenant, w.read, 100); err != nil {
			w.Fatal(err)
		}
		return slices.ContainsFunc(all, func(r eventlog.Recorded) bool { return r.Name() == last })
	})
	w.read += int64(len(all))
	return all
}

// wantTold waits for the last of the names and compares all that was told since the last call.
func (w *world) wantTold(want ...string) []eventlog.Recorded {
	w.Helper()
	all := w.told(want[len(want)-1])
	var names []string
	for _, r := range all {
		names = append(names, r.Name())
	}
	if diff := cmp.Diff(want, names); diff != "" {
		w.Fatalf("told (-want +got):\n%s", diff)
	}
	return all
}

// wantAnswer waits for the next answer and returns it.
func (w *world) wantAnswer(name string) events.StepAnswer {
	w.Helper()
	all := w.told(name)
	a, err := all[len(all)-1].DecodeAnswer()
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// quiet fails when anything was told since the last call.
func (w *world) quiet() {
	w.Helper()
	all, err := w.log.Read(w.Context(), w.db, tenant, w.read, 100)
	if err != nil {
		w.Fatal(err)
	}
	for _, r := range all {
		w.Errorf("told %s: %s", r.Name(), r.Data)
	}
}

// jobError waits until the open job of a step says something that contains want.
func (w *world) jobError(action, want string) {
	w.Helper()
	testkit.WaitFor(w, patience, action+" waits: "+want, func() bool {
		var got string
		err := w.db.QueryRow(w.Context(), `SELECT error FROM jobs WHERE step_id = $1 AND lease_until <= now()`, "op-"+action).Scan(&got)
		return err == nil && strings.Contains(got, want)
	})
}

// finish has the whole purge done and returns its certificate.
func (w *world) finish() []byte {
	w.Helper()
	for _, action := range []string{"erase", "verify", "certify"} {
		w.send(step(action))
		if a := w.wantAnswer(events.StepCompletedName); a.StepID != "op-"+action {
			w.Fatalf("answered %+v", a)
		}
	}
	return w.documents.get("certificates/acme/1.json")
}

// documents is an object store.
type documents struct {
	mu   sync.Mutex
	kept map[string][]byte
	fail error // what Put answers, once
}

func (d *documents) Put(_ context.Context, key string, document []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.fail; err != nil {
		d.fail = nil
		return err
	}
	if d.kept == nil {
		d.kept = map[string][]byte{}
	}
	if before, ok := d.kept[key]; ok && string(before) != string(document) {
		return fault.Permanent(fmt.Errorf("%s is overwritten with another document", key))
	}
	d.kept[key] = document
	return nil
}

func (d *documents) get(key string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.kept[key]
}
