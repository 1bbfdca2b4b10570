package inbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/inbox"
	"tenure/shared/pg"
	"tenure/shared/testkit"
)

func open(t *testing.T) *pgxpool.Pool {
	t.Helper()
	ctx := context.Background()
	url := testkit.Postgres(t)
	require.NoError(t, pg.CreateSchema(ctx, url, "app"))
	db, err := pg.Open(ctx, url, "app")
	require.NoError(t, err)
	t.Cleanup(db.Close)
	require.NoError(t, inbox.Migrate(ctx, db))
	return db
}

func event(sequence int64, data string) events.Event {
	return events.Event{
		ID: fmt.Sprintf("acme.%d", sequence), Source: "tenure/lifecycle", Type: "tenure.lifecycle.block.added.v1", Subject: "acme",
		Sequence: sequence, Time: time.Unix(1, 0), Data: []byte(data),
	}
}

func claim(db *pgxpool.Pool, e events.Event) (fresh bool, err error) {
	err = pg.WithTx(context.Background(), db, func(tx pgx.Tx) error {
		fresh, err = inbox.Claim(context.Background(), tx, "c", e)
		return err
	})
	return fresh, err
}

func TestClaimTakesEachEventOnceAndInOrder(t *testing.T) {
	t.Parallel()
	db := open(t)
	steps := []struct {
		name  string
		e     events.Event
		fresh bool
		early bool
		other bool
	}{
		{name: "the first", e: event(1, `{}`), fresh: true},
		{name: "the third waits", e: event(3, `{}`), early: true},
		{name: "the first again", e: event(1, `{}`)},
		{name: "the first with other content", e: event(1, `{"x":1}`), other: true},
		{name: "the second", e: event(2, `{}`), fresh: true},
		{name: "the third", e: event(3, `{}`), fresh: true},
		{name: "without an order", e: events.Event{ID: "free", Source: "s", Type: "t", Subject: "acme"}, fresh: true},
		{name: "without an order, again", e: events.Event{ID: "free", Source: "s", Type: "t", Subject: "acme"}},
	}
	for _, s := range steps {
		fresh, err := claim(db, s.e)
		switch {
		case s.early:
			require.ErrorIs(t, err, inbox.ErrEarly, s.name)
			_, waits := fault.Delay(err)
			require.True(t, waits, s.name)
		case s.other:
			require.True(t, fault.IsConflict(err), s.name)
		default:
			require.NoError(t, err, s.name)
		}
		require.Equal(t, s.fresh, fresh, s.name)
	}
}

func TestOneOfManyClaimsIsFresh(t *testing.T) {
	t.Parallel()
	db := open(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	freshOnes := 0
	for range 16 {
		wg.Go(func() {
			fresh, err := claim(db, event(1, `{}`))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			if fresh {
				freshOnes++
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, freshOnes)
}
