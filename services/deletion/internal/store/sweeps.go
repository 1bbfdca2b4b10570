package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/shared/jobs"
	"tenure/shared/pg"
)

// Sweep is one later look at the stores of a purged tenant.
type Sweep struct {
	TenantID               string
	Generation             int64
	Day                    int
	CauseID, CorrelationID string
}

// ScheduleSweep arms a sweep. A second time it changes nothing.
func ScheduleSweep(ctx context.Context, q pg.Querier, s Sweep, due time.Time) error {
	_, err := q.Exec(ctx, `INSERT INTO sweeps (tenant_id, generation, day, cause_id, correlation_id, due_at)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, s.TenantID, s.Generation, s.Day, s.CauseID, s.CorrelationID, due)
	return wrap("schedule a sweep of", s.TenantID, err)
}

// CancelSweeps disarms all sweeps of a tenant that came back: what is there now is its own.
func CancelSweeps(ctx context.Context, q pg.Querier, tenant string) error {
	_, err := q.Exec(ctx, `DELETE FROM sweeps WHERE tenant_id = $1`, tenant)
	return wrap("cancel the sweeps of", tenant, err)
}

// ClaimSweep gives the caller a sweep that is due, or nil. If it is not done by then, another may claim it after the
// lease.
func ClaimSweep(ctx context.Context, q pg.Querier, lease time.Duration) (*Sweep, error) {
	rows, err := q.Query(ctx, `UPDATE sweeps SET run_after = now() + $1::interval
		WHERE (tenant_id, generation, day) = (SELECT tenant_id, generation, day FROM sweeps
			WHERE swept_at IS NULL AND due_at <= now() AND run_after <= now()
			ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING tenant_id, generation, day, cause_id, correlation_id`, lease)
	if err != nil {
		return nil, fmt.Errorf("claim a sweep: %w", err)
	}
	sweep, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[Sweep])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("claim a sweep: %w", err)
	}
	return sweep, nil
}

// Swept ends a sweep. It fails with jobs.ErrLost when the tenant came back meanwhile, or another worker was first.
func Swept(ctx context.Context, q pg.Querier, s *Sweep) error {
	tag, err := q.Exec(ctx, `UPDATE sweeps SET swept_at = now() WHERE tenant_id = $1 AND generation = $2 AND day = $3 AND swept_at IS NULL`,
		s.TenantID, s.Generation, s.Day)
	if err == nil && tag.RowsAffected() == 0 {
		return jobs.ErrLost
	}
	return wrap("end a sweep of", s.TenantID, err)
}
