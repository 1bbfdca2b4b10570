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

// headStart is how much earlier a job counts as asked for, per place of its tenant's plan in the catalogue. A job of the
// lowest plan waits for those of higher ones at most as long after it: nobody starves.
const headStart = 10 * time.Minute

// Claim gives the caller the next job that nobody holds, for the time of the lease, or nil. The epoch makes every later
// write of a former holder miss.
//
// A tenant has one running job at a time, and one that waits for participants' answers is passed over. Claims take turns
// by an advisory lock, until tx ends: side by side, two of them could take two jobs of one tenant, since neither sees the
// other's lease yet.
func Claim(ctx context.Context, tx pgx.Tx, lease time.Duration) (*Job, error) {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('tenure/export/claim'))`); err != nil {
		return nil, wrap("claim the next", "", err)
	}
	return one(ctx, tx, `UPDATE jobs SET epoch = epoch + 1, lease_until = now() + $1::interval,
			beat_at = NULL, rows_per_second = 0, bytes_per_second = 0,
			status = CASE WHEN status = 'pending' AND NOT cancel_requested THEN 'running' ELSE status END
		WHERE export_id = (SELECT export_id FROM jobs AS j
			WHERE (status IN ('pending', 'running', 'verifying') OR cancel_requested)
				AND lease_until <= now() AND run_after <= now()
				AND (cancel_requested OR contributions ?& participants
					AND NOT EXISTS (SELECT FROM jobs AS r WHERE r.tenant_id = j.tenant_id AND r.lease_until > now()))
			ORDER BY requested_at - rank * $2::interval, export_id LIMIT 1 FOR UPDATE OF j SKIP LOCKED)
		RETURNING `+columns, lease, headStart)
}

// smooth follows a rate: the first figure as it is, later ones so that a stall or a burst of a second does not make the
// estimate jump.
const smooth = `CASE WHEN beat_at IS NULL THEN 0
	ELSE %[1]s + (greatest(%[2]s, 0) / greatest(extract(epoch FROM now() - beat_at), 0.001) - %[1]s)
		* CASE %[1]s WHEN 0 THEN 1 ELSE 0.2 END END`

var beat = `UPDATE jobs SET lease_until = now() + $3::interval, done = $4, total = $5, content_bytes = $6, beat_at = now(),
	rows_per_second = ` + fmt.Sprintf(smooth, "rows_per_second", "$4 - done") + `,
	bytes_per_second = ` + fmt.Sprintf(smooth, "bytes_per_second", "$6 - content_bytes") + `
	WHERE export_id = $1 AND epoch = $2 RETURNING cancel_requested`

// Beat extends the lease, notes the progress and how fast it is. It tells whether somebody wants the export cancelled.
func Beat(ctx context.Context, q pg.Querier, j *Job, lease time.Duration) (cancel bool, err error) {
	err = q.QueryRow(ctx, beat, j.ExportID, j.Epoch, lease, j.Done, j.Total, j.ContentBytes).Scan(&cancel)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, jobs.ErrLost
	}
	return cancel, wrap("extend the lease of", j.ExportID, err)
}

// Overdue lists exports whose archive is due within the time and is not there, of which no operator was told, at most
// limit. One that failed is not among them when the same was asked for again and is there.
func Overdue(ctx context.Context, q pg.Querier, within time.Duration, limit int) ([]*Job, error) {
	return list(ctx, q, `SELECT `+columns+` FROM jobs AS j
		WHERE status IN ('pending', 'running', 'verifying', 'failed') AND alerted_at IS NULL AND due_by <= now() + $1::interval
			AND NOT (status = 'failed' AND subject_sha256 = '' AND EXISTS (SELECT FROM jobs AS later
				WHERE later.tenant_id = j.tenant_id AND later.requested_at > j.requested_at
					AND later.status IN ('completed', 'expired') AND later.subject_sha256 = ''))
		ORDER BY due_by LIMIT $2`, within, limit)
}

// Alerted notes that an operator is told of the export; false when another process was first.
func Alerted(ctx context.Context, q pg.Querier, exportID string) (bool, error) {
	tag, err := q.Exec(ctx, `UPDATE jobs SET alerted_at = now() WHERE export_id = $1 AND alerted_at IS NULL`, exportID)
	return tag.RowsAffected() == 1, wrap("note the alert of", exportID, err)
}
