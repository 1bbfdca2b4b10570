package eventlog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
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

// bus is a publisher that records what it gets; fail makes it stop within a batch.
type bus struct {
	mu   sync.Mutex
	got  []events.Event
	fail func(n int) bool // n: messages confirmed so far
}

func (b *bus) PublishBatch(_ context.Context, batch []eventlog.Message) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, m := range batch {
		if b.fail != nil && b.fail(len(b.got)) {
			return i, errors.New("the bus is away")
		}
		e, err := events.Decode(nil, m.Data)
		if err != nil {
			return i, err
		}
		b.got = append(b.got, e)
	}
	return len(batch), nil
}

func (b *bus) events() []events.Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]events.Event(nil), b.got...)
}

func open(t *testing.T, partitions int) (*eventlog.Log, *pgxpool.Pool) {
	t.Helper()
	ctx := context.Background()
	url := testkit.Postgres(t)
	require.NoError(t, pg.CreateSchema(ctx, url, "app"))
	db, err := pg.Open(ctx, url, "app")
	require.NoError(t, err)
	t.Cleanup(db.Close)
	l, err := eventlog.Open(ctx, db, eventlog.Config{Service: "lifecycle", Partitions: partitions})
	require.NoError(t, err)
	return l, db
}

func placed(reason string) events.Event {
	e, err := events.New(&events.HoldPlaced{Change: events.Change{Reason: reason}, HoldID: "h"}, "")
	if err != nil {
		panic(err)
	}
	e.Actor, e.CausationID, e.CorrelationID = "operator:test", "c", "c"
	return e
}

func appendTo(ctx context.Context, l *eventlog.Log, db *pgxpool.Pool, stream string, n int) error {
	entry := eventlog.Entry{Stream: stream}
	for i := range n {
		entry.Events = append(entry.Events, placed(fmt.Sprint(i)))
	}
	err := pg.WithTx(ctx, db, func(tx pgx.Tx) error { return l.Append(ctx, tx, entry) })
	l.Kick()
	return err
}

// runRelay starts the relay and returns a function that stops it and waits.
func runRelay(l *eventlog.Log, p eventlog.Publisher) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Relay(ctx, p) }()
	return func() { cancel(); <-done }
}

func TestAppendGivesIdsVersionsAndAChain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l, db := open(t, 1)
	require.NoError(t, appendTo(ctx, l, db, "acme", 2))
	require.NoError(t, appendTo(ctx, l, db, "acme", 1))

	got, err := l.Read(ctx, db, "acme", 0, 10)
	require.NoError(t, err)
	require.Len(t, got, 3)
	for i, r := range got {
		require.Equal(t, int64(i+1), r.Sequence)
		require.Equal(t, fmt.Sprintf("acme.%d", i+1), r.ID)
		require.Equal(t, "tenure/lifecycle", r.Source)
	}
	head, err := eventlog.VerifyChain("acme", nil, 0, got)
	require.NoError(t, err)
	require.Equal(t, got[2].Hash, head)
}

func TestChainShowsEveryChange(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l, db := open(t, 1)
	require.NoError(t, appendTo(ctx, l, db, "acme", 5))
	fresh := func() []eventlog.Recorded {
		got, err := l.Read(ctx, db, "acme", 0, 10)
		require.NoError(t, err)
		return got
	}
	damage := map[string]func([]eventlog.Recorded) []eventlog.Recorded{
		"data":     func(r []eventlog.Recorded) []eventlog.Recorded { r[2].Data = json.RawMessage(`{}`); return r },
		"actor":    func(r []eventlog.Recorded) []eventlog.Recorded { r[0].Actor = "operator:else"; return r },
		"time":     func(r []eventlog.Recorded) []eventlog.Recorded { r[4].Time = r[4].Time.Add(time.Microsecond); return r },
		"type":     func(r []eventlog.Recorded) []eventlog.Recorded { r[1].Type += "x"; return r },
		"removed":  func(r []eventlog.Recorded) []eventlog.Recorded { return append(r[:2], r[3:]...) },
		"swapped":  func(r []eventlog.Recorded) []eventlog.Recorded { r[1], r[2] = r[2], r[1]; return r },
		"repeated": func(r []eventlog.Recorded) []eventlog.Recorded { return append(r[:2], r[1:]...) },
	}
	for name, change := range damage {
		_, err := eventlog.VerifyChain("acme", nil, 0, change(fresh()))
		var broken *eventlog.BrokenChainError
		require.ErrorAs(t, err, &broken, name)
	}
	_, err := eventlog.VerifyChain("other", nil, 0, fresh())
	require.Error(t, err, "a stream's events under another name")
}

func TestTheLogRefusesUpdates(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l, db := open(t, 1)
	require.NoError(t, appendTo(ctx, l, db, "acme", 1))
	for _, sql := range []string{`UPDATE log SET actor = 'x'`, `DELETE FROM log`, `TRUNCATE log`} {
		_, err := db.Exec(ctx, sql)
		require.ErrorContains(t, err, "append-only", sql)
	}
}

func TestACommandCountsOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l, db := open(t, 1)
	write := func() error {
		return pg.WithTx(ctx, db, func(tx pgx.Tx) error {
			return l.Append(ctx, tx, eventlog.Entry{
				Stream: "acme", Events: []events.Event{placed("a"), placed("b")}, CommandKey: "k", CommandHash: []byte("h"),
			})
		})
	}
	require.NoError(t, write())
	require.ErrorIs(t, write(), eventlog.ErrConflict)
	caused, err := l.FindCommand(ctx, db, "acme", "k")
	require.NoError(t, err)
	require.Len(t, caused.Events, 2)
	require.Equal(t, []byte("h"), caused.Hash)
	none, err := l.FindCommand(ctx, db, "acme", "other")
	require.NoError(t, err)
	require.Nil(t, none)
}

func TestWriteRefusesAnOldHead(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l, db := open(t, 1)
	require.NoError(t, appendTo(ctx, l, db, "acme", 3))
	err := pg.WithTx(ctx, db, func(tx pgx.Tx) error {
		pos, err := l.Lock(ctx, tx, 0)
		require.NoError(t, err)
		_, err = l.Write(ctx, tx, pos, []eventlog.Entry{{Stream: "acme", Version: 1, Events: []events.Event{placed("x")}}})
		return err
	})
	require.ErrorIs(t, err, eventlog.ErrConflict)
}

// TestRelayLosesAndInvertsNothing is the promise of the log: many writers, some of which roll back, a bus that fails in the
// middle of batches, and a relay that is stopped and started all the while.
func TestRelayLosesAndInvertsNothing(t *testing.T) {
	t.Parallel()
	const writers, commits, tenants = 12, 40, 5
	ctx := context.Background()
	l, db := open(t, 3)
	flaky := rand.New(rand.NewPCG(1, 2))
	b := &bus{fail: func(int) bool { return flaky.IntN(200) == 0 }}

	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(w), 7))
			for range commits {
				entry := eventlog.Entry{Stream: fmt.Sprintf("t%d", dice.IntN(tenants)), Events: []events.Event{placed("a"), placed("b")}}
				err := pg.WithTx(ctx, db, func(tx pgx.Tx) error {
					if err := l.Append(ctx, tx, entry); err != nil {
						return err
					}
					if dice.IntN(5) == 0 {
						return errors.New("changed my mind")
					}
					return nil
				})
				if err == nil {
					l.Kick()
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { wg.Wait(); close(written) }()
	for stopped := false; !stopped; {
		stop := runRelay(l, b)
		select {
		case <-written:
			stopped = true
		case <-time.After(20 * time.Millisecond): // the length of one relay's life, not a wait for an effect
		}
		stop()
	}
	defer runRelay(l, b)()
	testkit.WaitFor(t, 20*time.Second, "an empty backlog", func() bool {
		n, err := eventlog.Backlog(ctx, db)
		return err == nil && n == 0
	})
	checkDelivery(t, l, db, b.events(), tenants)
}

// checkDelivery holds what arrived against the log: each event at least once, and first arrivals in version order.
func checkDelivery(t *testing.T, l *eventlog.Log, db *pgxpool.Pool, got []events.Event, tenants int) {
	t.Helper()
	at := map[string]int64{}
	for _, e := range got {
		require.LessOrEqual(t, e.Sequence, at[e.Subject]+1, "%s came before its predecessor", e.ID)
		at[e.Subject] = max(at[e.Subject], e.Sequence)
	}
	total := 0
	for i := range tenants {
		stream := fmt.Sprintf("t%d", i)
		all, err := l.Read(context.Background(), db, stream, 0, 10_000)
		require.NoError(t, err)
		require.Equal(t, int64(len(all)), at[stream], "events of %s are missing", stream)
		_, err = eventlog.VerifyChain(stream, nil, 0, all)
		require.NoError(t, err)
		total += len(all)
	}
	require.NotZero(t, total)
}

func TestOneOwnerAtATime(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l, db := open(t, 1)
	first, second := &bus{}, &bus{}
	stopFirst := runRelay(l, first)
	require.NoError(t, appendTo(ctx, l, db, "acme", 1))
	testkit.WaitFor(t, 5*time.Second, "the first owner", func() bool { return len(first.events()) == 1 })

	other, err := eventlog.Open(ctx, db, eventlog.Config{Service: "lifecycle"})
	require.NoError(t, err)
	defer runRelay(other, second)()
	require.NoError(t, appendTo(ctx, other, db, "acme", 1)) // appended elsewhere, published by the owner
	testkit.WaitFor(t, 5*time.Second, "the owner to find it", func() bool { return len(first.events()) == 2 })
	require.Empty(t, second.events())

	stopFirst()
	require.NoError(t, appendTo(ctx, other, db, "acme", 1))
	testkit.WaitFor(t, 5*time.Second, "the second owner", func() bool {
		got := second.events() // it may begin with what the first published and had no time to mark
		return len(got) > 0 && got[len(got)-1].Sequence == 3
	})
}

func TestReadAllMissesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	l, db := open(t, 3)
	for i := range 30 {
		require.NoError(t, appendTo(ctx, l, db, fmt.Sprintf("t%d", i%7), 1))
	}
	cursor, err := l.ParseCursor("")
	require.NoError(t, err)
	seen := map[string]bool{}
	for more := true; more; {
		var page []eventlog.Recorded
		page, cursor, more, err = l.ReadAll(ctx, db, cursor, eventlog.Filter{}, 4)
		require.NoError(t, err)
		for _, r := range page {
			require.False(t, seen[r.ID], r.ID)
			seen[r.ID] = true
		}
		cursor, err = l.ParseCursor(cursor.String())
		require.NoError(t, err)
	}
	require.Len(t, seen, 30)
	_, err = l.ParseCursor("x")
	require.ErrorIs(t, err, eventlog.ErrCursor)
}
