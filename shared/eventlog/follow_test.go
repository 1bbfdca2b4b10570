package eventlog_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/testkit"
)

func follow(t *testing.T, db *pgxpool.Pool, taken ...events.Event) (head eventlog.Head) {
	t.Helper()
	require.NoError(t, pg.WithTx(t.Context(), db, func(tx pgx.Tx) (err error) {
		for _, e := range taken {
			if head, err = eventlog.Follow(t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	}))
	return head
}

func TestAFollowerOfTheBusKnowsTheHeads(t *testing.T) {
	t.Parallel()
	l, db := open(t, 1)
	_, err := db.Exec(t.Context(), `CREATE TABLE chains (tenant_id text PRIMARY KEY, version bigint NOT NULL, hash bytea NOT NULL)`)
	require.NoError(t, err)
	require.NoError(t, appendTo(t.Context(), l, db, "acme", 3))
	wire := &bus{}
	stop := runRelay(l, wire)
	defer stop()
	testkit.WaitFor(t, 10*time.Second, "the events are published", func() bool { return len(wire.events()) == 3 })

	heads, err := l.Heads(context.Background(), db, []string{"acme"})
	require.NoError(t, err)
	require.Equal(t, heads["acme"], follow(t, db, wire.events()...))
	kept, err := eventlog.Followed(t.Context(), db, "acme")
	require.NoError(t, err)
	require.Equal(t, heads["acme"], kept)

	late := placed("x")
	late.Subject, late.Sequence = "globex", 7
	require.Zero(t, follow(t, db, late), "the end of a chain whose beginning was never seen")
	kept, err = eventlog.Followed(t.Context(), db, "globex")
	require.NoError(t, err)
	require.Zero(t, kept)
}
