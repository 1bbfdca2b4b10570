package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tenure/shared/jobs"
	"tenure/shared/pg"
)

// Archive is an archive in the making.
type Archive struct {
	// UploadID is S3's name of the upload, "" when it is not known that one was begun.
	UploadID string
	Plan     json.RawMessage
	// Parts complete the upload; nil while there are not all of them.
	Parts json.RawMessage
}

// GetArchive returns what the job's workers have made so far, or nil.
func GetArchive(ctx context.Context, q pg.Querier, j *Job) (*Archive, error) {
	var a Archive
	err := q.QueryRow(ctx, `SELECT upload_id, plan, parts FROM archives WHERE export_id = $1`, j.ExportID).
		Scan(&a.UploadID, &a.Plan, &a.Parts)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &a, wrap("read the archive of", j.ExportID, err)
}

// BeginArchive notes the plan of an archive whose upload is about to be begun; what was made before counts no more.
func BeginArchive(ctx context.Context, q pg.Querier, j *Job, plan any) error {
	return fenced(ctx, q, j, `, forgotten AS (DELETE FROM checkpoints USING held WHERE checkpoints.export_id = $1)
		INSERT INTO archives (export_id, plan) SELECT $1, $3::json FROM held
		ON CONFLICT (export_id) DO UPDATE SET upload_id = '', plan = excluded.plan, parts = NULL`, plan)
}

// SetUpload notes the upload that was begun.
func SetUpload(ctx context.Context, q pg.Querier, j *Job, uploadID string) error {
	return fenced(ctx, q, j, `UPDATE archives SET upload_id = $3 FROM held WHERE archives.export_id = $1`, uploadID)
}

// SetPlan replaces the plan of an archive that goes on.
func SetPlan(ctx context.Context, q pg.Querier, j *Job, plan any) error {
	return fenced(ctx, q, j, `UPDATE archives SET plan = $3::json FROM held WHERE archives.export_id = $1`, plan)
}

// AddCheckpoint stores the n-th checkpoint of a lane.
func AddCheckpoint(ctx context.Context, q pg.Querier, j *Job, lane, n int, checkpoint any) error {
	return fenced(ctx, q, j, `INSERT INTO checkpoints (export_id, lane, n, checkpoint) SELECT $1, $3::int, $4::int, $5::json FROM held`,
		lane, n, checkpoint)
}

// Checkpoints lists those of an archive, by lane and number.
func Checkpoints(ctx context.Context, q pg.Querier, j *Job) ([]json.RawMessage, error) {
	rows, err := q.Query(ctx, `SELECT checkpoint FROM checkpoints WHERE export_id = $1 ORDER BY lane, n`, j.ExportID)
	if err != nil {
		return nil, wrap("list the checkpoints of", j.ExportID, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	return all, wrap("list the checkpoints of", j.ExportID, err)
}

// Resume forgets the checkpoints of each lane from the given number on, which are to be made again, and counts what is
// redone. The job's progress is that of what is kept.
func Resume(ctx context.Context, q pg.Querier, j *Job, kept []int, redone int64) error {
	return fenced(ctx, q, j, `, forgotten AS (DELETE FROM checkpoints USING held, unnest($3::int[]) WITH ORDINALITY AS kept (n, lane)
			WHERE checkpoints.export_id = $1 AND checkpoints.lane = kept.lane - 1 AND checkpoints.n >= kept.n)
		UPDATE jobs SET redone_bytes = redone_bytes + $4::bigint, done = $5, content_bytes = $6 FROM held WHERE jobs.export_id = $1`,
		kept, redone, j.Done, j.ContentBytes)
}

// Uploaded notes that all parts are there. Whoever goes on with the job has only to complete the upload, as often as it
// takes, and to read the archive back.
func Uploaded(ctx context.Context, q pg.Querier, j *Job, parts any) error {
	return fenced(ctx, q, j, `, uploaded AS (UPDATE archives SET parts = $3::json FROM held WHERE archives.export_id = $1)
		UPDATE jobs SET status = 'verifying', manifest = $4::json, snapshot_at = ($4::json->>'snapshot_at')::timestamptz,
			done = $5, total = $6, content_bytes = $7
		FROM held WHERE jobs.export_id = $1`, parts, j.Manifest, j.Done, j.Total, j.ContentBytes)
}

// ForgetArchive removes what is known of an archive in the making: it is whole, or not wanted any more. It belongs into
// the transaction of the job's update.
func ForgetArchive(ctx context.Context, q pg.Querier, j *Job) error {
	_, err := q.Exec(ctx, `DELETE FROM archives WHERE export_id = $1`, j.ExportID)
	return wrap("forget the archive of", j.ExportID, err)
}

// SpoilArchive makes the next worker begin anew: what is there is no good. The upload is still known, to be aborted.
func SpoilArchive(ctx context.Context, q pg.Querier, j *Job) error {
	return fenced(ctx, q, j, `, spoiled AS (UPDATE archives SET plan = 'null', parts = NULL FROM held WHERE archives.export_id = $1)
		UPDATE jobs SET status = 'pending' FROM held WHERE jobs.export_id = $1`)
}

// Uploads tells the upload of each of the exports that is open: "" when its worker may just be beginning one.
func Uploads(ctx context.Context, q pg.Querier, exportIDs []string) (map[string]string, error) {
	rows, err := q.Query(ctx, `SELECT export_id, coalesce(upload_id, '') FROM jobs LEFT JOIN archives USING (export_id)
		WHERE export_id = ANY($1) AND status IN ('pending', 'running', 'verifying')`, exportIDs)
	if err != nil {
		return nil, fmt.Errorf("list the uploads of open exports: %w", err)
	}
	uploads := map[string]string{}
	var exportID, uploadID string
	_, err = pgx.ForEachRow(rows, []any{&exportID, &uploadID}, func() error {
		uploads[exportID] = uploadID
		return nil
	})
	return uploads, err
}

// fenced runs a statement over held, which is one row while the job is its worker's, and stays so until the statement has
// committed: a former holder writes nothing.
func fenced(ctx context.Context, q pg.Querier, j *Job, sql string, args ...any) error {
	tag, err := q.Exec(ctx, `WITH held AS (SELECT FROM jobs WHERE export_id = $1 AND epoch = $2 FOR NO KEY UPDATE) `+sql,
		append([]any{j.ExportID, j.Epoch}, args...)...)
	if err != nil {
		return wrap("update the archive of", j.ExportID, err)
	}
	if tag.RowsAffected() == 0 {
		return jobs.ErrLost
	}
	return nil
}
