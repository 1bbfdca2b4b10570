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
	// Since and Include are what was asked for: nil and none are all. SinceExport names an earlier export in place of a time.
	Since       *time.Time
	SinceExport string
	Include     []string
	// EncryptTo is an age recipient; Parquet are the kinds that are wanted in that form.
	EncryptTo string
	Parquet   []string
	// Participants are asked for files; Contributions are what those that have answered said.
	Participants  []string
	Contributions map[string]Contribution
	// Subject is the key of the one person whose data is wanted: personal, and gone when the job ends. SubjectSHA256 stays.
	Subject       string
	SubjectSHA256 string `db:"subject_sha256"`
	// Rank is the place of the tenant's plan in the catalogue.
	Rank                      int
	DueBy                     time.Time
	SnapshotAt                *time.Time
	Status                    Status
	CancelRequested           bool
	Epoch                     int64
	Failures                  int
	Error                     string
	Done, Total, ContentBytes int64
	// RedoneBytes of rows had to be read again after a kill.
	RedoneBytes int64
	// Rates of the reading that goes on; 0 until two heartbeats have told.
	RowsPerSecond, BytesPerSecond float64
	SHA256                        string `db:"sha256"`
	Bytes                         int64
	Manifest                      json.RawMessage
	ExpiresAt                     *time.Time
}

// Ended reports whether nothing more happens to the job, but that its archive expires.
func (j *Job) Ended() bool {
	return j.Status != Pending && j.Status != Running && j.Status != Verifying
}

const columns = `export_id, tenant_id, requested_at, correlation_id, causation_id, since, since_export, include, encrypt_to, parquet,
	participants, contributions, subject, subject_sha256, rank, due_by, snapshot_at, status, cancel_requested, epoch, failures,
	error, done, total, content_bytes, redone_bytes, rows_per_second, bytes_per_second, sha256, bytes, manifest, expires_at`

// Enqueue adds a job that waits for a worker. One that is there already stays as it is.
func Enqueue(ctx context.Context, q pg.Querier, j Job) error {
	_, err := insert(ctx, q, j, nil)
	return wrap("enqueue", j.ExportID, err)
}

// insert adds a job, and tells whether there was none with its id or request key.
func insert(ctx context.Context, q pg.Querier, j Job, requestKey *string) (added bool, err error) {
	tag, err := q.Exec(ctx, `INSERT INTO jobs (export_id, tenant_id, requested_at, correlation_id, causation_id, since, since_export, include,
			encrypt_to, parquet, participants, subject, subject_sha256, rank, due_by, request_key)
		VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8::text[], '{}'), $9, coalesce($10::text[], '{}'), coalesce($11::text[], '{}'),
			$12, $13, $14, $15, $16) ON CONFLICT DO NOTHING`,
		j.ExportID, j.TenantID, j.RequestedAt, j.CorrelationID, j.CausationID, j.Since, j.SinceExport, j.Include,
		j.EncryptTo, j.Parquet, j.Participants, j.Subject, j.SubjectSHA256, j.Rank, j.DueBy, requestKey)
	return tag.RowsAffected() == 1, err
}

// Get returns a job, or nil when there is none.
func Get(ctx context.Context, q pg.Querier, exportID string) (*Job, error) {
	return one(ctx, q, `SELECT `+columns+` FROM jobs WHERE export_id = $1`, exportID)
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

// forgetRequest removes what a job needs no more once it has ended: the person's key, and links that may hold secrets.
const forgetRequest = `subject = '', contributions = '{}'`

// Complete ends a job whose archive was found whole, and sets when it expires. A cancellation that came first wins.
func Complete(ctx context.Context, q pg.Querier, j *Job, keep time.Duration) (expires time.Time, err error) {
	err = q.QueryRow(ctx, `UPDATE jobs SET status = 'completed', error = '', lease_until = '-infinity',
			sha256 = $3, bytes = $4, expires_at = now() + $5::interval,
		`+forgetRequest+` WHERE export_id = $1 AND epoch = $2 AND NOT cancel_requested RETURNING expires_at`,
		j.ExportID, j.Epoch, j.SHA256, j.Bytes, keep).Scan(&expires)
	if errors.Is(err, pgx.ErrNoRows) {
		return expires, jobs.ErrLost
	}
	return expires.UTC(), wrap("complete", j.ExportID, err)
}

// Fail ends a job for good.
func Fail(ctx context.Context, q pg.Querier, j *Job, reason string) error {
	return held(ctx, q, j, `UPDATE jobs SET status = 'failed', error = $3, failures = failures + 1, lease_until = '-infinity',
		cancel_requested = false, sha256 = '', bytes = 0, manifest = NULL, `+forgetRequest+` WHERE export_id = $1 AND epoch = $2`, reason)
}

// Cancel ends a job whose parts were removed.
func Cancel(ctx context.Context, q pg.Querier, j *Job) error {
	return held(ctx, q, j, `UPDATE jobs SET status = 'cancelled', cancel_requested = false, error = '', lease_until = '-infinity',
		sha256 = '', bytes = 0, manifest = NULL, snapshot_at = NULL, expires_at = NULL, `+forgetRequest+` WHERE export_id = $1 AND epoch = $2`)
}

// Retry lets a job be claimed again after a delay, to go on where it is, and counts a failure.
func Retry(ctx context.Context, q pg.Querier, j *Job, reason string, after time.Duration) error {
	return held(ctx, q, j, `UPDATE jobs SET status = CASE status WHEN 'running' THEN 'pending' ELSE status END, error = $3,
		failures = failures + 1, run_after = now() + $4::interval, lease_until = '-infinity' WHERE export_id = $1 AND epoch = $2`, reason, after)
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
