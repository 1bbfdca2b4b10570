package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/blob"
	"tenure/services/export/internal/manifest"
	"tenure/services/export/internal/store"
	"tenure/shared/events"
)

// verify makes the object and reads it back: only what is really there counts.
func (a *App) verify(ctx context.Context, job *store.Job) error {
	key := blob.Key(job.TenantID, job.ExportID)
	if err := a.complete(ctx, job, key); err != nil {
		return err
	}
	object, err := a.blobs.Stat(ctx, key)
	if err != nil {
		return err
	}
	all := object.Stream(ctx)
	defer all.Close()
	sum, err := archive.Check(all, object.At(ctx), object.Size, job.Manifest)
	if err != nil {
		return err
	}
	job.SHA256, job.Bytes = sum, object.Size
	var m manifest.Manifest
	if err := json.Unmarshal(job.Manifest, &m); err != nil {
		return fmt.Errorf("read the manifest of %s: %w", job.ExportID, err)
	}
	return a.inTx(ctx, func(tx pgx.Tx) error {
		expires, err := store.Complete(ctx, tx, job, keepDays*a.cfg.Day)
		if err != nil {
			return err
		}
		if err := store.ForgetArchive(ctx, tx, job); err != nil {
			return err
		}
		return a.emit(ctx, tx, job, &events.ArchiveCompleted{
			ExportID: job.ExportID, SHA256: job.SHA256, Bytes: job.Bytes, Counts: m.ActualCounts, ExpiresAt: expires,
		})
	})
}

// complete makes one object of the parts. An upload that S3 does not know any more was completed by somebody, or lost:
// the reading will tell.
func (a *App) complete(ctx context.Context, job *store.Job, key string) error {
	made, err := store.GetArchive(ctx, a.db, job)
	if err != nil || made == nil {
		return err
	}
	var parts []archive.Part
	if err := json.Unmarshal(made.Parts, &parts); err != nil {
		return fmt.Errorf("read the parts of %s: %w", job.ExportID, err)
	}
	err = a.blobs.Upload(key, made.UploadID).Complete(ctx, parts)
	if errors.Is(err, blob.ErrNoUpload) {
		return nil
	}
	return err
}

// spoiled reports whether an error says that what was uploaded is no good, so that the next try must begin anew.
func spoiled(err error) bool {
	for _, reason := range []error{
		archive.ErrNotWritten, manifest.ErrIncomplete, blob.ErrNoUpload, blob.ErrOtherParts, blob.ErrNoObject,
	} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
