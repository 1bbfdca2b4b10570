package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenure/services/sample/load"
	"tenure/shared/client"
	"tenure/shared/testkit"
)

// moved is how much data the plan changes under load move, in bytes; `tenure bench access` moves a gigabyte.
const moved = 64 << 20

// TestPlanChangesInterruptNoRequest moves a tenant's data up and down again under reads and writes: none of them fails,
// and nothing is lost or doubled.
func TestPlanChangesInterruptNoRequest(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.signUp("acme", "starter")
	ctx, db := s.context(2*time.Minute), s.database()
	l := load.New(load.Config{URL: s.at.HTTP, Tenant: "acme", Workers: 8, Rate: 60, Hold: 20 * time.Millisecond})
	require.NoError(t, l.Fill(ctx, moved, func(int64) {}))
	require.NoError(t, l.Start(ctx))
	for _, plan := range []string{"professional", "starter"} {
		op := s.changeTo("acme", plan)
		require.Equal(t, client.StatusSucceeded, op.Status, "%+v", op)
		require.Equal(t, []string{plan}, capacities(t, db, "acme"), "every row is in the new capacity")
	}
	l.Stop()
	report := l.Report()
	require.Zero(t, report.Failed, "of %d requests; the first: %v", len(report.Took), report.First)
	require.NotZero(t, l.Written())
	require.NoError(t, l.Check(ctx))
	t.Logf("%d requests, %d documents written", len(report.Took), l.Written())
}

// changeTo changes a tenant's plan at once, up or down, and waits for the end of it.
func (s *system) changeTo(id, plan string) client.Operation {
	s.t.Helper()
	ctx := s.context(time.Minute)
	op, err := s.api.Upgrade(ctx, id, client.Upgrade{Plan: plan})
	if refusal(err) == "not_an_upgrade" {
		op, err = s.api.Downgrade(ctx, id, client.Downgrade{Plan: plan, At: "now"})
	}
	require.NoError(s.t, err)
	return s.end(op)
}

// end waits for the end of an operation.
func (s *system) end(op client.Operation) client.Operation {
	s.t.Helper()
	testkit.WaitFor(s.t, time.Minute, "the "+op.Kind+" to end", func() bool {
		now, err := s.api.Operation(s.context(10*time.Second), op.ID)
		if err == nil {
			op = now
		}
		return op.Ended()
	})
	return op
}

// capacities are the plans in whose capacities the sample keeps a tenant: those that are provisioned, and those that hold
// documents or vectors.
func capacities(t *testing.T, db *pgxpool.Pool, id string) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT plan FROM sample.capacities WHERE tenant_id = $1
		UNION SELECT capacity FROM sample.documents WHERE tenant_id = $1
		UNION SELECT capacity FROM sample.vectors WHERE tenant_id = $1`, id)
	require.NoError(t, err)
	plans, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return plans
}

// TestADrainThatTakesTooLongChangesNothing: a plan change that running requests hold up is taken back, and the tenant
// has what it had: its plan, its data, its money, and the request that was in the way.
func TestADrainThatTakesTooLongChangesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, "TENURE_DRAIN_TIMEOUT=1s")
	db := s.database()
	answers := []<-chan int{
		s.holdUp(db, "busy", `{}`), // its query is in the way
		s.holdUp(db, "stuck", `{"drain":"never"}`),
	}
	for i, id := range []string{"busy", "stuck"} {
		require.Equal(t, http.StatusOK, testkit.Receive(t, time.Minute, answers[i]), "the query of %s", id)
		op := s.changeTo(id, "professional")
		require.Equal(t, client.StatusSucceeded, op.Status, "nothing is in the way any more: %+v", op)
	}
}

// held is how long a query holds up a plan change, in milliseconds: longer than any change that is taken back.
const held = 20000

// holdUp upgrades a new tenant that has a long query running, checks that nothing comes of it, and returns what the
// query will be answered with.
func (s *system) holdUp(db *pgxpool.Pool, id, shape string) (answer <-chan int) {
	t := s.t
	t.Helper()
	s.signUp(id, "starter")
	s.sample(http.StatusCreated, id+"/documents", `{"name":"before","content":"x"}`)
	before := s.charges(id)
	answered := make(chan int, 1)
	go func() {
		status, _ := s.call("POST", s.at.HTTP+"/sample/"+id+"/query", fmt.Sprintf(`{"q":"before","hold_ms":%d}`, held))
		answered <- status
	}()
	testkit.WaitFor(t, time.Minute, "the query to run", func() bool {
		return count(t, db, `SELECT count(*) FROM sample.counters WHERE metric = 'queries' AND tenant_id = $1`, id) == 1
	})
	s.sample(http.StatusOK, "_control", shape)
	op, err := s.api.Upgrade(s.context(time.Minute), id, client.Upgrade{Plan: "professional"})
	require.NoError(t, err)
	testkit.WaitFor(t, time.Minute, "new requests to go to the new capacity", func() bool {
		return count(t, db, `SELECT count(*) FROM sample.tenants WHERE serving = 'professional' AND tenant_id = $1`, id) == 1
	})
	s.sample(http.StatusCreated, id+"/documents", `{"name":"meanwhile","content":"x"}`)

	op = s.end(op)
	require.Equal(t, client.StatusRolledBack, op.Status, "%+v", op)
	require.Empty(t, answered, "the way back does not wait for the query either")
	require.Equal(t, "starter", s.await(id, "active").Plan)
	require.Equal(t, []string{"starter"}, capacities(t, db, id), "what was written meanwhile has come back too")
	require.Equal(t, before, s.charges(id), "nobody was charged")
	s.checkMoney(t, id, "starter")
	s.sample(http.StatusCreated, id+"/documents", `{"name":"after","content":"x"}`)
	require.Equal(t, 3, count(t, db, `SELECT count(*) FROM sample.documents WHERE tenant_id = $1`, id))
	return answered
}

// sample sends a POST to the sample and wants this status.
func (s *system) sample(want int, path, body string) {
	s.t.Helper()
	status, answer := s.call("POST", s.at.HTTP+"/sample/"+path, body)
	require.Equal(s.t, want, status, answer)
}

func count(t *testing.T, db *pgxpool.Pool, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}
