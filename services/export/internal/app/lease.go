package app

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/store"
	"tenure/shared/events"
)

const (
	// beatsPerLease is how often a lease is extended while it lasts; each beat also looks whether the export was cancelled.
	beatsPerLease = 10
	// beatsPerEvent keeps the progress on the bus to one event in some seconds.
	beatsPerEvent = 5
)

// lease is a worker's hold on a job. ctx ends, with the reason as its cause, when the job is lost or cancelled: what
// is done under it stops before another worker begins.
type lease struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stopped chan struct{}

	job    store.Job // as the last beat stored it; the heartbeat's own
	total  atomic.Int64
	writer atomic.Pointer[archive.Writer]
}

// hold extends the lease until release.
func (a *App) hold(ctx context.Context, job *store.Job) *lease {
	l := &lease{stopped: make(chan struct{}), job: *job}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	l.total.Store(job.Total)
	go func() {
		defer close(l.stopped)
		l.cancel(a.beat(l))
	}()
	return l
}

// release ends the heartbeat and waits for it.
func (l *lease) release() {
	l.cancel(nil)
	<-l.stopped
}

// progress tells the rows written, all rows, and the bytes of the rows written. Before there is a writer it is for the
// heartbeat alone.
func (l *lease) progress() (done, total, bytes int64) {
	w := l.writer.Load()
	if w == nil {
		return l.job.Done, l.total.Load(), l.job.ContentBytes
	}
	done, bytes = w.Progress()
	return done, l.total.Load(), bytes
}

// beat extends the lease again and again, and returns why it cannot any more.
func (a *App) beat(l *lease) error {
	every := a.cfg.Lease / beatsPerLease
	tick := time.NewTicker(every)
	defer tick.Stop()
	extended := time.Now()
	for n := 1; ; n++ {
		select {
		case <-l.ctx.Done():
			return nil
		case <-tick.C:
		}
		cancelled, err := a.extend(l, n%beatsPerEvent == 0)
		switch {
		case err == nil && cancelled:
			return errCancelled
		case err == nil:
			extended = time.Now()
		case errors.Is(err, store.ErrLost):
			return err
		case time.Since(extended) > a.cfg.Lease-every:
			// The database did not hear of us for so long that the job may be another's any moment.
			return store.ErrLost
		case l.ctx.Err() == nil:
			slog.WarnContext(l.ctx, "the lease of an export was not extended", "export", l.job.ExportID, "error", err)
		}
	}
}

// extend makes one beat, and tells the progress when it is time to.
func (a *App) extend(l *lease, tell bool) (cancelled bool, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, a.cfg.Lease/2)
	defer cancel()
	before := l.job.Done
	l.job.Done, l.job.Total, l.job.ContentBytes = l.progress()
	err = a.inTx(ctx, func(tx pgx.Tx) error {
		if cancelled, err = store.Beat(ctx, tx, &l.job, a.cfg.Lease); err != nil || !tell || before == l.job.Done {
			return err
		}
		return a.emit(ctx, tx, &l.job, &events.ArchiveProgressed{
			ExportID: l.job.ExportID, Done: l.job.Done, Total: l.job.Total, Bytes: l.job.ContentBytes,
		})
	})
	return cancelled, err
}
