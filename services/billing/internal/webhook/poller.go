package webhook

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"tenure/services/billing/internal/plan"
)

// overlap is how far back each poll looks behind the newest event seen: Stripe's list may show an event late.
const overlap = 5 * time.Minute

// Source lists Stripe's events from a time on, the oldest first.
type Source interface {
	Events(ctx context.Context, since time.Time) ([]plan.Notice, error)
}

// Inbox is where notices go, with what the poller has to remember.
type Inbox interface {
	Taker
	// Missing returns those that were never taken.
	Missing(ctx context.Context, notices []plan.Notice) ([]plan.Notice, error)
	// Unpark publishes notices whose tenants have appeared.
	Unpark(ctx context.Context) error
	PollCursor(ctx context.Context) (time.Time, error)
	MovePollCursor(ctx context.Context, to time.Time) error
}

// Poll heals what webhooks missed, every interval until ctx ends. Several processes may poll: an event is taken once.
func Poll(ctx context.Context, source Source, inbox Inbox, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := pollOnce(ctx, source, inbox); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "polling Stripe's events failed; tried again", "in", interval, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func pollOnce(ctx context.Context, source Source, inbox Inbox) error {
	if err := inbox.Unpark(ctx); err != nil {
		return err
	}
	cursor, err := inbox.PollCursor(ctx)
	if err != nil {
		return err
	}
	since := cursor
	if !cursor.IsZero() {
		since = cursor.Add(-overlap)
	}
	notices, err := source.Events(ctx, since)
	if err != nil || len(notices) == 0 {
		return err
	}
	missing, err := inbox.Missing(ctx, notices)
	if err != nil {
		return err
	}
	for _, n := range missing {
		if err := inbox.Take(ctx, n); err != nil {
			return err
		}
	}
	newest := slices.MaxFunc(notices, func(a, b plan.Notice) int { return a.Created.Compare(b.Created) })
	return inbox.MovePollCursor(ctx, newest.Created)
}
