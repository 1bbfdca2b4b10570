package prune_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tenure/services/billing/internal/prune"
)

func TestDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rows, calls atomic.Int64
		rows.Store(2500)
		batch := func(_ context.Context, limit int) (int, error) {
			if calls.Add(1) == 2 {
				return 0, errors.New("the database is away")
			}
			deleted := min(int64(limit), rows.Load())
			rows.Add(-deleted)
			return int(deleted), nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go prune.Daily(ctx, "test", batch)

		want := func(when string, wantRows, wantCalls int64) {
			t.Helper()
			synctest.Wait()
			if rows.Load() != wantRows || calls.Load() != wantCalls {
				t.Errorf("%s %d rows are left after %d calls, want %d and %d", when, rows.Load(), calls.Load(), wantRows, wantCalls)
			}
		}
		want("after a failure", 1500, 2)
		<-time.After(24 * time.Hour)
		want("a day later", 0, 4)
		<-time.After(24 * time.Hour)
		want("with nothing to delete", 0, 5)
	})
}
