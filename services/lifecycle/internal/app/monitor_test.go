package app

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
)

// dueTimer is the row of a tenant's purge, as its state arms it.
func dueTimer(s tenant.State) store.TimerRow {
	return store.TimerRow{Tenant: s.ID, Timer: tenant.Timer{
		Kind: tenant.TimerPurgeDue, Due: s.Deletion.ScheduledFor, Generation: s.Generation,
	}}
}

// TestTheMonitorNeedsNoTimers: whatever became of the timer's row, the deletion is found and begun, once.
func TestTheMonitorNeedsNoTimers(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]string{
		"lost":              `DELETE FROM timers`,
		"of another life":   `UPDATE timers SET generation = 7`,
		"moved to far away": `UPDATE timers SET due = '2099-01-01'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClocked(t, "UTC")
			due := c.leave(t, 30, "acme", "held", "back")
			_, err := c.db.Exec(t.Context(), harm)
			require.NoError(t, err)
			c.mustDo(t, "held", "hold", &events.PlaceHold{Reason: "a court asked"})
			c.mustDo(t, "back", "return", &events.CancelDeletion{})

			c.set(t, due.Add(tenant.PurgeLateness-5*time.Second))
			c.look(t)
			require.Equal(t, tenant.Deleting, c.state(t, "acme").Name, "it is the timers' turn")
			require.Zero(t, c.overdue(t))

			c.set(t, due.Add(tenant.PurgeLateness+time.Second))
			require.EqualValues(t, 2, c.overdue(t))
			for range 3 {
				c.look(t)
			}
			require.Equal(t, tenant.Purging, c.state(t, "acme").Name)
			require.Equal(t, []string{"purge_overdue"}, c.violations(t, "acme"))
			require.Equal(t, tenant.Deleting, c.state(t, "held").Name)
			require.Equal(t, []string{"purge.deferred"}, c.told(t, "held", "purge.deferred", "compliance.violation"))
			require.Equal(t, tenant.Active, c.state(t, "back").Name)
			require.Empty(t, c.violations(t, "back"))
			require.Zero(t, c.overdue(t))
		})
	}
}

// overdue is the figure in /v1/stats.
func (c *clocked) overdue(t *testing.T) int64 {
	t.Helper()
	_, overdue, err := store.CountRunning(t.Context(), c.db)
	require.NoError(t, err)
	return overdue
}

// TestTheMonitorFindsWhatBeganTooEarly: no command leads there, so that the event is written behind the engine's back.
func TestTheMonitorFindsWhatBeganTooEarly(t *testing.T) {
	t.Parallel()
	c := newClocked(t, "UTC")
	c.leave(t, 30, "acme", "other")
	m := newMonitor(c.Engine)
	require.NoError(t, m.look(t.Context()))
	require.Empty(t, c.violations(t, "acme"))

	c.meddle(t, "acme")
	for _, m := range []*monitor{m, m, newMonitor(c.Engine)} { // a restart begins at the beginning, and knows what is told
		require.NoError(t, m.look(t.Context()))
	}
	require.Equal(t, []string{"purge_early"}, c.violations(t, "acme"))
	require.Empty(t, c.violations(t, "other"))
}

// meddle begins a purge now, and says that it was due.
func (c *clocked) meddle(t *testing.T, id string) {
	t.Helper()
	s := c.state(t, id)
	e, err := events.New(&events.PurgeStarted{
		Change:       events.Change{From: string(tenant.Deleting), To: string(tenant.Purging), Reason: "I can write here"},
		Operation:    events.OperationPlan{ID: "forged", Kind: tenant.OpPurge},
		ScheduledFor: c.clock().Add(-time.Hour), RequestedAt: s.Deletion.RequestedAt, RetentionDays: 30, Generation: s.Generation,
	}, id)
	require.NoError(t, err)
	p, err := e.Payload()
	require.NoError(t, err)
	e.Sequence, e.Time = s.Version+1, c.clock()
	snapshot, err := json.Marshal(tenant.Evolve(s, e, p))
	require.NoError(t, err)
	require.NoError(t, pg.WithTx(t.Context(), c.db, func(tx pgx.Tx) error {
		return c.log.Append(t.Context(), tx, eventlog.Entry{Stream: id, Events: []events.Event{e}, Snapshot: snapshot})
	}))
}
