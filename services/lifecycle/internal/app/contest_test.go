package app

import (
	"context"
	"fmt"
	mrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
	"tenure/shared/testkit"
)

func names(prefix string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return ids
}

// TestOneWinsBetweenReturnAndPurge: 500 tenants come back through one process in the very moment in which their purge is due
// and fired by another. Either is too late or the other is, and no data is gone of a tenant that is active.
func TestOneWinsBetweenReturnAndPurge(t *testing.T) {
	t.Parallel()
	const rounds, each = 10, 50
	c := newClocked(t, "UTC")
	other := startEngine(t, c.url, c.db, tenant.DefaultPolicy(), c.clock)
	won := map[string]int{}
	for round := range rounds {
		ids := names(fmt.Sprintf("round-%d", round), each)
		due := c.leave(t, 1, ids...)
		c.set(t, due.Add(-time.Duration(3*round)*time.Millisecond))
		var racing sync.WaitGroup
		for _, id := range ids {
			state := c.state(t, id)
			fire := func(e *Engine) { // until it is due for certain, and a moment longer
				for before := true; before; {
					before = c.clock().Before(due.Add(5 * time.Millisecond))
					e.Submit(t.Context(), fromTimer(dueTimer(state)))
				}
			}
			comeBack := func(e *Engine) { e.Submit(t.Context(), byOperator(id, &events.Reactivate{})) }
			racing.Go(func() { fire(other) })
			racing.Go(func() { comeBack(c.Engine) })
		}
		racing.Wait()
		for _, id := range ids {
			told := c.told(t, id, "reactivation.started", "purge.started")
			require.Len(t, told, 1, id)
			won[told[0]]++
			want := map[string]tenant.StateName{"reactivation.started": tenant.Active, "purge.started": tenant.Purging}[told[0]]
			require.Equal(t, want, c.state(t, id).Name, id)
		}
	}
	t.Logf("of %d: %v", rounds*each, won)
	require.Len(t, won, 2, "the race was none")
}

// TestPurgesBeginWithinAMinuteUnderLoad: a thousand deletions fall due at one moment, while others are suspended and resumed as
// fast as it goes.
func TestPurgesBeginWithinAMinuteUnderLoad(t *testing.T) {
	t.Parallel()
	c := newClocked(t, "UTC")
	busy := names("busy", 200)
	c.all(t, busy, &events.Register{Name: "A", Email: "a@example.com", Plan: "free"})
	due := c.leave(t, 30, names("leaving", 1000)...)

	c.set(t, due.Add(-2*time.Second-timerInterval/10)) // a moment after a look at the deadlines
	for range 4 {
		c.run(t, func(ctx context.Context) error {
			for ctx.Err() == nil {
				id := busy[mrand.IntN(len(busy))]
				c.Submit(ctx, byOperator(id, &events.Suspend{Reason: "load"}))
				c.Submit(ctx, byOperator(id, &events.Resume{Reason: "load"}))
			}
			return nil
		})
	}
	c.run(t, c.RunTimers)
	c.run(t, c.RunMonitor)
	var begun, others int
	var p50, p99 float64
	testkit.WaitFor(t, time.Minute, "every purge to begin", func() bool {
		const late = `extract(epoch FROM time - (data::json->>'scheduled_for')::timestamptz)::float8`
		err := c.db.QueryRow(t.Context(), `SELECT count(*), coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY `+late+`), 0),
			coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY `+late+`), 0), (SELECT count(*) FROM log WHERE actor = 'operator:test')
			FROM log WHERE type = 'tenure.lifecycle.purge.started.v1'`).Scan(&begun, &p50, &p99, &others)
		return err == nil && begun == 1000
	})
	t.Logf("purges began %.3f s (p50), %.3f s (p99) after they were due, beside %d other events", p50, p99, others)
	require.Less(t, p99, tenant.PurgeLateness.Seconds())
	require.Empty(t, c.violations(t, "leaving-999"))
}
