package app

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/plans"
	"tenure/shared/testkit"
	"tenure/shared/vault"
)

// newTestEngine runs an engine on a database of its own; clock is what it takes for this machine's.
func newTestEngine(t *testing.T, clock func() time.Time) *Engine {
	t.Helper()
	url := testkit.Postgres(t)
	require.NoError(t, pg.CreateSchema(t.Context(), url, "lifecycle"))
	db, err := pg.Open(t.Context(), url, "lifecycle")
	require.NoError(t, err)
	t.Cleanup(db.Close)
	policy := tenant.DefaultPolicy()
	policy.Day = time.Millisecond
	return startEngine(t, url, db, policy, clock)
}

// startEngine runs an engine on an empty schema until the test ends.
func startEngine(t *testing.T, url string, db *pgxpool.Pool, policy tenant.Policy, clock func() time.Time) *Engine {
	t.Helper()
	ctx := context.Background()
	log, err := eventlog.Open(ctx, db, eventlog.Config{Service: "lifecycle"})
	require.NoError(t, err)
	require.NoError(t, pg.MigrateSet(ctx, db, "lifecycle", os.DirFS("../../migrations")))
	vlt, err := vault.Open(ctx, url, strings.Repeat("ab", 32))
	require.NoError(t, err)
	e := NewEngine(db, log, vlt, Config{
		Plans: plans.Default(), Clock: clock, Policy: func(_, _ string) tenant.Policy { return policy },
	})
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); _ = e.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return e
}

func (e *Engine) mustDo(t *testing.T, id, key string, payload events.Payload) {
	t.Helper()
	_, name := events.SplitType(payload.EventType())
	s := Command(id, name, key, payload)
	s.Actor = "operator:test"
	out := e.Submit(t.Context(), s)
	require.NoError(t, out.Err)
	require.Nil(t, out.Refusal)
}

func (e *Engine) stateOf(t *testing.T, id string) tenant.StateName {
	t.Helper()
	found, err := store.Load(t.Context(), e.db, []string{id})
	require.NoError(t, err)
	return found[id].State.Name
}

// TestAWrongClockPausesPurges: this machine is seven days ahead of the database, and a deletion is due.
func TestAWrongClockPausesPurges(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	ahead.Store(int64(7 * 24 * time.Hour))
	e := newTestEngine(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
	e.mustDo(t, "acme", "1", &events.Register{Name: "Acme", Email: "a@example.com", Plan: "free"})
	e.mustDo(t, "acme", "2", &events.Delete{RetentionDays: json.RawMessage("1"), Reason: "x"})
	testkit.WaitFor(t, 5*time.Second, "the deletion to be due", func() bool {
		due, err := store.DueTimers(t.Context(), e.db, 10)
		return err == nil && len(due) == 1
	})
	require.NoError(t, e.fireDue(t.Context()))
	require.Equal(t, tenant.Deleting, e.stateOf(t, "acme"))

	ahead.Store(0)
	require.NoError(t, e.fireDue(t.Context()))
	require.Equal(t, tenant.Purging, e.stateOf(t, "acme"))
}
