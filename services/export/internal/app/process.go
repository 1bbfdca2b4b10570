package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/blob"
	"tenure/services/export/internal/collect"
	"tenure/services/export/internal/manifest"
	"tenure/services/export/internal/store"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/jobs"
)

var (
	errCancelled = errors.New("the export was cancelled")
	// errMismatch says that S3 holds other bytes than were sent.
	errMismatch = errors.New("the archive read back from S3 is not what was uploaded")
)

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

// write streams everything the tenant has into the archive.
func (a *App) write(ctx context.Context, job *store.Job, l *lease) error {
	key := blob.Key(job.TenantID, job.ExportID)
	if job.Epoch > 1 {
		// A former holder may still be writing: without its upload it cannot put its archive in place of ours.
		if err := a.blobs.Remove(ctx, key); err != nil {
			return err
		}
	}
	from, err := a.sources(ctx, job)
	if err != nil {
		return err
	}
	wanted := collect.Wanted{Kinds: job.Include, Since: from.since}
	all, err := collect.Open(ctx, from.stores, job.ExportID, job.TenantID, wanted)
	if err != nil {
		return err
	}
	defer all.Close()
	l.total.Store(manifest.Total(all.Expected()))
	m, sent, err := a.upload(ctx, key, func(out io.Writer) (manifest.Manifest, error) {
		return all.Archive(ctx, out, func(w *archive.Writer) { l.writer.Store(w) })
	})
	if err != nil {
		return err
	}
	job.Done, job.Total, job.ContentBytes = l.progress()
	job.SHA256, job.Bytes = sent.SHA256, sent.Bytes
	if job.Manifest, err = json.Marshal(m); err != nil {
		return fmt.Errorf("encode the manifest of %s: %w", job.ExportID, err)
	}
	return store.Uploaded(ctx, a.db, job)
}

// errUploadEnded is what writing to an upload that failed answers.
var errUploadEnded = errors.New("the upload ended")

// upload runs write and sends what it writes. The archive appears only when write has succeeded.
func (a *App) upload(ctx context.Context, key string, write func(io.Writer) (manifest.Manifest, error)) (manifest.Manifest, blob.Object, error) {
	out, in := io.Pipe()
	var m manifest.Manifest
	written := make(chan error, 1)
	go func() {
		var err error
		m, err = write(in)
		in.CloseWithError(err) // nil is the end of the archive
		written <- err
	}()
	sent, err := a.blobs.Upload(ctx, key, out)
	out.CloseWithError(errUploadEnded)
	// An error of write comes out of Upload, too, but there it looks like one of S3.
	if writeErr := <-written; writeErr != nil && !errors.Is(writeErr, errUploadEnded) {
		return m, blob.Object{}, writeErr
	}
	return m, sent, err
}

// verify reads the archive back; only what is really there counts.
func (a *App) verify(ctx context.Context, job *store.Job) error {
	sent := blob.Object{Bytes: job.Bytes, SHA256: job.SHA256}
	found, err := a.blobs.Read(ctx, blob.Key(job.TenantID, job.ExportID))
	if err != nil {
		return err
	}
	if found != sent {
		return fmt.Errorf("%w: sent %d bytes with SHA-256 %s, found %d with %s", errMismatch, sent.Bytes, sent.SHA256, found.Bytes, found.SHA256)
	}
	var m manifest.Manifest
	if err := json.Unmarshal(job.Manifest, &m); err != nil {
		return fmt.Errorf("read the manifest of %s: %w", job.ExportID, err)
	}
	return a.inTx(ctx, func(tx pgx.Tx) error {
		expires, err := store.Complete(ctx, tx, job, keepDays*a.cfg.Day)
		if err != nil {
			return err
		}
		return a.emit(ctx, tx, job, &events.ArchiveCompleted{
			ExportID: job.ExportID, SHA256: job.SHA256, Bytes: job.Bytes, Counts: m.ActualCounts, ExpiresAt: expires,
		})
	})
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
		return ignoreLost(store.Retry(ctx, a.db, job, err.Error(), a.cfg.Backoff(job.Failures+1)))
	}
	return a.fail(ctx, job, err.Error())
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
		return a.emit(ctx, tx, job, event)
	}))
}

func ignoreLost(err error) error {
	if errors.Is(err, jobs.ErrLost) {
		return nil
	}
	return err
}
