// Package store keeps the deletion service's rows: jobs with their leases, what was counted, holds, certificates and
// sweeps. All times are the database's.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/deletion/internal/purge"
	"tenure/shared/jobs"
	"tenure/shared/pg"
)

// Job is one step that the lifecycle asked for, or an erasure that this service set itself.
type Job struct {
	TenantID, StepID       string
	OperationID, Operation string
	Generation             int64
	Action                 string

	// The request: its event's id, version in the tenant's log, and where it came from.
	CauseID       string
	CauseVersion  int64
	CorrelationID string
	TraceParent   string

	Epoch    int64
	Failures int
}

// Asked reports whether the job is a step, whose end the lifecycle waits for.
func (j *Job) Asked() bool {
	switch j.Operation {
	case purge.OperationRetention, purge.OperationSubject, purge.OperationReapply:
		return false
	}
	return true
}

const jobColumns = `tenant_id, step_id, operation_id, operation, generation, action, cause_id, cause_version,
	correlation_id, trace_parent, epoch, failures`

// Request opens the job of a step, or opens it again when it failed; deadline nil is none. A step that is done stays
// done: its result comes back, to be answered again.
func Request(ctx context.Context, q pg.Querier, j Job, deadline *time.Time) (result json.RawMessage, done bool, err error) {
	err = q.QueryRow(ctx, `INSERT INTO jobs AS j (tenant_id, step_id, operation_id, operation, generation, action, deadline,
			cause_id, cause_version, correlation_id, trace_parent)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (tenant_id, step_id) DO UPDATE SET deadline = excluded.deadline, cause_id = excluded.cause_id,
			cause_version = excluded.cause_version, failures = 0, run_after = '-infinity',
			status = CASE j.status WHEN 'failed' THEN 'open' ELSE j.status END
		RETURNING status = 'done', result`,
		j.TenantID, j.StepID, j.OperationID, j.Operation, j.Generation, j.Action, deadline,
		j.CauseID, j.CauseVersion, j.CorrelationID, j.TraceParent).Scan(&done, &result)
	return result, done, wrap("open step", j.StepID, err)
}

// Enqueue makes the job of an erasure that the lifecycle has no step for. It is not done before due; the zero time is at
// once. A second time it changes nothing.
func Enqueue(ctx context.Context, q pg.Querier, j Job, due time.Time) error {
	_, err := q.Exec(ctx, `INSERT INTO jobs (tenant_id, step_id, operation_id, operation, generation, action,
			cause_id, cause_version, correlation_id, trace_parent, due_at, run_after)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11::timestamptz, '-infinity'), coalesce($11::timestamptz, '-infinity')) ON CONFLICT DO NOTHING`,
		j.TenantID, j.StepID, j.OperationID, j.Operation, j.Generation, j.Action,
		j.CauseID, j.CauseVersion, j.CorrelationID, j.TraceParent, orNull(due))
	return wrap("open the job of", j.OperationID, err)
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Claim gives the caller the job that has waited longest, for the time of the lease, or nil. SKIP LOCKED lets workers
// claim side by side; the epoch makes every later write of a former holder miss. A tenant's job waits while a worker may be at
// another of the tenant's, be that one dropped already: it could erase what comes behind this one.
func Claim(ctx context.Context, q pg.Querier, lease time.Duration) (*Job, error) {
	rows, err := q.Query(ctx, `UPDATE jobs SET epoch = epoch + 1, lease_until = now() + $1::interval
		WHERE (tenant_id, step_id) = (SELECT tenant_id, step_id FROM jobs j
			WHERE status = 'open' AND run_after <= now() AND lease_until <= now() AND (deadline IS NULL OR deadline > now())
			AND NOT EXISTS (SELECT FROM jobs o WHERE o.tenant_id = j.tenant_id AND o.step_id <> j.step_id
				AND o.status IN ('open', 'dropped') AND o.lease_until > now())
			ORDER BY run_after LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING `+jobColumns, lease)
	if err != nil {
		return nil, fmt.Errorf("claim a job: %w", err)
	}
	job, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Job])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim a job: %w", err)
	}
	return job, nil
}

// Standing is what speaks against going on with a job.
type Standing struct {
	// Held: a legal hold lies on the tenant.
	Held bool
	// Overdue: the time for the step is over, and nobody has asked again.
	Overdue bool
	// Early: its time has not come; it may be that the database's clock was put back.
	Early bool
}

// Renew extends the lease and tells how the job stands.
func Renew(ctx context.Context, q pg.Querier, j *Job, lease time.Duration) (s Standing, err error) {
	err = q.QueryRow(ctx, `UPDATE jobs SET lease_until = now() + $4::interval
		WHERE tenant_id = $1 AND step_id = $2 AND epoch = $3 AND status = 'open'
		RETURNING EXISTS (SELECT FROM holds WHERE holds.tenant_id = jobs.tenant_id), coalesce(deadline <= now(), false), due_at > now()`,
		j.TenantID, j.StepID, j.Epoch, lease).Scan(&s.Held, &s.Overdue, &s.Early)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, jobs.ErrLost
	}
	return s, wrap("renew the lease of step", j.StepID, err)
}

// Complete ends a job with its result.
func Complete(ctx context.Context, q pg.Querier, j *Job, result json.RawMessage) error {
	return held(ctx, q, j, `status = 'done', result = $4, error = ''`, result)
}

// Fail ends a job until the step is asked for again.
func Fail(ctx context.Context, q pg.Querier, j *Job, reason string) error {
	return held(ctx, q, j, `status = 'failed', error = $4, lease_until = '-infinity'`, reason)
}

// Retry counts a failure and lets the job be claimed again after a delay.
func Retry(ctx context.Context, q pg.Querier, j *Job, reason string, after time.Duration) error {
	return held(ctx, q, j, `failures = failures + 1, error = $4, run_after = greatest(now() + $5::interval, due_at), lease_until = '-infinity'`,
		reason, after)
}

// Postpone lets the job be claimed again after a delay, or as soon as its step is asked for again or a hold is
// released. Nothing is counted: it was nobody's failure.
func Postpone(ctx context.Context, q pg.Querier, j *Job, reason string, after time.Duration) error {
	return held(ctx, q, j, `error = $4, run_after = greatest(now() + $5::interval, due_at), lease_until = '-infinity'`, reason, after)
}

// held changes a job only while it is its worker's.
func held(ctx context.Context, q pg.Querier, j *Job, set string, args ...any) error {
	tag, err := q.Exec(ctx, `UPDATE jobs SET `+set+` WHERE tenant_id = $1 AND step_id = $2 AND epoch = $3 AND status = 'open'`,
		append([]any{j.TenantID, j.StepID, j.Epoch}, args...)...)
	if err != nil {
		return wrap("update step", j.StepID, err)
	}
	if tag.RowsAffected() == 0 {
		return jobs.ErrLost
	}
	return nil
}

// EndOperation removes what was kept for an operation that is over. A worker still at it loses its lease.
func EndOperation(ctx context.Context, q pg.Querier, tenant, operationID string) error {
	for _, table := range []string{"jobs", "erasures"} {
		if _, err := q.Exec(ctx, `DELETE FROM `+table+` WHERE tenant_id = $1 AND operation_id = $2`, tenant, operationID); err != nil {
			return wrap("end operation", operationID, err)
		}
	}
	return nil
}

func wrap(action, what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", action, what, err)
}
