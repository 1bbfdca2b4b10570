package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/deletion/internal/purge"
	"tenure/shared/pg"
)

// Reapplication is a request to erase again what purged tenants had.
type Reapplication struct {
	ID          string
	DryRun      bool
	RequestedBy string
	RequestedAt time.Time
	// Key is the caller's idempotency key; "" is none.
	Key string
}

const reapplicationColumns = `id, dry_run, requested_by, requested_at, coalesce(idempotency_key, '')`

// OpenReapplication stores a request; false when its key was used before.
func OpenReapplication(ctx context.Context, q pg.Querier, r Reapplication) (opened bool, err error) {
	tag, err := q.Exec(ctx, `INSERT INTO reapplications (id, dry_run, requested_by, requested_at, idempotency_key)
		VALUES ($1, $2, $3, $4, nullif($5, '')) ON CONFLICT DO NOTHING`, r.ID, r.DryRun, r.RequestedBy, r.RequestedAt, r.Key)
	return err == nil && tag.RowsAffected() == 1, wrap("store the request", r.ID, err)
}

// ReapplicationOf returns a request; nil when there is none.
func ReapplicationOf(ctx context.Context, q pg.Querier, id string) (*Reapplication, error) {
	return reapplication(ctx, q, `id = $1`, id)
}

// ReapplicationByKey returns the request that was made under an idempotency key; nil when there is none.
func ReapplicationByKey(ctx context.Context, q pg.Querier, key string) (*Reapplication, error) {
	return reapplication(ctx, q, `idempotency_key = $1`, key)
}

func reapplication(ctx context.Context, q pg.Querier, where, arg string) (*Reapplication, error) {
	rows, err := q.Query(ctx, `SELECT `+reapplicationColumns+` FROM reapplications WHERE `+where, arg)
	if err != nil {
		return nil, fmt.Errorf("read a reapplication: %w", err)
	}
	return optional(pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[Reapplication]))
}

// Reapplied is what became of one tombstone.
type Reapplied struct {
	purge.Tombstone
	Status ReappliedStatus
	// Reason is why it was refused, or what it waits for.
	Reason string
	// Rows is what was found of the tenant.
	Rows int64
}

// ReappliedStatus of a tombstone.
type ReappliedStatus string

// A tombstone is open until its job is done: the rows were counted, in a dry run, or erased.
const (
	ReappliedOpen    ReappliedStatus = "open"
	ReappliedRefused ReappliedStatus = "refused"
	ReappliedCounted ReappliedStatus = "counted"
	ReappliedErased  ReappliedStatus = "erased"
)

// SaveReapplied adds tombstones to a request, and the jobs of those that are open.
func SaveReapplied(ctx context.Context, q pg.Querier, request Reapplication, all []Reapplied) error {
	tenants, generations := make([]string, len(all)), make([]int64, len(all))
	foundIn, statuses, reasons := make([]string, len(all)), make([]string, len(all)), make([]string, len(all))
	for i, r := range all {
		tenants[i], generations[i], foundIn[i], statuses[i], reasons[i] = r.Tenant, r.Generation, r.FoundIn, string(r.Status), r.Reason
	}
	_, err := q.Exec(ctx, `INSERT INTO reapplied (reapplication_id, tenant_id, generation, found_in, status, reason)
		SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[])`,
		request.ID, tenants, generations, foundIn, statuses, reasons)
	if err != nil {
		return wrap("store the tombstones of", request.ID, err)
	}
	_, err = q.Exec(ctx, `INSERT INTO jobs (tenant_id, step_id, operation_id, operation, generation, action, cause_id, cause_version,
			correlation_id, trace_parent)
		SELECT tenant_id, $1, $1, $2, generation, $3, $1, 0, $1, '' FROM reapplied WHERE reapplication_id = $1 AND status = $4`,
		request.ID, purge.OperationReapply, purge.ActionErase, ReappliedOpen)
	return wrap("open the jobs of", request.ID, err)
}

// EndReapplied records how many rows were found of a tenant, and that they were counted or erased.
func EndReapplied(ctx context.Context, q pg.Querier, id, tenant string, status ReappliedStatus, rows int64) error {
	_, err := q.Exec(ctx, `UPDATE reapplied SET status = $3, rows = $4 WHERE reapplication_id = $1 AND tenant_id = $2`, id, tenant, status, rows)
	return wrap("end the tombstone of", tenant, err)
}

// ReappliedOf returns what became of each tombstone of a request, by tenant.
func ReappliedOf(ctx context.Context, q pg.Querier, id string) ([]Reapplied, error) {
	rows, err := q.Query(ctx, `SELECT r.tenant_id, r.generation, r.found_in, r.status, coalesce(nullif(r.reason, ''), j.error, ''), r.rows
		FROM reapplied r LEFT JOIN jobs j ON j.tenant_id = r.tenant_id AND j.step_id = r.reapplication_id
		WHERE r.reapplication_id = $1 ORDER BY r.tenant_id`, id)
	if err != nil {
		return nil, wrap("read the tombstones of", id, err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Reapplied, err error) {
		err = row.Scan(&r.Tenant, &r.Generation, &r.FoundIn, &r.Status, &r.Reason, &r.Rows)
		return r, err
	})
}

// Tombstones are the last lives that have a certificate here, by tenant.
func Tombstones(ctx context.Context, q pg.Querier) (map[string]purge.Tombstone, error) {
	rows, err := q.Query(ctx, `SELECT tenant_id, max(generation) FROM certificates GROUP BY tenant_id`)
	if err != nil {
		return nil, fmt.Errorf("list the tombstones: %w", err)
	}
	found := map[string]purge.Tombstone{}
	t := purge.Tombstone{FoundIn: purge.FoundInDatabase}
	_, err = pgx.ForEachRow(rows, []any{&t.Tenant, &t.Generation}, func() error { found[t.Tenant] = t; return nil })
	return found, err
}

// HeardGone picks the tenants of whose life the end was taken in, and not the beginning of the next. Until the transaction
// ends nothing of a next life is taken in, either: it will find what is stored here.
func HeardGone(ctx context.Context, tx pgx.Tx, tenants []string) (map[string]bool, error) {
	rows, err := tx.Query(ctx, `SELECT tenant_id FROM gone WHERE tenant_id = ANY($1) FOR SHARE`, tenants)
	if err != nil {
		return nil, fmt.Errorf("look for the ends of tenants: %w", err)
	}
	heard := map[string]bool{}
	var tenant string
	_, err = pgx.ForEachRow(rows, []any{&tenant}, func() error { heard[tenant] = true; return nil })
	return heard, err
}

// DropReapplied takes the erasing away from whoever is at it: the tenant came back. The jobs' rows stay, so that no job of
// the new life is claimed while a worker may not have seen this yet.
func DropReapplied(ctx context.Context, q pg.Querier, tenant string) error {
	for _, sql := range []string{
		`UPDATE jobs SET status = 'dropped' WHERE tenant_id = $1 AND operation = '` + purge.OperationReapply + `' AND status = 'open'`,
		`DELETE FROM erasures WHERE tenant_id = $1 AND operation_id IN (SELECT reapplication_id FROM reapplied WHERE tenant_id = $1 AND status = 'open')`,
		`UPDATE reapplied SET status = 'refused', reason = 'it came back meanwhile' WHERE tenant_id = $1 AND status = 'open'`,
	} {
		if _, err := q.Exec(ctx, sql, tenant); err != nil {
			return wrap("drop the erasing of", tenant, err)
		}
	}
	return nil
}
