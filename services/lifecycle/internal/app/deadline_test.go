package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/testkit"
)

// day is not scaled here: the clocks are moved.
const day = 24 * time.Hour

// clocked is an engine whose database tells the time that a test sets. This machine's clock goes along, plus skew.
type clocked struct {
	*Engine
	url         string
	ahead, skew atomic.Int64
}

// newClocked has sessions in the given time zone, which nothing may depend on.
func newClocked(t *testing.T, zone string) *clocked {
	t.Helper()
	url := testkit.Postgres(t)
	require.NoError(t, pg.CreateSchema(t.Context(), url, "lifecycle"))
	cfg, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	// Named, pg_catalog is searched second, so that our clock_timestamp hides the server's.
	cfg.ConnConfig.RuntimeParams["search_path"] = "lifecycle, pg_catalog"
	cfg.ConnConfig.RuntimeParams["timezone"] = zone
	cfg.MaxConns = 8
	db, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	_, err = db.Exec(t.Context(), `CREATE TABLE test_clock AS SELECT interval '0' AS ahead;
		CREATE FUNCTION clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
			AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM lifecycle.test_clock'`)
	require.NoError(t, err)
	c := &clocked{url: url}
	c.Engine = startEngine(t, url, db, tenant.DefaultPolicy(), c.clock)
	return c
}

func (c *clocked) clock() time.Time {
	return time.Now().Add(time.Duration(c.ahead.Load() + c.skew.Load()))
}

// set makes it that time, and lets it go on from there.
func (c *clocked) set(t *testing.T, at time.Time) {
	t.Helper()
	ahead := time.Until(at)
	_, err := c.db.Exec(t.Context(), `UPDATE test_clock SET ahead = $1::interval`, ahead)
	require.NoError(t, err)
	c.ahead.Store(int64(ahead))
}

// leave signs tenants up and asks for their deletion; it returns when the last is due.
func (c *clocked) leave(t *testing.T, retention int, ids ...string) time.Time {
	t.Helper()
	c.all(t, ids, &events.Register{Name: "A", Email: "a@example.com", Plan: "free"})
	c.all(t, ids, &events.Delete{RetentionDays: json.RawMessage(fmt.Sprint(retention)), Reason: "leaves"})
	return c.state(t, ids[len(ids)-1]).Deletion.ScheduledFor
}

// all sends a command about every tenant, all at once.
func (c *clocked) all(t *testing.T, ids []string, payload events.Payload) {
	t.Helper()
	list := make([]Submission, len(ids))
	for i, id := range ids {
		list[i] = byOperator(id, payload)
	}
	for i, out := range c.SubmitAll(t.Context(), list) {
		require.NoError(t, out.Err)
		require.Nil(t, out.Refusal, ids[i])
	}
}

func byOperator(id string, payload events.Payload) Submission {
	_, name := events.SplitType(payload.EventType())
	s := Command(id, name, rand.Text(), payload)
	s.Actor = "operator:test"
	return s
}

func (c *clocked) state(t *testing.T, id string) tenant.State {
	t.Helper()
	found, err := store.Load(t.Context(), c.db, []string{id})
	require.NoError(t, err)
	return found[id].State
}

// look does once what the timers and the monitor do all the time.
func (c *clocked) look(t *testing.T) {
	t.Helper()
	require.NoError(t, c.fireDue(t.Context()))
	require.NoError(t, newMonitor(c.Engine).look(t.Context()))
}

// told are the events of a tenant's log whose names are asked for, in order.
func (c *clocked) told(t *testing.T, id string, names ...string) (found []string) {
	t.Helper()
	list, err := c.log.Read(t.Context(), c.db, id, 0, 1000)
	require.NoError(t, err)
	for _, r := range list {
		for _, name := range names {
			if r.Name() == name {
				found = append(found, name)
			}
		}
	}
	return found
}

func (c *clocked) violations(t *testing.T, id string) (kinds []string) {
	t.Helper()
	list, err := c.log.Read(t.Context(), c.db, id, 0, 1000)
	require.NoError(t, err)
	for _, r := range list {
		if p, _ := r.Payload(); r.Type == store.ViolationType {
			kinds = append(kinds, p.(*events.ComplianceViolation).Kind)
		}
	}
	return kinds
}

func (c *clocked) run(t *testing.T, loop func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = loop(ctx) }()
	t.Cleanup(func() { stop(); <-done })
}

// TestASchedulerThatWasOffPurgesWhenItStarts: nobody looked at the deadlines for 35 days.
func TestASchedulerThatWasOffPurgesWhenItStarts(t *testing.T) {
	t.Parallel()
	c := newClocked(t, "UTC")
	due := c.leave(t, 30, "acme")
	c.set(t, due.Add(5*day))
	c.run(t, c.RunTimers)
	testkit.WaitFor(t, 10*time.Second, "the purge to begin", func() bool { return c.state(t, "acme").Name == tenant.Purging })
	require.Equal(t, []string{"purge_overdue"}, c.violations(t, "acme"))
}

// TestAWorkerWhoseClockIsAheadDeletesNothing: by seven days, and the deletion is due in five, then overdue.
func TestAWorkerWhoseClockIsAheadDeletesNothing(t *testing.T) {
	t.Parallel()
	c := newClocked(t, "UTC")
	due := c.leave(t, 5, "acme")
	c.skew.Store(int64(7 * day))
	c.look(t)
	require.Equal(t, tenant.Deleting, c.state(t, "acme").Name)

	c.set(t, due.Add(time.Hour))
	c.look(t)
	require.Equal(t, tenant.Deleting, c.state(t, "acme").Name, "one of the clocks is wrong; nothing that cannot be undone may begin")

	c.skew.Store(0)
	c.look(t)
	require.Equal(t, tenant.Purging, c.state(t, "acme").Name)
}

// TestADayHas24HoursInBerlin: thirty days over either change of the clocks are 720 hours, whatever zone a session is in.
func TestADayHas24HoursInBerlin(t *testing.T) {
	t.Parallel()
	c := newClocked(t, "Europe/Berlin")
	var zone string
	require.NoError(t, c.db.QueryRow(t.Context(), `SHOW timezone`).Scan(&zone))
	require.Equal(t, "Europe/Berlin", zone)
	for id, asked := range map[string]time.Time{
		"spring": time.Date(2026, 3, 20, 22, 30, 0, 0, time.UTC),  // summer time begins on March 29
		"autumn": time.Date(2026, 10, 10, 22, 30, 0, 0, time.UTC), // and ends on October 25
	} {
		c.set(t, asked)
		due := c.leave(t, 30, id)
		var hours float64
		require.NoError(t, c.db.QueryRow(t.Context(), `SELECT extract(epoch FROM timers.due - (log.data::json->>'requested_at')::timestamptz)::float8 / 3600
			FROM timers JOIN log ON log.stream = timers.tenant AND log.type = 'tenure.lifecycle.deletion.requested.v1'
			WHERE tenant = $1`, id).Scan(&hours))
		require.InDelta(t, 720, hours, 0, id)

		c.set(t, due.Add(-time.Second))
		c.look(t)
		require.Equal(t, tenant.Deleting, c.state(t, id).Name, id)
		c.set(t, due)
		c.look(t)
		require.Equal(t, tenant.Purging, c.state(t, id).Name, id)
		require.Empty(t, c.violations(t, id))
	}
}

func TestAHoldInTheLastSecond(t *testing.T) {
	t.Parallel()
	c := newClocked(t, "UTC")
	due := c.leave(t, 30, "acme")
	c.set(t, due.Add(-time.Second))
	c.mustDo(t, "acme", "hold", &events.PlaceHold{Reason: "a court asked"})
	c.set(t, due)
	c.look(t)
	c.set(t, due.Add(90*day))
	c.look(t)
	require.Equal(t, tenant.Deleting, c.state(t, "acme").Name)
	require.Equal(t, []string{"purge.deferred"}, c.told(t, "acme", "purge.deferred", "purge.started"))

	c.mustDo(t, "acme", "release", &events.ReleaseHold{Reason: "settled"})
	require.Equal(t, tenant.Purging, c.state(t, "acme").Name, "the release begins the purge itself")
	require.Empty(t, c.violations(t, "acme"), "what waits for a hold is not late")
}
