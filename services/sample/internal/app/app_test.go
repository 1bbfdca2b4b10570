package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"tenure/services/sample/internal/app"
	"tenure/services/sample/internal/store"
	"tenure/services/sample/migrations"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/gate"
	"tenure/shared/participant"
	"tenure/shared/pg"
	"tenure/shared/testkit"
)

const soon = 20 * time.Second

// world is the sample's application on a real database, with a gate that the test feeds over a real bus.
type world struct {
	*app.App
	t        *testing.T
	bus      *bus.Bus
	gate     *gate.Gate
	store    *store.Store
	archives archive
	version  map[string]int64
}

// archive keeps objects by tenant and operation. Cold ones stand in the test's own words: small(…).
type archive map[string]string

func (a archive) Cool(_ context.Context, tenant string) error {
	for key, rows := range a {
		if strings.HasPrefix(key, tenant+"/") && !strings.HasPrefix(rows, "small(") {
			a[key] = "small(" + rows
		}
	}
	return nil
}

func (a archive) Warm(_ context.Context, tenant string) error {
	for key, rows := range a {
		if strings.HasPrefix(key, tenant+"/") {
			a[key] = strings.TrimPrefix(rows, "small(")
		}
	}
	return nil
}

func (a archive) Put(_ context.Context, tenant, operation string, rows io.ReadSeeker) error {
	all, err := io.ReadAll(rows)
	a[tenant+"/"+operation] = string(all)
	return err
}

func (a archive) Remove(_ context.Context, tenant, operation string) error {
	delete(a, tenant+"/"+operation)
	return nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	url := testkit.Postgres(t)
	if err := pg.Migrate(t.Context(), url, "sample", migrations.Files); err != nil {
		t.Fatal(err)
	}
	pool, err := pg.Open(t.Context(), url, "sample")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	b, err := bus.Connect(t.Context(), bus.Config{URL: testkit.NATS(t).URL(), Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.EnsureTopology(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := gate.New(gate.Config{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx, b.Conn()) }()
	t.Cleanup(func() { stop(); testkit.Receive(t, soon, ended) })
	testkit.WaitFor(t, soon, "the gate is ready", g.Ready)
	rows, archives := store.New(pool), archive{}
	return &world{App: app.New(g, rows, archives, func() {}), t: t, bus: b, gate: g, store: rows, archives: archives, version: map[string]int64{}}
}

// with is the application on another archive.
func (w *world) with(archives app.Archive) *app.App {
	return app.New(w.gate, w.store, archives, func() {})
}

// publish puts a lifecycle event on the bus.
func (w *world) publish(tenant string, p events.Payload) {
	w.t.Helper()
	w.version[tenant]++
	e, err := events.New(p, tenant)
	if err != nil {
		w.t.Fatal(err)
	}
	e.Sequence = w.version[tenant]
	e.ID, e.Source, e.Time = tenant+"."+strconv.FormatInt(e.Sequence, 10), "tenure/lifecycle", time.Now()
	if err := w.bus.Publish(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
}

// signUp makes a tenant that the gate lets in and that has its capacity.
func (w *world) signUp(tenant, plan string) {
	w.t.Helper()
	w.do(step(tenant, "op-signup", "provision", "provision", "", plan))
	w.publish(tenant, &events.TenantActivated{Change: events.Change{To: "active"}, Plan: plan})
	testkit.WaitFor(w.t, soon, "the gate lets "+tenant+" in", func() bool {
		_, err := w.List(w.t.Context(), tenant, "", 1)
		return err == nil
	})
}

func step(tenant, operation, kind, action, from, to string) participant.Step {
	return participant.Step{Tenant: tenant, StepRequest: events.StepRequest{
		StepID: operation + "-" + action, OperationID: operation, Operation: kind, Action: action,
		FromPlan: from, ToPlan: to, Attempt: 1, Generation: 1,
	}}
}

// undo is the way back from s.
func undo(s participant.Step) participant.Step {
	s.Compensate, s.FromPlan, s.ToPlan = true, s.ToPlan, s.FromPlan
	return s
}

func (w *world) try(ctx context.Context, s participant.Step) error {
	_, err := w.Actions()[s.Action](ctx, s)
	return err
}

func (w *world) do(s participant.Step) {
	w.t.Helper()
	if err := w.try(w.t.Context(), s); err != nil {
		w.t.Fatalf("%s: %v", s.Action, err)
	}
}

func (w *world) route(tenant string) (r store.Tenant, err error) {
	err = w.store.As(w.t.Context(), tenant, func(tx store.Tx) error { r, err = tx.Route(w.t.Context()); return err })
	return r, err
}

func (w *world) wantRoute(tenant, plan, serving string) {
	w.t.Helper()
	got, err := w.route(tenant)
	if want := (store.Tenant{Generation: 1, Plan: plan, Serving: serving, Tier: store.Warm}); err != nil || got != want {
		w.t.Errorf("%s is on %+v, %v; want %+v", tenant, got, err, want)
	}
}

// status is the HTTP status that a refusal asks for, 200 for no error.
func status(err error) int {
	var refused *app.Refusal
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &refused):
		return refused.Status
	}
	return http.StatusInternalServerError
}

func TestTheGatesAnswerIsPassedOn(t *testing.T) {
	w := newWorld(t)
	w.do(step("acme", "op", "provision", "provision", "", "free"))
	blocked := func(kind string) []events.Block { return []events.Block{{Kind: kind}} }
	for _, test := range []struct {
		event         events.Payload
		query, ingest int
	}{
		{nil, 404, 404},
		{&events.TenantRegistered{Change: events.Change{To: "pending_payment"}, Plan: "free"}, 402, 402},
		{&events.ProvisioningStarted{Change: events.Change{To: "provisioning"}}, 503, 503},
		{&events.TenantActivated{Change: events.Change{To: "active"}, Plan: "free"}, 200, 200},
		{&events.BlockAdded{Change: events.Change{To: "active"}, Blocks: blocked("over_limit")}, 200, 402},
		{&events.TenantSuspended{Change: events.Change{To: "suspended"}, Blocks: blocked("payment")}, 402, 402},
		{&events.TenantSuspended{Change: events.Change{To: "suspended"}, Blocks: blocked("admin")}, 403, 403},
		{&events.DeletionRequested{Change: events.Change{To: "deleting"}}, 403, 403},
		{&events.ReactivationStarted{Change: events.Change{To: "reactivating"}}, 503, 503},
		{&events.TenantPurged{Change: events.Change{To: "deleted"}}, 410, 410},
	} {
		name := "nothing"
		if test.event != nil {
			name = test.event.EventType()
			w.publish("acme", test.event)
			// An opened gate is seen at once, a closed one within moments.
			testkit.WaitFor(t, soon, "the gate has heard of "+name, func() bool {
				_, queryErr := w.Query(t.Context(), "acme", "x", 0)
				_, addErr := w.Add(t.Context(), "acme", "n", "c")
				return status(queryErr) == test.query && status(addErr) == test.ingest
			})
		}
		_, queryErr := w.Query(t.Context(), "acme", "x", 0)
		_, addErr := w.Add(t.Context(), "acme", "n", "c")
		_, listErr := w.List(t.Context(), "acme", "", 1)
		_, _, usageErr := w.Usage(t.Context(), "acme")
		seedErr := w.Seed(t.Context(), "acme", 1, 1, 0)
		for what, got := range map[string][2]int{
			"query": {status(queryErr), test.query}, "list": {status(listErr), test.query}, "usage": {status(usageErr), test.query},
			"add": {status(addErr), test.ingest}, "seed": {status(seedErr), test.ingest},
		} {
			if got[0] != got[1] {
				t.Errorf("after %s: %s is answered with %d, want %d", name, what, got[0], got[1])
			}
		}
	}
}

func TestATenantWithoutCapacityGets503(t *testing.T) {
	w := newWorld(t)
	w.signUp("other", "free")
	w.publish("acme", &events.TenantActivated{Change: events.Change{To: "active"}, Plan: "free"})
	testkit.WaitFor(t, soon, "the gate lets acme in, and nothing is there", func() bool {
		_, err := w.List(t.Context(), "acme", "", 1)
		return status(err) == http.StatusServiceUnavailable
	})
}

func TestQuotas(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "free")
	if err := w.Seed(t.Context(), "acme", 49, 10, 1); err != nil {
		t.Fatal(err)
	}
	if err := w.Seed(t.Context(), "acme", 2, 10, 0); status(err) != http.StatusTooManyRequests {
		t.Errorf("a seed beyond 50 documents: %v", err)
	}
	if _, err := w.Add(t.Context(), "acme", "last", "fits"); err != nil {
		t.Errorf("the 50th document: %v", err)
	}
	if _, err := w.Add(t.Context(), "acme", "more", "does not"); status(err) != http.StatusTooManyRequests {
		t.Errorf("the 51st document: %v", err)
	}
	for range 100 {
		if _, err := w.Query(t.Context(), "acme", "fits", 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Query(t.Context(), "acme", "fits", 0); status(err) != http.StatusTooManyRequests {
		t.Errorf("the 101st query: %v", err)
	}
	used, limits, err := w.Usage(t.Context(), "acme")
	if err != nil || used[gate.Documents] != 50 || used[gate.Queries] != 100 || limits[gate.Queries] != 100 {
		t.Errorf("usage %v of %v, %v", used, limits, err)
	}
	if err := w.Seed(t.Context(), "acme", 0, 0, 5); err != nil {
		t.Errorf("vectors are not limited: %v", err)
	}
}

func TestUpgrade(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "free")
	change := func(action string) participant.Step {
		return step("acme", "op-1", "upgrade", action, "free", "starter")
	}
	for _, action := range []string{"provision", "provision", "drain", "switch", "switch", "release", "release"} {
		w.do(change(action))
	}
	w.wantRoute("acme", "starter", "starter")
	if err := w.try(t.Context(), step("acme", "op-2", "upgrade", "switch", "starter", "free")); err == nil {
		t.Error("the capacity that was left is still there")
	}
}

// Whatever was done before a failure, the way back ends where it began and leaves nothing behind.
func TestRollBack(t *testing.T) {
	all := []string{"provision", "drain", "switch", "release"}
	for done := range len(all) + 1 {
		t.Run(fmt.Sprint(all[:done]), func(t *testing.T) {
			w := newWorld(t)
			w.signUp("acme", "free")
			add := func(name string) {
				if _, err := w.Add(t.Context(), "acme", name, "x"); err != nil {
					t.Fatal(err)
				}
			}
			add("before")
			for _, action := range all[:done] {
				w.do(step("acme", "op-1", "upgrade", action, "free", "starter"))
				add("after " + action)
			}
			for i := done - 1; i >= 0; i-- {
				w.do(undo(step("acme", "op-1", "upgrade", all[i], "free", "starter")))
			}
			w.wantRoute("acme", "free", "free")
			w.wantPlaced("acme", "free", done+1)
			if err := w.try(t.Context(), step("acme", "op-2", "upgrade", "switch", "free", "starter")); err == nil {
				t.Error("the capacity of the plan that was not taken is still there")
			}
		})
	}
}

// wantPlaced wants all of the tenant's documents in the capacity of a plan.
func (w *world) wantPlaced(tenant, plan string, documents int) {
	w.t.Helper()
	found, err := w.List(w.t.Context(), tenant, "", 1000)
	if err != nil || len(found) != documents {
		w.t.Errorf("%d documents of %d, %v", len(found), documents, err)
	}
	err = w.store.As(w.t.Context(), tenant, func(tx store.Tx) error {
		if n, err := tx.Elsewhere(w.t.Context(), plan); err != nil || n > 0 {
			w.t.Errorf("%d rows are not in the capacity of %s, %v", n, plan, err)
		}
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
}

func TestAFailedSignUpLeavesNothing(t *testing.T) {
	w := newWorld(t)
	s := step("acme", "op-1", "provision", "provision", "", "free")
	w.do(s)
	w.do(undo(s))
	if _, err := w.route("acme"); !errors.Is(err, store.ErrNoRoute) {
		t.Errorf("route: %v", err)
	}
}

// A tenant may come back with nothing left here: its data was erased, or it never had any.
func TestTheWayBackOfATenantWithoutCapacity(t *testing.T) {
	w := newWorld(t)
	for _, action := range []string{"provision", "restore"} {
		s := step("acme", "op-"+action, "reactivate", action, "free", "starter")
		w.do(s)
		w.do(undo(s))
		w.do(undo(s)) // asked for again
	}
	w.wantRoute("acme", "free", "free") // what restore has made is where the tenant belongs
	s := step("beta", "op-1", "reactivate", "provision", "free", "starter")
	w.do(s)
	w.do(undo(s))
	if _, err := w.route("beta"); !errors.Is(err, store.ErrNoRoute) {
		t.Errorf("route: %v", err)
	}
}

// hold has a query of acme run until release is called.
func (w *world) hold() (release func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { _, err := w.Query(ctx, "acme", "x", time.Hour); ended <- err }()
	testkit.WaitFor(w.t, soon, "the query runs", func() bool {
		used, _, err := w.Usage(w.t.Context(), "acme")
		return err == nil && used[gate.Queries] == 1
	})
	return func() {
		cancel()
		if err := testkit.Receive(w.t, soon, ended); !errors.Is(err, context.Canceled) {
			w.t.Errorf("the held query: %v", err)
		}
	}
}

func TestTheControlShapesOnePlanChange(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "free")
	w.Shape(func(next *app.Shape) { next.FailNext = "switch" })
	w.signUp("another", "free") // is no plan change
	w.do(step("acme", "op-1", "upgrade", "provision", "free", "starter"))
	err := w.try(t.Context(), step("acme", "op-1", "upgrade", "switch", "free", "starter"))
	if !fault.IsPermanent(err) {
		t.Errorf("the switch that should fail: %v", err)
	}
	w.wantRoute("acme", "free", "free")
	w.do(step("acme", "op-2", "upgrade", "switch", "free", "starter"))

	w.Shape(func(next *app.Shape) { next.FailNext = "provision" })
	if err := w.try(t.Context(), step("third", "op-3", "provision", "provision", "", "free")); !fault.IsPermanent(err) {
		t.Errorf("the sign-up that should fail: %v", err)
	}
	w.do(step("third", "op-3", "provision", "provision", "", "free"))

	w.Shape(func(next *app.Shape) { next.SwitchTakes = time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.try(ctx, step("acme", "op-4", "downgrade", "switch", "starter", "free")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a switch that takes an hour: %v", err)
	}
}

func TestArchiveOnADowngradeAndBack(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "starter")
	if err := w.Seed(t.Context(), "acme", 60, 10, 0); err != nil {
		t.Fatal(err)
	}
	documents := func() float64 {
		used, _, err := w.Usage(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		return used[gate.Documents]
	}
	s := step("acme", "op-1", "downgrade", "archive", "starter", "free")
	w.do(s)
	w.do(s)
	if got := documents(); got != 50 {
		t.Errorf("%v documents in use after archiving for the free plan", got)
	}
	if lines := strings.Count(w.archives["acme/op-1"], `"content"`); lines != 10 {
		t.Errorf("%d documents in the archive: %v", lines, w.archives)
	}
	w.do(undo(s))
	if len(w.archives) != 0 {
		t.Errorf("the archive still has %v", w.archives)
	}
	if got := documents(); got != 60 {
		t.Errorf("%v documents in use after the way back", got)
	}
	s.ToPlan = "gold"
	if err := w.try(t.Context(), s); !fault.IsPermanent(err) {
		t.Errorf("a plan without limits: %v", err)
	}
}

func TestANewGenerationStartsOnItsOwnPlan(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "starter")
	s := step("acme", "op-2", "provision", "provision", "", "free")
	s.Generation = 2
	w.do(s)
	if got, err := w.route("acme"); err != nil || got != (store.Tenant{Generation: 2, Plan: "free", Serving: "free", Tier: store.Warm}) {
		t.Errorf("the new generation is on %+v, %v", got, err)
	}
}

func TestRestoreFindsTheDataThere(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "free")
	if _, err := w.Add(t.Context(), "acme", "a", "kept"); err != nil {
		t.Fatal(err)
	}
	w.do(step("acme", "op-1", "reactivate", "restore", "free", "free"))
	found, err := w.Query(t.Context(), "acme", "kept", 0)
	if err != nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
}
