// Package prune deletes what has to be remembered for a while only.
package prune

import (
	"context"
	"log/slog"
	"time"
)

const (
	interval = 24 * time.Hour
	// batchSize is small, so that nobody waits long for a row that is being deleted.
	batchSize = 1000
)

// Batch deletes up to limit rows that are too old, and returns how many it has deleted.
type Batch func(ctx context.Context, limit int) (deleted int, err error)

// Daily deletes what is too old when it is called and every day until ctx ends. Several processes may do so at once. What
// fails is logged and left to the next day: nothing but space depends on it.
func Daily(ctx context.Context, what string, batch Batch) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		deleted, err := all(ctx, batch)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			slog.WarnContext(ctx, "deleting what is too old failed; tried again", "what", what, "in", interval, "error", err)
		case deleted > 0:
			slog.InfoContext(ctx, "deleted what is too old", "what", what, "rows", deleted)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func all(ctx context.Context, batch Batch) (deleted int, err error) {
	for {
		n, err := batch(ctx, batchSize)
		deleted += n
		if err != nil || n < batchSize {
			return deleted, err
		}
	}
}
