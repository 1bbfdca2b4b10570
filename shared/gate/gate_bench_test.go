package gate

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"

	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/testkit"
)

const benchTenants = 100_000

// filled is a gate that knows n tenants, as if it had read them from the bus.
func filled(t testing.TB, n int) (*Gate, []string) {
	t.Helper()
	g := New(Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	g.ready.Store(true)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("tenant-%08d", i)
		e := lifecycleEvent(t, ids[i], 1, &events.TenantActivated{Change: moved("active"), Plan: "starter"})
		if _, err := g.replica.apply(e); err != nil {
			t.Fatal(err)
		}
	}
	return g, ids
}

func TestCheckAllocatesNothing(t *testing.T) {
	g, ids := filled(t, 10)
	for _, tenant := range []string{ids[3], "nobody"} {
		if n := testing.AllocsPerRun(100, func() { g.Check(tenant, Ingest) }); n != 0 {
			t.Errorf("check of %s allocates %v times", tenant, n)
		}
	}
}

// BenchmarkCheck asks for tenants in random order, so that the replica is cold.
func BenchmarkCheck(b *testing.B) {
	g, ids := filled(b, benchTenants)
	shuffle(ids)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(len(ids)); pb.Next(); i++ {
			if !g.Check(ids[i%len(ids)], Query).Allowed {
				b.Error("refused")
			}
		}
	})
}

// shuffle puts the ids in another order, and close to each other in it: who asks has the id at hand.
func shuffle(ids []string) {
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for i := range ids {
		ids[i] = strings.Clone(ids[i])
	}
}

// BenchmarkCheckByQuery is what a point query to PostgreSQL costs instead, with the row in its cache.
func BenchmarkCheckByQuery(b *testing.B) {
	db, err := pgxpool.New(b.Context(), testkit.Postgres(b))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for _, sql := range []string{
		`CREATE TABLE tenants (id text PRIMARY KEY, state text NOT NULL, blocks jsonb NOT NULL, plan text NOT NULL)`,
		`INSERT INTO tenants SELECT 'tenant-' || lpad(i::text, 8, '0'), 'active', '[]', 'starter' FROM generate_series(0, ` +
			strconv.Itoa(benchTenants-1) + `) AS i`,
		`ANALYZE tenants`,
	} {
		if _, err := db.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			var state, plan string
			var blocks []byte
			id := fmt.Sprintf("tenant-%08d", rand.IntN(benchTenants))
			err := db.QueryRow(b.Context(), `SELECT state, blocks, plan FROM tenants WHERE id = $1`, id).Scan(&state, &blocks, &plan)
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCheckByRequest is what a service costs instead that has the replica and is asked over NATS.
func BenchmarkCheckByRequest(b *testing.B) {
	g, ids := filled(b, benchTenants)
	conn := connect(b, testkit.NATS(b).URL())
	_, err := conn.Subscribe("check", func(m *nats.Msg) {
		_ = m.Respond([]byte(strconv.Itoa(g.Check(string(m.Data), Query).Status)))
	})
	if err != nil {
		b.Fatal(err)
	}
	shuffle(ids)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(len(ids)); pb.Next(); i++ {
			if _, err := conn.Request("check", []byte(ids[i%len(ids)]), soon); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReplicaMemory reports what one tenant costs. Its id is not kept, so that its length does not matter.
func BenchmarkReplicaMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		g, _ := filled(b, benchTenants)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benchTenants, "B/tenant")
		runtime.KeepAlive(g)
	}
}

// BenchmarkStart reports how long a gate takes to know 100,000 tenants that have just signed up: from the lifecycle's
// snapshot, and from their events. The events of a longer life make the second slower, and not the first.
func BenchmarkStart(b *testing.B) {
	l := newLifecycle(b, testkit.NATS(b).URL())
	if err := l.bus.EnsureTopology(b.Context()); err != nil {
		b.Fatal(err)
	}
	l.signUp(benchTenants)
	start := func(b *testing.B) {
		for b.Loop() {
			g := New(Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil)), StaleAfter: time.Minute})
			run(b, g, l.bus)
			testkit.WaitFor(b, time.Minute, "the gate is ready", g.Ready)
			if n := g.replica.size(); n != benchTenants {
				b.Errorf("%d tenants", n)
			}
		}
	}
	b.Run("events", start)
	serveSnapshot(b, l.bus.Conn())
	b.Run("snapshot", start)
}

// BenchmarkPublishToReplica reports how long after it was sent an event decides, in a gate of 100,000 tenants.
func BenchmarkPublishToReplica(b *testing.B) {
	l := newLifecycle(b, testkit.NATS(b).URL())
	if err := l.bus.EnsureTopology(b.Context()); err != nil {
		b.Fatal(err)
	}
	serveSnapshot(b, l.bus.Conn())
	g := New(Config{})
	run(b, g, l.bus)
	testkit.WaitFor(b, soon, "the gate is ready", g.Ready)
	var took []time.Duration
	for b.Loop() {
		tenant := fmt.Sprintf("tenant-%08d", rand.IntN(benchTenants))
		l.version[tenant] = max(l.version[tenant], 6)
		reading := g.reading.Load()
		_, count := reading.progress()
		confirmed := make(chan struct{})
		began := time.Now()
		go func() {
			l.publish(tenant, suspended("admin"))
			close(confirmed)
		}()
		if err := reading.until(b.Context(), func() bool { return reading.count > count }); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
		if g.Check(tenant, Query).Status != http.StatusForbidden {
			b.Fatal("the event has decided nothing")
		}
		<-confirmed
	}
	slices.Sort(took)
	for _, percent := range []int{50, 99} {
		b.ReportMetric(float64(took[(len(took)-1)*percent/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", percent))
	}
}

func connect(t testing.TB, url string) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// signUp publishes what n tenants' paid sign-ups leave in the stream.
func (l *lifecycle) signUp(n int) {
	l.t.Helper()
	step := events.StepRequest{
		StepID: "0192f3a0-7c1d-7a40-8b11-000000000002", OperationID: "0192f3a0-7c1d-7a40-8b11-000000000001", Operation: "provision",
		Participant: "sample", Action: "provision", Attempt: 1, ToPlan: "starter", Generation: 1, Deadline: time.Now(),
	}
	operation := events.OperationPlan{ID: step.OperationID, Kind: "provision", ToPlan: "starter"}
	payloads := []events.Payload{
		&events.TenantRegistered{Change: moved("pending_payment"), Plan: "starter", RequiresPayment: true, Generation: 1},
		&events.PaymentConfirmed{Change: moved("pending_payment")},
		&events.ProvisioningStarted{Change: moved("provisioning"), Operation: operation},
		&events.StepRequested{Change: moved("provisioning"), StepRequest: step},
		&events.StepDone{Change: moved("provisioning"), OperationID: step.OperationID, StepID: step.StepID, Participant: "sample", Action: "provision"},
		activated("starter"),
	}
	const window = 4000
	batch := make([]eventlog.Message, 0, window)
	for version, payload := range payloads {
		for i := range n {
			e := l.event(fmt.Sprintf("tenant-%08d", i), int64(version+1), payload)
			data, err := events.Encode(e)
			if err != nil {
				l.t.Fatal(err)
			}
			batch = append(batch, eventlog.Message{Subject: events.BusSubject(e.Type, e.Subject), ID: e.ID, Data: data})
			if len(batch) == window || i == n-1 {
				if _, err := l.bus.PublishBatch(l.t.Context(), batch); err != nil {
					l.t.Fatal(err)
				}
				batch = batch[:0]
			}
		}
	}
}

// serveSnapshot answers for a lifecycle with benchTenants tenants.
func serveSnapshot(t testing.TB, conn *nats.Conn) {
	t.Helper()
	sub, err := conn.Subscribe(SnapshotQuery, func(m *nats.Msg) {
		var page SnapshotRequest
		_ = json.Unmarshal(m.Data, &page)
		next := 0
		if page.After != "" {
			_, _ = fmt.Sscanf(page.After, "tenant-%d", &next)
			next++
		}
		answer := struct {
			Value Snapshot `json:"value"`
		}{}
		for i := next; i < min(next+page.Limit, benchTenants); i++ {
			answer.Value.Tenants = append(answer.Value.Tenants,
				Record{Tenant: fmt.Sprintf("tenant-%08d", i), Version: 6, State: "active", Plan: "starter"})
		}
		body, _ := json.Marshal(answer)
		_ = m.Respond(body)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
}
