package app

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"filippo.io/age"

	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/blob"
	"tenure/services/export/internal/collect"
	"tenure/services/export/internal/manifest"
	"tenure/services/export/internal/store"
	"tenure/shared/fault"
)

// sideBySide is how many lanes of one archive are read at the same time: while one is uploaded and another compressed, the
// third keeps the store busy.
const sideBySide = 3

// write uploads everything that the tenant has, but for what an earlier holder of the job uploaded and is still so.
func (a *App) write(ctx context.Context, job *store.Job, l *lease) error {
	from, err := a.sources(ctx, job)
	if err != nil {
		return err
	}
	options := archive.Options{Modified: job.RequestedAt}
	if job.EncryptTo != "" {
		if options.EncryptTo, err = age.ParseX25519Recipient(job.EncryptTo); err != nil {
			return fault.Permanent(fmt.Errorf("encrypt_to is no age recipient: %w", err))
		}
	}
	all, err := collect.Open(ctx, from.stores, collect.Wanted{
		ExportID: job.ExportID, Of: from.scope, Since: from.since, Kinds: job.Include, Parquet: job.Parquet,
		Encrypted: job.EncryptTo != "", SubjectSHA256: job.SubjectSHA256, Without: from.without,
	})
	if err != nil {
		return err
	}
	defer all.Close()
	l.total.Store(manifest.Total(all.Expected()))
	upload, resumed, err := a.upload(ctx, job, all)
	if err != nil {
		return err
	}
	l.reading.Store(all)
	made, err := all.Write(ctx, resumed, collect.Target{
		Upload: upload, Options: options, SideBySide: sideBySide,
		Save: func(ctx context.Context, cp collect.Checkpoint) error {
			return store.AddCheckpoint(ctx, a.db, job, cp.Lane, cp.N, cp)
		},
	})
	if err != nil {
		return err
	}
	job.Done, job.Total, job.ContentBytes = l.progress()
	job.Manifest = made.JSON
	return store.Uploaded(ctx, a.db, job, made.Parts)
}

// upload goes on with the upload that there is, or begins one.
func (a *App) upload(ctx context.Context, job *store.Job, all *collect.Collection) (*blob.Upload, collect.Resumed, error) {
	key := blob.Key(job.TenantID, job.ExportID)
	before, err := store.GetArchive(ctx, a.db, job)
	if err != nil {
		return nil, collect.Resumed{}, err
	}
	if before == nil {
		before = &store.Archive{}
	}
	resumed, ok, err := a.resume(ctx, job, before, all)
	if err != nil {
		return nil, resumed, err
	}
	if ok {
		return a.blobs.Upload(key, before.UploadID), resumed, a.redo(ctx, job, resumed)
	}
	if resumed, err = all.Begin(ctx, sideBySide); err != nil {
		return nil, resumed, err
	}
	if err := store.BeginArchive(ctx, a.db, job, resumed.Plan); err != nil {
		return nil, resumed, err
	}
	if before.UploadID != "" {
		if err := a.blobs.Upload(key, before.UploadID).Abort(ctx); err != nil {
			return nil, resumed, err
		}
	}
	upload, err := a.blobs.Begin(ctx, key)
	if err != nil {
		return nil, resumed, err
	}
	if err := store.SetUpload(ctx, a.db, job, upload.ID()); err != nil {
		return nil, resumed, err
	}
	return upload, resumed, a.redo(ctx, job, resumed)
}

// resume finds what can be kept of what was uploaded before.
func (a *App) resume(ctx context.Context, job *store.Job, before *store.Archive, all *collect.Collection) (r collect.Resumed, ok bool, err error) {
	if before.UploadID == "" {
		return r, false, nil
	}
	var plan *collect.Plan // none when what was uploaded is no good
	if err := json.Unmarshal(before.Plan, &plan); err != nil {
		return r, false, fmt.Errorf("read the plan of %s: %w", job.ExportID, err)
	}
	if plan == nil {
		return r, false, nil
	}
	stored, err := store.Checkpoints(ctx, a.db, job)
	if err != nil {
		return r, false, err
	}
	checkpoints := make([]collect.Checkpoint, len(stored))
	for i, body := range stored {
		if err := json.Unmarshal(body, &checkpoints[i]); err != nil {
			return r, false, fmt.Errorf("read checkpoint %d of %s: %w", i, job.ExportID, err)
		}
	}
	if r, ok, err = all.Resume(ctx, *plan, checkpoints); err != nil || !ok || !r.Replanned {
		return r, ok, err
	}
	return r, true, store.SetPlan(ctx, a.db, job, r.Plan)
}

// redo notes what is kept, and what has to be read again: all that the last heartbeat saw beyond it.
func (a *App) redo(ctx context.Context, job *store.Job, r collect.Resumed) error {
	if job.Epoch == 1 {
		return nil
	}
	rows, bytes := r.Size()
	redone := max(job.ContentBytes-bytes, 0)
	job.Done, job.ContentBytes = rows, bytes
	kept := make([]int, len(r.Kept))
	for i := range r.Kept {
		kept[i] = len(r.Kept[i])
	}
	slog.InfoContext(ctx, "an export goes on", "export", job.ExportID, "tenant", job.TenantID, "kept_bytes", bytes, "redone_bytes", redone)
	return store.Resume(ctx, a.db, job, kept, redone)
}
