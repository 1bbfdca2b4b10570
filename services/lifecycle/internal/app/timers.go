package app

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
)

const (
	// timerInterval is the longest sleep between two looks at the deadlines: another process may have set a nearer one.
	timerInterval = 250 * time.Millisecond
	timerBatch    = 1000
	// maxSkew is by how much this machine's clock and the database's may differ. Beyond it one of them is wrong, and
	// nothing that cannot be undone may begin.
	maxSkew = 5 * time.Second
)

// RunTimers fires deadlines by the database's clock until ctx ends. Any number of processes may do so: the key of a
// firing is the deadline itself, so that it counts once.
func (e *Engine) RunTimers(ctx context.Context) error {
	tick := time.NewTicker(timerInterval)
	defer tick.Stop()
	for {
		if err := e.fireDue(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "cannot fire deadlines now", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (e *Engine) fireDue(ctx context.Context) error {
	for ctx.Err() == nil {
		due, err := store.DueTimers(ctx, e.db, timerBatch)
		if err != nil || len(due) == 0 {
			return err
		}
		clockIsRight := sync.OnceValue(func() bool { return e.clockIsRight(ctx) }) // one look for all purges of the batch
		list := make([]Submission, 0, len(due))
		for _, t := range due {
			if t.Kind == tenant.TimerPurgeDue && !clockIsRight() {
				continue
			}
			list = append(list, fromTimer(t))
		}
		progress := false
		for _, out := range e.SubmitAll(ctx, list) {
			if out.Err != nil {
				return out.Err
			}
			progress = progress || len(out.Events) > 0
		}
		if !progress || len(due) < timerBatch {
			return nil
		}
	}
	return nil
}

func fromTimer(t store.TimerRow) Submission {
	// A waiting step fires again and again with new due times; the time belongs to the key.
	key := fmt.Sprintf("timer/%s/%d/%d", t.Kind, t.Generation, t.Due.UnixMicro())
	return Submission{
		Tenant: t.Tenant, Name: tenant.CmdFireTimer, Key: key, CausationID: key, CorrelationID: key, Actor: "system:timer",
		Payload: &tenant.FireTimer{Kind: t.Kind, Due: t.Due, Generation: t.Generation},
	}
}

// clockIsRight compares this machine's clock with the database's. Deadlines are the database's alone, but when the two
// differ one of them is wrong, and a purge cannot be taken back.
func (e *Engine) clockIsRight(ctx context.Context) bool {
	var theirs time.Time
	if err := e.db.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&theirs); err != nil {
		return false
	}
	skew := theirs.Sub(e.cfg.Clock()).Abs()
	if skew > maxSkew {
		slog.ErrorContext(ctx, "this machine's clock and the database's differ; set them right: purges are paused until then", "skew", skew)
	}
	return skew <= maxSkew
}
