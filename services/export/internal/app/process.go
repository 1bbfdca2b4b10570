package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/export/internal/blob"
	"tenure/services/export/internal/store"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/jobs"
)

var errCancelled = errors.New("the export was cancelled")

// settleTimeout bounds what is stored about a job after its work has ended or was interrupted.
const settleTimeout = 30 * time.Second

// process takes a claimed job as far as it goes and stores how far that was.
func (a *App) process(ctx context.Context, job *store.Job) error {
	l := a.lease(ctx, job)
	err := withoutSubject(job, l.Reason(a.export(l.Context(), job, l)))
	l.Release()
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	return a.settle(settle, job, err)
}

// export writes the archive, unless an earlier holder of the job has, and reads it back.
func (a *App) export(ctx context.Context, job *store.Job, l *lease) error {
	if job.CancelRequested {
		return errCancelled
	}
	if job.Status != store.Verifying {
		if err := a.write(ctx, job, l); err != nil {
			return err
		}
	}
	return a.verify(ctx, job)
}

// settle stores what err means for the job: it is done, cancelled, postponed, tried again or failed.
func (a *App) settle(ctx context.Context, job *store.Job, err error) error {
	switch {
	case err == nil:
		slog.InfoContext(ctx, "exported", "export", job.ExportID, "tenant", job.TenantID, "rows", job.Done, "bytes", job.Bytes)
		return nil
	case errors.Is(err, errCancelled):
		return a.cancel(ctx, job)
	case errors.Is(err, jobs.ErrLost), errors.Is(err, context.Canceled):
		// The process stops, or lost the job; whoever has it now is left alone by the epoch.
		return ignoreLost(store.Postpone(ctx, a.db, job, job.Error, 0))
	}
	if wait, ok := fault.Delay(err); ok {
		slog.WarnContext(ctx, "an export waits", "export", job.ExportID, "tenant", job.TenantID, "error", err)
		return ignoreLost(store.Postpone(ctx, a.db, job, err.Error(), wait))
	}
	slog.WarnContext(ctx, "an export failed", "export", job.ExportID, "tenant", job.TenantID, "failures", job.Failures+1, "error", err)
	if job.Failures+1 < maxFailures && !fault.IsPermanent(err) {
		return ignoreLost(a.inTx(ctx, func(tx pgx.Tx) error { return a.retry(ctx, tx, job, err) }))
	}
	return a.fail(ctx, job, err.Error())
}

// retry lets the job go on where it is, unless that is no good.
func (a *App) retry(ctx context.Context, tx pgx.Tx, job *store.Job, reason error) error {
	if err := store.Retry(ctx, tx, job, reason.Error(), a.cfg.Backoff(job.Failures+1)); err != nil || !spoiled(reason) {
		return err
	}
	return store.SpoilArchive(ctx, tx, job)
}

// cancel removes what was written, then says so.
func (a *App) cancel(ctx context.Context, job *store.Job) error {
	return a.end(ctx, job, &events.ArchiveCancelled{ExportID: job.ExportID}, func(tx pgx.Tx) error {
		return store.Cancel(ctx, tx, job)
	})
}

func (a *App) fail(ctx context.Context, job *store.Job, reason string) error {
	return a.end(ctx, job, &events.ArchiveFailed{ExportID: job.ExportID, Error: reason}, func(tx pgx.Tx) error {
		return store.Fail(ctx, tx, job, reason)
	})
}

// end removes what a job has written and stores its end. While S3 is down the job stays open.
func (a *App) end(ctx context.Context, job *store.Job, event events.Payload, conclude func(pgx.Tx) error) error {
	if err := a.blobs.Remove(ctx, blob.Key(job.TenantID, job.ExportID)); err != nil {
		wait, _ := fault.Delay(err)
		return ignoreLost(store.Postpone(ctx, a.db, job, err.Error(), wait))
	}
	return ignoreLost(a.inTx(ctx, func(tx pgx.Tx) error {
		if err := conclude(tx); err != nil {
			return err
		}
		if err := store.ForgetArchive(ctx, tx, job); err != nil {
			return err
		}
		return a.emit(ctx, tx, job, event)
	}))
}

func ignoreLost(err error) error {
	if errors.Is(err, jobs.ErrLost) {
		return nil
	}
	return err
}
