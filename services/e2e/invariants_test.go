package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenure/shared/eventlog"
	"tenure/shared/testkit"
)

// settled waits until nothing is under way: no operation runs, every log is published, every consumer has caught up.
func (s *system) settled(db *pgxpool.Pool) {
	s.t.Helper()
	why := "not asked yet"
	s.t.Cleanup(func() {
		if s.t.Failed() && why != "" {
			s.t.Logf("not settled: %s", why)
		}
	})
	testkit.WaitFor(s.t, 2*time.Minute, "everything to settle", func() bool {
		why = s.unsettled(db)
		return why == ""
	})
}

// unsettled names something that is still under way, or "".
func (s *system) unsettled(db *pgxpool.Pool) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var running string
	err := db.QueryRow(ctx, `SELECT coalesce((SELECT view::text FROM lifecycle.operations WHERE status = 'running' LIMIT 1), '')`).Scan(&running)
	if err != nil {
		return err.Error()
	}
	if running != "" {
		return "operation " + running
	}
	for _, service := range []string{"lifecycle", "billing"} {
		var waiting int64
		err := db.QueryRow(ctx, `SELECT coalesce(sum(p.sequence - r.published), 0) FROM `+service+`.partitions p
			JOIN `+service+`.relays r ON r.partition = p.id`).Scan(&waiting)
		if err != nil || waiting > 0 {
			return fmt.Sprintf("%s has %d events to publish (%v)", service, waiting, err)
		}
	}
	return s.behind(db)
}

// consumers of the lifecycle's events and where each keeps its place.
var consumers = map[string]string{
	"billing": "billing.inbox_positions", "export": "export.inbox_positions",
	"deletion": "deletion.inbox_positions", "notifier": "notifier.inbox_positions",
}

// behind names a consumer that has not reached the end of some tenant's log, or "".
func (s *system) behind(db *pgxpool.Pool) string {
	for name, table := range consumers {
		var stream string
		err := db.QueryRow(context.Background(), `SELECT h.stream FROM lifecycle.streams h
			LEFT JOIN `+table+` p ON p.service = 'lifecycle' AND p.subject = h.stream
			WHERE h.version > coalesce(p.sequence, 0) LIMIT 1`).Scan(&stream)
		if !errors.Is(err, pgx.ErrNoRows) {
			return name + " at " + stream
		}
	}
	return ""
}

// checkLogs verifies every hash chain, and that every consumer took every event of every tenant exactly once. A consumer's
// position moves by one at a time in the transaction that stores the effects (shared/inbox), so that a position equal to the
// stream's version with as many inbox rows means: all, in order, without gaps, once.
func checkLogs(t *testing.T, db *pgxpool.Pool) {
	t.Helper()
	ctx := context.Background()
	rows, err := db.Query(ctx, `SELECT stream, version FROM lifecycle.streams`)
	require.NoError(t, err)
	streams := map[string]int64{}
	var stream string
	var version int64
	_, err = pgx.ForEachRow(rows, []any{&stream, &version}, func() error { streams[stream] = version; return nil })
	require.NoError(t, err)
	require.NotEmpty(t, streams)
	for stream, version := range streams {
		head, err := eventlog.VerifyChain(stream, nil, 0, readStream(t, db, stream))
		require.NoError(t, err)
		require.NotEmpty(t, head)
		for name, table := range consumers {
			var at, taken int64
			require.NoError(t, db.QueryRow(ctx, `SELECT sequence FROM `+table+` WHERE service = 'lifecycle' AND subject = $1`, stream).Scan(&at), name)
			require.Equal(t, version, at, "%s did not take all of %s", name, stream)
			require.NoError(t, db.QueryRow(ctx, `SELECT count(*) FROM `+name+`.inbox WHERE source = 'tenure/lifecycle' AND id LIKE $1`, stream+".%").Scan(&taken), name)
			require.Equal(t, version, taken, "%s took events of %s more or less than once", name, stream)
		}
	}
	var letters int
	require.NoError(t, db.QueryRow(ctx, `SELECT count(*) FROM bus.dead_letters`).Scan(&letters))
	require.Zero(t, letters, "dead letters")
}

func readStream(t *testing.T, db *pgxpool.Pool, stream string) []eventlog.Recorded {
	t.Helper()
	rows, err := db.Query(context.Background(), `SELECT version, type, time, actor, correlation, causation, data, hash
		FROM lifecycle.log WHERE stream = $1 ORDER BY version`, stream)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r eventlog.Recorded, err error) {
		var data string
		err = row.Scan(&r.Sequence, &r.Type, &r.Time, &r.Actor, &r.CorrelationID, &r.CausationID, &data, &r.Hash)
		r.Data = []byte(data)
		return r, err
	})
	require.NoError(t, err)
	return list
}
