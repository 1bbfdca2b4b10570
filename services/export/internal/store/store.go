// Package store keeps the exports' rows: jobs with their leases, and what is kept of the events that pass. All times are
// the database's.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/shared/fault"
	"tenure/shared/jobs"
	"tenure/shared/pg"
)

// Status of an export.
type Status string

// The statuses, in the order of an export's life.
const (
	Pending   Status = "pending"
	Running   Status = "running"
	Verifying Status = "verifying"
	Completed Status = "completed"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
	Expired   Status = "expired"
)

// outageDelay is how long to wait while the database is away.
const outageDelay = time.Second

// Job is one export.
type Job struct {
	ExportID, TenantID         string
	RequestedAt                time.Time
	CorrelationID, CausationID string
	// Since and Include are what was asked for: nil and none are all.
	Since                     *time.Time
	Include                   []string
	Status                    Status
	CancelRequested           bool
	Epoch                     int64
	Failures                  int
	Error                     string
	Done, Total, ContentBytes int64
	SHA256                    string `db:"sha256"`
	Bytes                     int64
	Manifest                  json.RawMessage
	ExpiresAt                 *time.Time
}

const columns = `export_id, tenant_id, requested_at, correlation_id, causation_id, since, include, status, cancel_requested, epoch, failures,
	error, done, total, content_bytes, sha256, bytes, manifest, expires_at`

// Enqueue adds a job that waits for a worker. One that is there already stays as it is.
func Enqueue(ctx context.Context, q pg.Querier, j Job) error {
	_, err := q.Exec(ctx, `INSERT INTO jobs (export_id, tenant_id, requested_at, correlation_id, causation_id, since, include)
		VALUES ($1, $2, $3, $4, $5, $6, coalesce($7::text[], '{}')) ON CONFLICT DO NOTHING`,
		j.ExportID, j.TenantID, j.RequestedAt, j.CorrelationID, j.CausationID, j.Since, j.Include)
	return wrap("enqueue", j.ExportID, err)
}

// Get returns a job, or nil when there is none.
func Get(ctx context.Context, q pg.Querier, exportID string) (*Job, error) {
	return one(ctx, q, `SELECT `+columns+` FROM jobs WHERE export_id = $1`, exportID)
}

// Claim gives the caller the oldest job that nobody holds, for the time of the lease, or nil. SKIP LOCKED lets workers
// claim side by side; the epoch makes every later write of a former holder miss.
func Claim(ctx context.Context, q pg.Querier, lease time.Duration) (*Job, error) {
	return one(ctx, q, `UPDATE jobs SET epoch = epoch + 1, lease_until = now() + $1::interval,
			status = CASE WHEN status = 'pending' AND NOT cancel_requested THEN 'running' ELSE status END
		WHERE export_id = (SELECT export_id FROM jobs
			WHERE (status IN ('pending', 'running', 'verifying') OR cancel_requested)
				AND lease_until <= now() AND run_after <= now()
			ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING `+columns, lease)
}

func one(ctx context.Context, q pg.Querier, sql string, args ...any) (*Job, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read an export: %w", err)
	}
	job, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Job])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read an export: %w", err)
	}
	return job, nil
}

// Beat extends the lease and notes the progress. It tells whether somebody wants the export cancelled.
func Beat(ctx context.Context, q pg.Querier, j *Job, lease time.Duration) (cancel bool, err error) {
	err = q.QueryRow(ctx, `UPDATE jobs SET lease_until = now() + $3::interval, done = $4, total = $5, content_bytes = $6
		WHERE export_id = $1 AND epoch = $2 RETURNING cancel_requested`,
		j.ExportID, j.Epoch, lease, j.Done, j.Total, j.ContentBytes).Scan(&cancel)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, jobs.ErrLost
	}
	return cancel, wrap("extend the lease of", j.ExportID, err)
}

// Uploaded notes what was uploaded. Whoever goes on with the job has only to read it back.
func Uploaded(ctx context.Context, q pg.Querier, j *Job) error {
	return held(ctx, q, j, `UPDATE jobs SET status = 'verifying', sha256 = $3, bytes = $4, manifest = $5
		WHERE export_id = $1 AND epoch = $2`, j.SHA256, j.Bytes, j.Manifest)
}

// Complete ends a job whose archive was found whole, and sets when it expires. A cancellation that came first wins.
func Complete(ctx context.Context, q pg.Querier, j *Job, keep time.Duration) (expires time.Time, err error) {
	err = q.QueryRow(ctx, `UPDATE jobs SET status = 'completed', error = '', lease_until = '-infinity',
			done = $3, total = $4, content_bytes = $5, expires_at = now() + $6::interval
		WHERE export_id = $1 AND epoch = $2 AND NOT cancel_requested RETURNING expires_at`,
		j.ExportID, j.Epoch, j.Done, j.Total, j.ContentBytes, keep).Scan(&expires)
	if errors.Is(err, pgx.ErrNoRows) {
		return expires, jobs.ErrLost
	}
	return expires.UTC(), wrap("complete", j.ExportID, err)
}

// Fail ends a job for good.
func Fail(ctx context.Context, q pg.Querier, j *Job, reason string) error {
	return held(ctx, q, j, `UPDATE jobs SET status = 'failed', error = $3, failures = failures + 1, lease_until = '-infinity',
		cancel_requested = false, sha256 = '', bytes = 0, manifest = NULL WHERE export_id = $1 AND epoch = $2`, reason)
}

// Cancel ends a job whose parts were removed.
func Cancel(ctx context.Context, q pg.Querier, j *Job) error {
	return held(ctx, q, j, `UPDATE jobs SET status = 'cancelled', cancel_requested = false, error = '', lease_until = '-infinity',
		sha256 = '', bytes = 0, manifest = NULL, expires_at = NULL WHERE export_id = $1 AND epoch = $2`)
}

// Retry lets a job be claimed again after a delay, from its beginning, and counts a failure.
func Retry(ctx context.Context, q pg.Querier, j *Job, reason string, after time.Duration) error {
	return held(ctx, q, j, `UPDATE jobs SET status = 'pending', error = $3, failures = failures + 1, done = 0, content_bytes = 0,
		run_after = now() + $4::interval, lease_until = '-infinity' WHERE export_id = $1 AND epoch = $2`, reason, after)
}

// Postpone lets a job be claimed again after a delay, to go on where it is; nothing is counted, since a part outside is
// at fault.
func Postpone(ctx context.Context, q pg.Querier, j *Job, reason string, after time.Duration) error {
	return held(ctx, q, j, `UPDATE jobs SET status = CASE status WHEN 'running' THEN 'pending' ELSE status END, error = $3,
		run_after = now() + $4::interval, lease_until = '-infinity' WHERE export_id = $1 AND epoch = $2`, reason, after)
}

// held runs an update that finds the job only while it is its worker's.
func held(ctx context.Context, q pg.Querier, j *Job, sql string, args ...any) error {
	tag, err := q.Exec(ctx, sql, append([]any{j.ExportID, j.Epoch}, args...)...)
	if err != nil {
		return wrap("update", j.ExportID, err)
	}
	if tag.RowsAffected() == 0 {
		return jobs.ErrLost
	}
	return nil
}

// RequestCancel asks the worker to stop; an export that has ended otherwise than by success stays as it is.
func RequestCancel(ctx context.Context, q pg.Querier, exportID string) error {
	_, err := q.Exec(ctx, `UPDATE jobs SET cancel_requested = true, run_after = '-infinity'
		WHERE export_id = $1 AND status IN ('pending', 'running', 'verifying', 'completed')`, exportID)
	return wrap("cancel", exportID, err)
}

// Due lists exports that have expired, at most limit.
func Due(ctx context.Context, q pg.Querier, limit int) ([]*Job, error) {
	return list(ctx, q, `SELECT `+columns+` FROM jobs WHERE status = 'completed' AND expires_at <= now()
		ORDER BY expires_at LIMIT $1`, limit)
}

// WithArchive lists a tenant's exports that have an archive.
func WithArchive(ctx context.Context, q pg.Querier, tenant string) ([]*Job, error) {
	return list(ctx, q, `SELECT `+columns+` FROM jobs WHERE status = 'completed' AND tenant_id = $1 ORDER BY requested_at`, tenant)
}

func list(ctx context.Context, q pg.Querier, sql string, args ...any) ([]*Job, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("list exports: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToAddrOfStructByName[Job])
}

// Expire notes that the archive was removed; false when another process was first.
func Expire(ctx context.Context, q pg.Querier, exportID string) (bool, error) {
	tag, err := q.Exec(ctx, `UPDATE jobs SET status = 'expired', cancel_requested = false, manifest = NULL
		WHERE export_id = $1 AND status = 'completed'`, exportID)
	return tag.RowsAffected() == 1, wrap("expire", exportID, err)
}

// Uploading tells which of the exports a worker may be uploading now.
func Uploading(ctx context.Context, q pg.Querier, exportIDs []string) (map[string]bool, error) {
	rows, err := q.Query(ctx, `SELECT export_id FROM jobs WHERE export_id = ANY($1) AND status = 'running'`, exportIDs)
	if err != nil {
		return nil, fmt.Errorf("list running exports: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	running := make(map[string]bool, len(ids))
	for _, id := range ids {
		running[id] = true
	}
	return running, err
}

func wrap(action, exportID string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s export %s: %w", action, exportID, err)
	if pg.IsUnavailable(err) {
		return fault.RetryAfter(err, outageDelay)
	}
	return err
}
