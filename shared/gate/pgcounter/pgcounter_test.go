package pgcounter_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/gate"
	"tenure/shared/gate/pgcounter"
	"tenure/shared/plans"
	"tenure/shared/testkit"
)

const soon = 10 * time.Second

func open(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	db, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func database(t *testing.T) (url string) {
	t.Helper()
	url = testkit.Postgres(t)
	if _, err := open(t, url).Exec(t.Context(), pgcounter.Table); err != nil {
		t.Fatal(err)
	}
	return url
}

// Two instances of a SaaS, each with its own gate and its own connections: of 500 calls at once with one left in the quota,
// one passes.
func TestFiveHundredCallsForTheLastOne(t *testing.T) {
	b, err := bus.Connect(t.Context(), bus.Config{URL: testkit.NATS(t).URL(), Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.EnsureTopology(t.Context()); err != nil {
		t.Fatal(err)
	}
	e, err := events.New(&events.TenantActivated{Change: events.Change{To: "active"}, Plan: "starter"}, "acme")
	if err != nil {
		t.Fatal(err)
	}
	e.ID, e.Source, e.Sequence, e.Time = "acme.1", "tenure/lifecycle", 1, time.Now()
	if err := b.Publish(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	url := database(t)
	starter, _ := plans.Default().Find("starter")
	used := float64(starter.Limits.Documents) - 1
	type instance struct {
		gate    *gate.Gate
		counter pgcounter.Counter
	}
	var instances []instance
	for range 2 {
		i := instance{gate.New(gate.Config{}), pgcounter.New(open(t, url))}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- i.gate.Run(ctx, b.Conn()) }()
		t.Cleanup(func() { stop(); testkit.Receive(t, soon, ended) })
		testkit.WaitFor(t, soon, "the gate is ready", i.gate.Ready)
		instances = append(instances, i)
	}
	if v, err := instances[0].gate.Spend(t.Context(), instances[0].counter, "acme", gate.Documents, used); err != nil || !v.Allowed {
		t.Fatalf("the first documents: %+v, %v", v, err)
	}

	var passed, refused atomic.Int64
	var calls sync.WaitGroup
	begin := make(chan struct{})
	for n := range 500 {
		i := instances[n%len(instances)]
		calls.Go(func() {
			<-begin
			verdict, err := i.gate.Spend(t.Context(), i.counter, "acme", gate.Documents, 1)
			switch {
			case err != nil:
				t.Errorf("spend: %v", err)
			case verdict.Allowed:
				passed.Add(1)
			case verdict.Status == http.StatusTooManyRequests:
				refused.Add(1)
			}
		})
	}
	close(begin)
	calls.Wait()
	if passed.Load() != 1 || refused.Load() != 499 {
		t.Errorf("%d passed and %d were refused", passed.Load(), refused.Load())
	}
	if sums, err := instances[1].counter.Used(t.Context(), "acme"); err != nil || sums[gate.Documents] != used+1 {
		t.Errorf("used %v, %v", sums, err)
	}
}

func TestCounter(t *testing.T) {
	c := pgcounter.New(open(t, database(t)))
	for i, step := range []struct {
		tenant   string
		metric   gate.Metric
		n, limit float64
		ok       bool
	}{
		{"acme", gate.Documents, 3, 2, false}, // the first use, over the limit
		{"acme", gate.Documents, 2, 2, true},
		{"acme", gate.Documents, 1, 2, false},
		{"beta", gate.Documents, 1, 2, true},
		{"acme", gate.Documents, -1, math.Inf(1), true}, // given back
		{"acme", gate.Documents, 1, 2, true},
		{"acme", gate.Queries, 1e9, math.Inf(1), true},
	} {
		if ok, err := c.Add(t.Context(), step.tenant, step.metric, step.n, step.limit); err != nil || ok != step.ok {
			t.Errorf("step %d: %t, %v", i, ok, err)
		}
	}
	if used, err := c.Used(t.Context(), "acme"); err != nil || used[gate.Documents] != 2 || used[gate.Queries] != 1e9 {
		t.Errorf("used %v, %v", used, err)
	}
}

func TestQueriesCountByTheMonth(t *testing.T) {
	db := open(t, database(t))
	_, err := db.Exec(t.Context(), `INSERT INTO counters VALUES ('acme', 'queries', '2020-01', 100), ('acme', 'documents', '', 7)`)
	if err != nil {
		t.Fatal(err)
	}
	c := pgcounter.New(db)
	if ok, err := c.Add(t.Context(), "acme", gate.Queries, 1, 1); !ok || err != nil {
		t.Errorf("last year's queries count: %v", err)
	}
	if used, err := c.Used(t.Context(), "acme"); err != nil || used[gate.Queries] != 1 || used[gate.Documents] != 7 {
		t.Errorf("used %v, %v", used, err)
	}
}

// What is counted in a transaction counts when the work is committed, and not otherwise.
func TestACountIsLostWithItsWork(t *testing.T) {
	db := open(t, database(t))
	failed := errors.New("the work failed")
	err := pgx.BeginFunc(t.Context(), db, func(tx pgx.Tx) error {
		if ok, err := pgcounter.New(tx).Add(t.Context(), "acme", gate.Documents, 1, 1); !ok || err != nil {
			t.Errorf("add: %t, %v", ok, err)
		}
		return failed
	})
	if !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if ok, err := pgcounter.New(db).Add(t.Context(), "acme", gate.Documents, 1, 1); !ok || err != nil {
		t.Errorf("after the rollback: %t, %v", ok, err)
	}
}
