package gate

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
	"time"

	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/testkit"
)

const soon = 10 * time.Second

// lifecycle stands for the lifecycle's relay.
type lifecycle struct {
	t       testing.TB
	bus     *bus.Bus
	version map[string]int64
}

func newLifecycle(t testing.TB, url string) *lifecycle {
	t.Helper()
	b, err := bus.Connect(t.Context(), bus.Config{URL: url, Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return &lifecycle{t: t, bus: b, version: map[string]int64{}}
}

func (l *lifecycle) publish(tenant string, p events.Payload) {
	l.t.Helper()
	l.version[tenant]++
	if err := l.bus.Publish(l.t.Context(), l.event(tenant, l.version[tenant], p)); err != nil {
		l.t.Error(err)
	}
}

func (l *lifecycle) event(tenant string, version int64, p events.Payload) events.Event {
	l.t.Helper()
	e := lifecycleEvent(l.t, tenant, version, p)
	e.ID = tenant + "." + strconv.FormatInt(version, 10)
	e.Source = "tenure/lifecycle"
	e.Time = time.Now()
	return e
}

// run starts the gate and stops it with the test.
func run(t testing.TB, g *Gate, b *bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx, b.Conn()) }()
	t.Cleanup(func() {
		cancel()
		if err := testkit.Receive(t, soon, ended); err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func activated(plan string) events.Payload {
	return &events.TenantActivated{Change: moved("active"), Plan: plan}
}

func suspended(kind string) events.Payload {
	return &events.TenantSuspended{Change: moved("suspended"), Blocks: []events.Block{{Kind: kind}}}
}

func TestGateStartsBeforeTheBusHasStreams(t *testing.T) {
	l := newLifecycle(t, testkit.NATS(t).URL())
	g := New(Config{})
	run(t, g, l.bus)
	if v := g.Check("acme", Query); v.Allowed || v.Code != "gate_not_ready" {
		t.Errorf("before it knows anything: %+v", v)
	}
	if err := l.bus.EnsureTopology(t.Context()); err != nil {
		t.Fatal(err)
	}
	testkit.WaitFor(t, soon, "the gate is ready", g.Ready)
	if v := g.Check("acme", Query); v.Status != http.StatusNotFound {
		t.Errorf("an unknown tenant: %+v", v)
	}
}

func TestGateReadsTheStreamFromItsStartAndFollows(t *testing.T) {
	l := newLifecycle(t, testkit.NATS(t).URL())
	if err := l.bus.EnsureTopology(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.publish("acme", activated("starter"))
	l.publish("late", suspended("payment"))
	g := New(Config{})
	run(t, g, l.bus)
	testkit.WaitFor(t, soon, "the gate is ready", g.Ready)
	if v := g.Check("acme", Ingest); !v.Allowed {
		t.Errorf("an active tenant: %+v", v)
	}
	if v := g.Check("late", Query); v.Status != http.StatusPaymentRequired {
		t.Errorf("an unpaid tenant: %+v", v)
	}
	if got := g.Limits("acme").Of(Documents); got != 5000 {
		t.Errorf("limit of starter's documents: %v", got)
	}
	l.publish("acme", suspended("admin"))
	testkit.WaitFor(t, soon, "the suspended tenant is out", func() bool {
		return g.Check("acme", Query).Status == http.StatusForbidden
	})
}

// The lifecycle answers with bus.Answer; the gate reads that without knowing the package.
func TestGateReadsTheLifecyclesSnapshot(t *testing.T) {
	l := newLifecycle(t, testkit.NATS(t).URL())
	if err := l.bus.EnsureTopology(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	asked, ended := make(chan SnapshotRequest, 10), make(chan error, 1)
	go func() {
		ended <- l.bus.Answer(ctx, SnapshotQuery, func(_ context.Context, question []byte) (any, error) {
			var page SnapshotRequest
			if err := json.Unmarshal(question, &page); err != nil {
				return nil, err
			}
			asked <- page
			if page.After != "" {
				return Snapshot{}, nil
			}
			return Snapshot{Tenants: []Record{{Tenant: "acme", Version: 3, State: "active", Blocks: []string{"over_limit"}, Plan: "starter"}}}, nil
		})
	}()
	t.Cleanup(func() { stop(); testkit.Receive(t, soon, ended) })
	testkit.WaitFor(t, soon, "the lifecycle answers", func() bool {
		_, err := l.bus.Conn().Request(SnapshotQuery, []byte(`{"after":"zzz"}`), soon)
		return err == nil
	})
	testkit.Receive(t, soon, asked)

	g := New(Config{})
	run(t, g, l.bus)
	testkit.WaitFor(t, soon, "the gate is ready", g.Ready)
	if v := g.Check("acme", Ingest); v.Code != "over_limit" {
		t.Errorf("a tenant of the snapshot: %+v", v)
	}
	if first, second := testkit.Receive(t, soon, asked), testkit.Receive(t, soon, asked); first.After != "" || first.Limit == 0 || second.After != "acme" {
		t.Errorf("asked for %+v and %+v", first, second)
	}
	l.version["acme"] = 3
	l.publish("acme", suspended("payment"))
	testkit.WaitFor(t, soon, "what comes after the snapshot counts", func() bool {
		return g.Check("acme", Query).Status == http.StatusPaymentRequired
	})
}

// A caller that has just seen a tenant become active must not be told that there is no such tenant.
func TestCheckFreshWaitsForWhatIsOnTheBus(t *testing.T) {
	l := newLifecycle(t, testkit.NATS(t).URL())
	if err := l.bus.EnsureTopology(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := New(Config{})
	run(t, g, l.bus)
	testkit.WaitFor(t, soon, "the gate is ready", g.Ready)
	for i := range 50 {
		tenant := "tenant-" + strconv.Itoa(i)
		l.publish(tenant, activated("free"))
		if v := g.CheckFresh(t.Context(), tenant, Query); !v.Allowed {
			t.Fatalf("%s was published and is refused: %+v", tenant, v)
		}
	}
}

func TestGateWithoutTheBus(t *testing.T) {
	server := testkit.NATS(t)
	l := newLifecycle(t, server.URL())
	if err := l.bus.EnsureTopology(t.Context()); err != nil {
		t.Fatal(err)
	}
	open := New(Config{StaleAfter: 100 * time.Millisecond, WhenStale: FailOpen})
	closed := New(Config{StaleAfter: 100 * time.Millisecond, WhenStale: FailClosed})
	l.publish("acme", activated("free"))
	for _, g := range []*Gate{open, closed} {
		run(t, g, l.bus)
		testkit.WaitFor(t, soon, "the gate is ready", g.Ready)
	}

	server.Stop()
	testkit.WaitFor(t, soon, "both gates are stale", func() bool { return open.Stale() && closed.Stale() })
	if v := open.Check("acme", Query); !v.Allowed {
		t.Errorf("failing open: %+v", v)
	}
	if v := open.Check("nobody", Query); v.Status != http.StatusServiceUnavailable {
		t.Errorf("a tenant that may have signed up meanwhile: %+v", v)
	}
	if v := closed.Check("acme", Query); v.Status != http.StatusServiceUnavailable || v.RetryAfter == 0 {
		t.Errorf("failing closed: %+v", v)
	}

	server.Start()
	testkit.WaitFor(t, soon, "the bus is back", l.bus.Connected)
	l.publish("acme", suspended("abuse"))
	testkit.WaitFor(t, soon, "both gates have caught up", func() bool {
		return !open.Stale() && !closed.Stale() &&
			open.Check("acme", Query).Status == http.StatusForbidden &&
			closed.Check("acme", Query).Status == http.StatusForbidden
	})
}
