package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/services/deletion/internal/app"
	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/roots"
	"tenure/services/deletion/migrations"
	"tenure/services/deletion/verify"
	"tenure/shared/pg"
	"tenure/shared/testkit"
)

// chains sets where tenants' logs end.
func (w *world) chains(heads map[string]int64) {
	w.Helper()
	for tenant, version := range heads {
		_, err := w.db.Exec(w.Context(), `INSERT INTO chains (tenant_id, version, hash) VALUES ($1, $2, $3)
			ON CONFLICT (tenant_id) DO UPDATE SET version = excluded.version, hash = excluded.hash`, tenant, version, fmt.Appendf(nil, "%s.%d", tenant, version))
		require.NoError(w, err)
	}
}

// keeper is a process that writes roots of days of a second.
func (w *world) keeper(b *bucket) *app.RootKeeper {
	return &app.RootKeeper{DB: w.db, Bucket: b, Signer: w.signer, Day: time.Second}
}

// dates are the days that the bucket has a root of, the oldest first.
func dates(b *bucket) (out []string) {
	for key := range b.Keys(context.Background(), roots.Prefix, "") {
		if date, isRoot := roots.DateOf(key); isRoot {
			out = append(out, date)
		}
	}
	return out
}

// next has roots made until the bucket has n of them, and returns the last one with its heads.
func (w *world) next(k *app.RootKeeper, b *bucket, n int) (verify.Root, map[string]int64) {
	w.Helper()
	testkit.WaitFor(w, patience, fmt.Sprintf("root %d", n), func() bool {
		require.NoError(w, k.Keep(w.Context()))
		return len(dates(b)) >= n
	})
	return w.root(b, dates(b)[n-1])
}

func (w *world) root(b *bucket, date string) (verify.Root, map[string]int64) {
	w.Helper()
	root, err := verify.LogRoot(b.get(roots.Key(date)), w.signer.PublicKey())
	require.NoError(w, err)
	heads := map[string]int64{}
	require.NoError(w, root.Heads(bytes.NewReader(b.get(roots.LeavesKey(date))), func(h verify.Head) error {
		heads[h.Tenant] = h.Version
		return nil
	}))
	return root, heads
}

func TestEachDayHasASignedRootThatFollowsTheOneBefore(t *testing.T) {
	w, b := newWorld(t), newBucket()
	k := w.keeper(b)
	w.chains(map[string]int64{"acme": 3, "Zeta": 1, "b-2": 7})
	first, heads := w.next(k, b, 1)
	require.Equal(t, map[string]int64{"acme": 3, "Zeta": 1, "b-2": 7}, heads)
	require.EqualValues(t, 11, first.Events)
	require.Empty(t, first.Previous)

	w.chains(map[string]int64{"acme": 4})
	second, heads := w.next(k, b, 2)
	require.EqualValues(t, 4, heads["acme"])
	require.NoError(t, second.Follows(first))
	require.Error(t, first.Follows(second))
	third, _ := w.next(k, b, 3)
	require.ErrorIs(t, third.Follows(first), verify.ErrInvalidRoot, "the second is missing")
}

func TestOneRootOfADayWhateverFailsAndWhoeverTries(t *testing.T) {
	w, b := newWorld(t), newBucket()
	k := w.keeper(b)
	k.Day = 24 * time.Hour
	w.chains(map[string]int64{"acme": 3})
	for upload := range 2 { // the leaves, the root
		b.fails = 1
		require.ErrorIs(t, k.Keep(t.Context()), errAway, "upload %d", upload)
		// What is written meanwhile is for the next day's.
		w.chains(map[string]int64{"acme": int64(4 + upload), "late": 1})
	}
	var tries sync.WaitGroup
	for range 8 {
		tries.Go(func() { require.NoError(t, w.keeperOfDay(b).Keep(context.Background())) })
	}
	tries.Wait()
	require.Len(t, dates(b), 1)
	_, heads := w.root(b, dates(b)[0])
	require.Equal(t, map[string]int64{"acme": 3}, heads)

	uploads := b.uploads
	require.NoError(t, k.Keep(t.Context()))
	require.Equal(t, uploads, b.uploads, "the day has its root")
	var left int
	require.NoError(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM root_leaves`).Scan(&left))
	require.Zero(t, left)
}

func (w *world) keeperOfDay(b *bucket) *app.RootKeeper {
	k := w.keeper(b)
	k.Day = 24 * time.Hour
	return k
}

// A process was killed after it had signed: the next one publishes what it signed.
func TestASignedRootIsTheRoot(t *testing.T) {
	w, b := newWorld(t), newBucket()
	w.chains(map[string]int64{"acme": 3})
	k := w.keeperOfDay(b)
	require.NoError(t, k.Keep(t.Context()))
	signed := bytes.Clone(b.get(roots.Key(dates(b)[0])))
	_, err := w.db.Exec(t.Context(), `UPDATE roots SET published_at = NULL, run_after = '-infinity'`)
	require.NoError(t, err)
	_, err = w.db.Exec(t.Context(), `INSERT INTO root_leaves SELECT * FROM chains`)
	require.NoError(t, err)
	b.objects = map[string][]byte{}
	require.NoError(t, k.Keep(t.Context()))
	require.Equal(t, signed, b.get(roots.Key(dates(b)[0])))
}

func TestARestoredDatabaseGoesOnWithTheBucketsRoots(t *testing.T) {
	w, b := newWorld(t), newBucket()
	k := w.keeper(b)
	w.chains(map[string]int64{"acme": 3})
	w.next(k, b, 1)
	second, _ := w.next(k, b, 2)
	// Forged with a key of somebody else's, to have the chain go on with a root that hides something.
	stranger, err := certificate.ParseSigner("c3RyYW5nZXJzdHJhbmdlcnN0cmFuZ2Vyc3RyYW5nZXI=")
	require.NoError(t, err)
	forged := second.Date[:len(second.Date)-1] + "1Z"
	document, err := stranger.Sign(roots.Root{Format: roots.Format, Date: forged, Leaves: roots.LeavesKey(forged)})
	require.NoError(t, err)

	_, err = w.db.Exec(t.Context(), `DELETE FROM roots`) // restored from a backup of before the first
	require.NoError(t, err)
	b.put(roots.Key(forged), document)
	testkit.WaitFor(t, patience, "another root", func() bool {
		require.NoError(t, k.Keep(t.Context()))
		return len(dates(b)) > 3
	})
	third, _ := w.root(b, dates(b)[3])
	require.NoError(t, third.Follows(second))
}

func TestRootsAreLockedWhereTheBucketCan(t *testing.T) {
	for _, test := range []struct {
		name  string
		locks bool
		days  int
		want  int
	}{{"a bucket that can", true, 10, 2}, {"a bucket that cannot", false, 10, 0}, {"not wanted", true, 0, 0}} {
		t.Run(test.name, func(t *testing.T) {
			w, b := newWorld(t), newBucket()
			b.locks = test.locks
			k := w.keeperOfDay(b)
			k.LockDays = test.days
			require.NoError(t, k.Keep(t.Context()))
			require.Len(t, b.locked, test.want, "the root and its leaves")
			for key, until := range b.locked {
				require.InDelta(t, 10*24, time.Until(until).Hours(), 1, key)
			}
		})
	}
}

// discard is a bucket that reads what it gets.
type discard struct{ *bucket }

func (discard) Upload(_ context.Context, _, _ string, body io.Reader, _ *time.Time) error {
	_, err := io.Copy(io.Discard, body)
	return err
}

func (discard) Keys(context.Context, string, string) iter.Seq2[string, error] {
	return func(func(string, error) bool) {}
}

// BenchmarkKeep makes the root of 100,000 tenants out of PostgreSQL: heads set aside, read page by page, hashed, compressed
// and signed. peak-bytes is how far the heap grew, as far as it was looked at.
func BenchmarkKeep(b *testing.B) {
	url := testkit.Postgres(b)
	require.NoError(b, pg.Migrate(b.Context(), url, "deletion", migrations.Files))
	db, err := pg.Open(b.Context(), url, "deletion")
	require.NoError(b, err)
	defer db.Close()
	signer, err := certificate.ParseSigner(key32)
	require.NoError(b, err)
	_, err = db.Exec(b.Context(), `INSERT INTO chains SELECT 'tenant-' || n, n, sha256(n::text::bytea) FROM generate_series(1, 100000) n`)
	require.NoError(b, err)
	k := &app.RootKeeper{DB: db, Bucket: discard{newBucket()}, Signer: signer, Day: 24 * time.Hour}
	peak, stop := watchHeap()
	for b.Loop() {
		require.NoError(b, k.Keep(b.Context()))
		b.StopTimer()
		_, err := db.Exec(b.Context(), `DELETE FROM roots`)
		require.NoError(b, err)
		b.StartTimer()
	}
	stop()
	b.ReportMetric(float64(*peak), "peak-bytes")
}

// watchHeap looks every few milliseconds how far the heap has grown since.
func watchHeap() (peak *uint64, stop func()) {
	alive := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before, ended, peak := alive(), make(chan struct{}), new(uint64)
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				if now := alive(); now > before+*peak {
					*peak = now - before
				}
			}
		}
	})
	return peak, func() { close(ended); watching.Wait() }
}
