package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/deletion/internal/purge"
	"tenure/shared/jobs"
	"tenure/shared/pg"
)

// SaveInventory writes down what a store holds, what of it is erased and what stays, before the job erases anything.
func SaveInventory(ctx context.Context, q pg.Querier, j *Job, s purge.Store) error {
	return ours(ctx, q, j, `INSERT INTO erasures (tenant_id, operation_id, store, kind, targets, class, stays, basis, until, before, counted_at)
		SELECT tenant_id, operation_id, $4, $5, $6, $7, $8, $9, $10, $11, now() FROM jobs
		WHERE tenant_id = $1 AND step_id = $2 AND epoch = $3 AND status = 'open'`,
		s.Name, s.Kind, s.Targets, s.Class, s.Stays, s.Basis, s.Until, s.Before)
}

// Look is how far the erasure of a store is, by the database's clock.
type Look struct {
	// SinceErased is how long ago it was last told to erase, nil when it never was in this operation.
	SinceErased *time.Duration
	// SinceEmpty is for how long every look has found it empty, nil when the last one did not.
	SinceEmpty *time.Duration
}

// LastLook reads it.
func LastLook(ctx context.Context, q pg.Querier, j *Job, store string) (l Look, err error) {
	err = q.QueryRow(ctx, `SELECT now() - erased_at, now() - empty_since FROM erasures
		WHERE tenant_id = $1 AND operation_id = $2 AND store = $3`, j.TenantID, j.OperationID, store).Scan(&l.SinceErased, &l.SinceEmpty)
	return l, wrap("read the last look at", store, err)
}

// Begin records that a store is about to be erased: what was found since the inventory counts no more until the next look.
func Begin(ctx context.Context, q pg.Querier, j *Job, store string) error {
	return ours(ctx, q, j, change(`erased_at = now(), after = NULL, read_at = NULL, empty_since = NULL`), store)
}

// Found records what a look at a store found.
func Found(ctx context.Context, q pg.Querier, j *Job, store string, found int64) error {
	return ours(ctx, q, j, change(`after = $5::bigint, read_at = now(), empty_since = CASE WHEN $5 = 0 THEN coalesce(e.empty_since, now()) END`),
		store, found)
}

// change is an update of the row of the store $4.
func change(set string) string {
	return `UPDATE erasures e SET ` + set + ` FROM jobs j
		WHERE j.tenant_id = $1 AND j.step_id = $2 AND j.epoch = $3 AND j.status = 'open'
		AND (e.tenant_id, e.operation_id, e.store) = (j.tenant_id, j.operation_id, $4)`
}

// ours runs a statement that finds the job only while it is its worker's: a former one must not overwrite what a later
// look found.
func ours(ctx context.Context, q pg.Querier, j *Job, sql string, args ...any) error {
	tag, err := q.Exec(ctx, sql, append([]any{j.TenantID, j.StepID, j.Epoch}, args...)...)
	if err != nil {
		return fmt.Errorf("store what was found in %s: %w", args[0], err)
	}
	if tag.RowsAffected() == 0 {
		return jobs.ErrLost
	}
	return nil
}

// FoundByParticipant records what a participant told about its own store; before nil is: nothing. What it said to keep stays
// when a later answer, to the look whether all is gone, says nothing of it.
func FoundByParticipant(ctx context.Context, q pg.Querier, tenant, operationID string, s purge.Store) error {
	kept := s.Kept
	if kept == nil {
		kept = []purge.Exception{}
	}
	_, err := q.Exec(ctx, `INSERT INTO erasures AS e (tenant_id, operation_id, store, before, after, kept, read_at)
		VALUES ($1, $2, $3, $4, $5, $6, now())
		ON CONFLICT (tenant_id, operation_id, store) DO UPDATE SET before = coalesce(e.before, excluded.before),
			after = excluded.after, read_at = excluded.read_at, kept = CASE excluded.kept WHEN '[]' THEN e.kept ELSE excluded.kept END`,
		tenant, operationID, s.Name, s.Before, s.After, kept)
	return wrap("count", s.Name, err)
}

// Counted returns what was written down and found of each store in an operation, by the stores' names.
func Counted(ctx context.Context, q pg.Querier, tenant, operationID string) ([]purge.Store, error) {
	rows, err := q.Query(ctx, `SELECT store, kind, targets, class, stays, basis, until, before, coalesce(counted_at, '0001-01-01Z'), after,
		coalesce(read_at, '0001-01-01Z'), kept FROM erasures WHERE tenant_id = $1 AND operation_id = $2 ORDER BY store`, tenant, operationID)
	if err != nil {
		return nil, wrap("read the counts of", tenant, err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[purge.Store])
}
