package app

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"tenure/services/export/internal/collect"
	"tenure/services/export/internal/store"
	"tenure/shared/events"
	"tenure/shared/jobs"
)

// beatsPerEvent keeps the progress on the bus to one event in some seconds.
const beatsPerEvent = 5

// lease is a worker's hold on an export. Each beat of it stores the progress and looks whether the export was cancelled.
type lease struct {
	*jobs.Lease
	app     *App
	job     store.Job // as the last beat stored it; the heartbeat's own
	beats   int
	total   atomic.Int64
	reading atomic.Pointer[collect.Collection]
}

func (a *App) lease(ctx context.Context, job *store.Job) *lease {
	l := &lease{app: a, job: *job}
	l.total.Store(job.Total)
	l.Lease = jobs.Hold(ctx, a.cfg.Lease, l.renew)
	return l
}

// progress tells the rows written, all rows, and the bytes of the rows written. Before anything is read it is for the
// heartbeat alone.
func (l *lease) progress() (done, total, bytes int64) {
	c := l.reading.Load()
	if c == nil {
		return l.job.Done, l.total.Load(), l.job.ContentBytes
	}
	done, bytes = c.Progress()
	return done, l.total.Load(), bytes
}

// renew implements jobs.Renew.
func (l *lease) renew(ctx context.Context) (stop, err error) {
	l.beats++
	tell := l.beats%beatsPerEvent == 0
	before := l.job.Done
	l.job.Done, l.job.Total, l.job.ContentBytes = l.progress()
	var cancelled bool
	err = l.app.inTx(ctx, func(tx pgx.Tx) error {
		if cancelled, err = store.Beat(ctx, tx, &l.job, l.app.cfg.Lease); err != nil || !tell || before == l.job.Done {
			return err
		}
		return l.app.emit(ctx, tx, &l.job, &events.ArchiveProgressed{
			ExportID: l.job.ExportID, Done: l.job.Done, Total: l.job.Total, Bytes: l.job.ContentBytes,
		})
	})
	switch {
	case errors.Is(err, jobs.ErrLost):
		return err, nil
	case err == nil && cancelled:
		return errCancelled, nil
	}
	return nil, err
}
