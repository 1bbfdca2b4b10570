package prune_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"tenure/services/billing/internal/prune"
)

func TestDaily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, calls := 2500, 0
		batch := func(_ context.Context, limit int) (int, error) {
			calls++
			if calls == 2 {
				return 0, errors.New("the database is away")
			}
			deleted := min(limit, rows)
			rows -= deleted
			return deleted, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go prune.Daily(ctx, "test", batch)

		synctest.Wait()
		if rows != 1500 || calls != 2 {
			t.Errorf("after a failure %d rows are left and %d calls were made: want 1500 and 2", rows, calls)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if rows != 0 || calls != 4 {
			t.Errorf("a day later %d rows are left and %d calls were made: want 0 and 4", rows, calls)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if calls != 5 {
			t.Errorf("%d calls were made for nothing: want 1", calls-4)
		}
	})
}
