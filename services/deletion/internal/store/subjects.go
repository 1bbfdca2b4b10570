package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/deletion/internal/purge"
	"tenure/shared/pg"
)

// SubjectErasure is a request to erase one person's rows in a tenant.
type SubjectErasure struct {
	RequestID string
	TenantID  string
	// Subject is the person's key, "" once the request has ended.
	Subject       string
	ContentSHA256 []byte
	Reason        string
	RequestedBy   string
	RequestedAt   time.Time
	DueBy         time.Time
	// Key is the caller's idempotency key; "" is none.
	Key string

	Status Status
	// Document is the signed receipt of a completed request.
	Document []byte
	EndedAt  *time.Time
}

// Status of a request.
type Status string

// A request is open until it is done, or until the whole tenant was erased.
const (
	StatusOpen       Status = "open"
	StatusCompleted  Status = "completed"
	StatusSuperseded Status = "superseded"
)

const subjectColumns = `request_id, tenant_id, coalesce(subject, '') AS subject, content_sha256, reason, requested_by, requested_at, due_by,
	coalesce(idempotency_key, '') AS key, status, document, ended_at`

// OpenSubjectErasure stores a request; false when its tenant is unknown or gone, or when the key was used before.
func OpenSubjectErasure(ctx context.Context, q pg.Querier, s SubjectErasure) (opened bool, err error) {
	tag, err := q.Exec(ctx, `INSERT INTO subject_erasures (request_id, tenant_id, subject, content_sha256, reason, requested_by,
			requested_at, due_by, idempotency_key)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, nullif($9, '')
		WHERE EXISTS (SELECT FROM chains WHERE tenant_id = $2) AND NOT EXISTS (SELECT FROM gone WHERE tenant_id = $2)
		ON CONFLICT DO NOTHING`,
		s.RequestID, s.TenantID, s.Subject, s.ContentSHA256, s.Reason, s.RequestedBy, s.RequestedAt, s.DueBy, s.Key)
	if err != nil {
		return false, wrap("store the request", s.RequestID, err)
	}
	return tag.RowsAffected() == 1, nil
}

// SubjectErasureOf returns a request; nil when there is none.
func SubjectErasureOf(ctx context.Context, q pg.Querier, requestID string) (*SubjectErasure, error) {
	return subjectErasure(ctx, q, `request_id = $1`, requestID)
}

// SubjectErasureByKey returns the request that was made under an idempotency key; nil when there is none.
func SubjectErasureByKey(ctx context.Context, q pg.Querier, tenant, key string) (*SubjectErasure, error) {
	return subjectErasure(ctx, q, `tenant_id = $1 AND idempotency_key = $2`, tenant, key)
}

func subjectErasure(ctx context.Context, q pg.Querier, where string, args ...any) (*SubjectErasure, error) {
	rows, err := q.Query(ctx, `SELECT `+subjectColumns+` FROM subject_erasures WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read the erasure of a subject: %w", err)
	}
	s, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[SubjectErasure])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the erasure of a subject: %w", err)
	}
	return s, nil
}

// Progress tells how the job of an erasure stands that the lifecycle has no step for: what it waits for, and how often it
// failed.
func Progress(ctx context.Context, q pg.Querier, tenant, operationID string) (begun bool, waitsFor string, err error) {
	err = q.QueryRow(ctx, `SELECT epoch > 0, error FROM jobs WHERE tenant_id = $1 AND operation_id = $2`, tenant, operationID).Scan(&begun, &waitsFor)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, "", nil
	}
	return begun, waitsFor, wrap("read the job of", operationID, err)
}

// EndSubjectErasure completes a request with its signed receipt and forgets the person's key.
func EndSubjectErasure(ctx context.Context, q pg.Querier, requestID string, receipt []byte) error {
	_, err := q.Exec(ctx, `UPDATE subject_erasures SET status = 'completed', document = $2, subject = NULL, ended_at = now()
		WHERE request_id = $1`, requestID, receipt)
	return wrap("end the request", requestID, err)
}

// SupersedeSubjectErasures ends what is still open when the whole tenant was erased, and forgets what people wrote.
func SupersedeSubjectErasures(ctx context.Context, q pg.Querier, tenant string) error {
	_, err := q.Exec(ctx, `UPDATE subject_erasures SET reason = '', subject = NULL, ended_at = coalesce(ended_at, now()),
		status = CASE status WHEN 'open' THEN 'superseded' ELSE status END WHERE tenant_id = $1`, tenant)
	return wrap("end the requests of", tenant, err)
}

// WarnOfSubjectErasure marks a request that is open though its deadline is less than ahead away, once each, and returns
// it; nil when there is none.
func WarnOfSubjectErasure(ctx context.Context, q pg.Querier, ahead time.Duration) (*purge.Subject, error) {
	var s purge.Subject
	err := q.QueryRow(ctx, `UPDATE subject_erasures SET warned_at = now() WHERE request_id = (SELECT request_id FROM subject_erasures
			WHERE status = 'open' AND warned_at IS NULL AND due_by <= now() + $1::interval ORDER BY due_by LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING request_id, tenant_id, requested_at, due_by`, ahead).Scan(&s.RequestID, &s.Tenant, &s.RequestedAt, &s.DueBy)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &s, wrap("look for requests that are", "late", err)
}
