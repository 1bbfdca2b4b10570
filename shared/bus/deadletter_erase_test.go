package bus_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/testkit"
)

// refuse makes dead letters of all commands, with an error that repeats what it was about.
func refuse(_ context.Context, messages []bus.Message) (int, error) {
	return 0, fault.Permanent(errors.New("cannot handle " + string(messages[0].Event.Data)))
}

func (r *rig) kept(t *testing.T, tenant string) int64 {
	t.Helper()
	n, err := bus.CountDeadLetters(t.Context(), r.db, tenant)
	require.NoError(t, err)
	return n
}

// holds reports whether any row of dead letters has the text anywhere in it.
func (r *rig) holds(t *testing.T, text string) bool {
	t.Helper()
	var found bool
	err := r.db.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM bus.dead_letters d
		WHERE d::text LIKE '%' || $1 || '%' OR position(convert_to($1, 'UTF8') IN payload) > 0)`, text).Scan(&found)
	require.NoError(t, err)
	return found
}

func TestAPurgedTenantsDeadLettersLoseTheirContent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.register(t, "acme")
	r.register(t, "acme-2")
	_, err := r.bus.Conn().RequestMsg(&nats.Msg{Subject: "tenure.commands.acme", Data: []byte(`{"name":"` + canary)}, time.Second)
	require.NoError(t, err)
	r.take(t, refuse)
	testkit.WaitFor(t, 10*time.Second, "three dead letters", func() bool { return len(r.letters(t)) == 3 })
	require.EqualValues(t, 2, r.kept(t, "acme"))

	require.NoError(t, bus.EraseDeadLetters(t.Context(), r.db, "acme"))
	require.Zero(t, r.kept(t, "acme"))
	require.EqualValues(t, 1, r.kept(t, "acme-2"), "another tenant's")
	require.NoError(t, bus.EraseDeadLetters(t.Context(), r.db, "acme-2"))
	require.False(t, r.holds(t, canary))
	for _, l := range r.letters(t) {
		require.Nil(t, l.Payload)
		require.Equal(t, "erased", l.Reason)
		require.Contains(t, l.Error, "purge")
		replayed, err := bus.RequestReplay(t.Context(), r.db, l.ID)
		require.NoError(t, err)
		require.False(t, replayed, "nothing is left to be replayed")
	}
}

func TestOldDeadLettersLoseTheirContentUnlessATenantIsParkedBehindThem(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.register(t, "acme")
	r.take(t, refuse)
	r.publish(t, "acme", 1)
	r.consume(t, refuse)
	testkit.WaitFor(t, 10*time.Second, "two dead letters", func() bool { return len(r.letters(t)) == 2 })

	n, err := bus.ExpireDeadLetters(t.Context(), r.db, time.Hour)
	require.NoError(t, err)
	require.Zero(t, n, "none is that old")
	n, err = bus.ExpireDeadLetters(t.Context(), r.db, 0)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	for _, l := range r.letters(t) {
		require.Equal(t, l.Type != (*events.Register)(nil).EventType(), l.Payload != nil, l.Type)
	}
}

func TestAReplayedDeadLetterIsNotKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.register(t, "acme")
	var mended atomic.Bool
	r.take(t, func(ctx context.Context, messages []bus.Message) (int, error) {
		if mended.Load() {
			return len(messages), nil
		}
		return 0, fault.Permanent(errors.New("not yet"))
	})
	testkit.WaitFor(t, 10*time.Second, "the dead letter", func() bool { return len(r.letters(t)) == 1 })
	mended.Store(true)
	replayed, err := bus.RequestReplay(t.Context(), r.db, r.letters(t)[0].ID)
	require.NoError(t, err)
	require.True(t, replayed)
	testkit.WaitFor(t, 10*time.Second, "the replay", func() bool { return len(r.letters(t)) == 0 })
	require.False(t, r.holds(t, canary))
}
