// Package store holds the lifecycle service's SQL. Transactions are parameters; nothing here decides.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/pg"
)

// Tenant is a state with the head of its hash chain.
type Tenant struct {
	State tenant.State
	Hash  []byte
}

// Load returns the tenants that exist, by id.
func Load(ctx context.Context, q pg.Querier, ids []string) (map[string]Tenant, error) {
	rows, err := q.Query(ctx, `SELECT hash, snapshot FROM streams WHERE stream = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("load tenants: %w", err)
	}
	found := make(map[string]Tenant, len(ids))
	list, err := pgx.CollectRows(rows, scanTenant)
	for _, t := range list {
		found[t.State.ID] = t
	}
	return found, err
}

func scanTenant(row pgx.CollectableRow) (Tenant, error) {
	var t Tenant
	var snapshot []byte
	if err := row.Scan(&t.Hash, &snapshot); err != nil {
		return t, err
	}
	return t, json.Unmarshal(snapshot, &t.State)
}

// Filter of a list; empty fields do not filter.
type Filter struct {
	State string // a state, or the status "exporting"
	Plan  string
	IDs   []string // those alone, when not nil
	Query string   // part of an id; Named match as well
	Named []string // tenants whose name matches
	After string   // the last id of the page before
	Limit int
}

// List returns tenants in the order of their ids. Ids that were only ever refused something are no tenants.
func List(ctx context.Context, q pg.Querier, f Filter) ([]Tenant, error) {
	state, exporting := f.State, f.State == tenant.Exporting
	if exporting {
		state = string(tenant.Active)
	}
	rows, err := q.Query(ctx, `SELECT hash, snapshot FROM streams
		WHERE stream > $1 AND snapshot->>'state' IS NOT NULL
		AND ($2 = '' OR snapshot->>'state' = $2) AND ($3 = '' OR snapshot->>'plan' = $3)
		AND (NOT $4 OR snapshot->>'export' IS NOT NULL) AND ($5::text[] IS NULL OR stream = ANY($5))
		AND ($6 = '' OR strpos(lower(stream), lower($6)) > 0 OR stream = ANY($7))
		ORDER BY stream LIMIT $8`, f.After, state, f.Plan, exporting, f.IDs, f.Query, f.Named, f.Limit)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return pgx.CollectRows(rows, scanTenant)
}

// Facts are what billing told last.
type Facts struct {
	Usage     tenant.Usage
	Period    string // the month that Usage.Queries belongs to
	PeriodEnd time.Time
	UsedAt    time.Time // when the figures moved last
}

// LoadFacts returns the facts that are known, by tenant.
func LoadFacts(ctx context.Context, q pg.Querier, ids []string) (map[string]Facts, error) {
	rows, err := q.Query(ctx, `SELECT tenant, queries, documents, storage_gb, period, period_end, used_at FROM billing_facts WHERE tenant = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("load facts: %w", err)
	}
	found := make(map[string]Facts, len(ids))
	var id string
	var f Facts
	var end, used *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &f.Usage.Queries, &f.Usage.Documents, &f.Usage.StorageGB, &f.Period, &end, &used}, func() error {
		f.PeriodEnd, f.UsedAt = moment(end), moment(used)
		found[id] = f
		return nil
	})
	return found, err
}

func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// SaveUsage stores what billing metered. Figures that move are a use; queries that begin anew with the month are none.
func SaveUsage(ctx context.Context, q pg.Querier, id string, u tenant.Usage, period string) error {
	_, err := q.Exec(ctx, `INSERT INTO billing_facts AS f (tenant, queries, documents, storage_gb, period, used_at)
		VALUES ($1, $2, $3, $4, $5, clock_timestamp())
		ON CONFLICT (tenant) DO UPDATE SET queries = $2, documents = $3, storage_gb = $4, period = $5,
			used_at = CASE WHEN (f.documents, f.storage_gb) <> ($3, $4) OR $2 > 0 AND (f.queries, f.period) <> ($2, $5)
				THEN clock_timestamp() ELSE f.used_at END`,
		id, u.Queries, u.Documents, u.StorageGB, period)
	return err
}

// SavePeriodEnd stores until when the tenant has paid; nil: it pays no more.
func SavePeriodEnd(ctx context.Context, q pg.Querier, id string, end *time.Time) error {
	_, err := q.Exec(ctx, `INSERT INTO billing_facts (tenant, period_end) VALUES ($1, $2)
		ON CONFLICT (tenant) DO UPDATE SET period_end = $2`, id, end)
	return err
}

// Operation returns one operation, or pgx.ErrNoRows.
func Operation(ctx context.Context, q pg.Querier, id string) (tenant.OperationView, error) {
	var view tenant.OperationView
	err := q.QueryRow(ctx, `SELECT view FROM operations WHERE id = $1`, id).Scan(&view)
	return view, err
}

// Operations returns those of the given ids that exist.
func Operations(ctx context.Context, q pg.Querier, ids []string) (map[string]tenant.OperationView, error) {
	rows, err := q.Query(ctx, `SELECT view FROM operations WHERE id = ANY($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("load operations: %w", err)
	}
	found := make(map[string]tenant.OperationView, len(ids))
	list, err := pgx.CollectRows(rows, pgx.RowTo[tenant.OperationView])
	for _, v := range list {
		found[v.ID] = v
	}
	return found, err
}

// ExportRef names an export of a tenant.
type ExportRef struct{ Tenant, ID string }

// CompletedExports returns when those of the exports were asked for that were completed. Ids of other tenants' are not found.
func CompletedExports(ctx context.Context, q pg.Querier, refs []ExportRef) (map[ExportRef]time.Time, error) {
	var owners, ids []string
	for _, r := range refs {
		owners, ids = append(owners, r.Tenant), append(ids, r.ID)
	}
	rows, err := q.Query(ctx, `SELECT o.tenant, o.id, (o.view->>'started_at')::timestamptz
		FROM operations o JOIN unnest($1::text[], $2::text[]) AS r(tenant, id) USING (tenant, id)
		WHERE o.kind = '`+tenant.OpExport+`' AND o.status = '`+tenant.OpSucceeded+`'`, owners, ids)
	if err != nil {
		return nil, fmt.Errorf("look for exports: %w", err)
	}
	found := make(map[ExportRef]time.Time, len(refs))
	var r ExportRef
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&r.Tenant, &r.ID, &at}, func() error { found[r] = at.UTC(); return nil })
	return found, err
}

// RecentOperations returns a tenant's operations, newest first.
func RecentOperations(ctx context.Context, q pg.Querier, id string, limit int) ([]tenant.OperationView, error) {
	rows, err := q.Query(ctx, `SELECT view FROM operations WHERE tenant = $1 ORDER BY updated_at DESC, id LIMIT $2`, id, limit)
	if err != nil {
		return nil, fmt.Errorf("list operations: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[tenant.OperationView])
}

// Participants returns who takes part in steps, by name.
func Participants(ctx context.Context, q pg.Querier) ([]tenant.Participant, error) {
	rows, err := q.Query(ctx, `SELECT name, actions, needs_drain, read_only, timeout_seconds FROM participants ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list participants: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (p tenant.Participant, err error) {
		var seconds int
		err = row.Scan(&p.Name, &p.Actions, &p.NeedsDrain, &p.ReadOnly, &seconds)
		p.Timeout = time.Duration(seconds) * time.Second
		return p, err
	})
}

// SaveParticipant adds a participant or replaces it.
func SaveParticipant(ctx context.Context, q pg.Querier, p tenant.Participant) error {
	_, err := q.Exec(ctx, `INSERT INTO participants (name, actions, needs_drain, read_only, timeout_seconds) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (name) DO UPDATE SET actions = $2, needs_drain = $3, read_only = $4, timeout_seconds = $5`,
		p.Name, p.Actions, p.NeedsDrain, p.ReadOnly, int(p.Timeout/time.Second))
	return err
}

// DeleteParticipant reports whether there was one.
func DeleteParticipant(ctx context.Context, q pg.Querier, name string) (bool, error) {
	tag, err := q.Exec(ctx, `DELETE FROM participants WHERE name = $1`, name)
	return tag.RowsAffected() > 0, err
}

// CountByState returns how many tenants are in each state.
func CountByState(ctx context.Context, q pg.Querier) (map[string]int64, error) {
	rows, err := q.Query(ctx, `SELECT snapshot->>'state', count(*) FROM streams WHERE snapshot->>'state' IS NOT NULL GROUP BY 1`)
	if err != nil {
		return nil, fmt.Errorf("count tenants: %w", err)
	}
	counts := map[string]int64{}
	var state string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&state, &n}, func() error { counts[state] = n; return nil })
	return counts, err
}

// CountRunning returns how many operations run, and how many deletions are overdue: not begun in the time that they have for
// it, or not verified in theirs. Those that wait for a hold or an export are not.
func CountRunning(ctx context.Context, q pg.Querier) (running, overdue int64, err error) {
	err = q.QueryRow(ctx, `SELECT (SELECT count(*) FROM operations WHERE status IN ('pending', 'running')),
		(SELECT count(*) FROM streams, LATERAL (SELECT snapshot->'deletion' AS deletion) d
			WHERE snapshot->>'state' = '`+string(tenant.Deleting)+`' AND deletion->'deferred_by' IS NULL
				AND (deletion->>'scheduled_for')::timestamptz < clock_timestamp() - $1::interval
			OR snapshot->>'state' = '`+string(tenant.Purging)+`' AND deletion->'deferred_by' IS NULL
				AND (deletion->>'latest')::timestamptz < clock_timestamp())`, tenant.PurgeLateness).Scan(&running, &overdue)
	return running, overdue, err
}

// IsNotFound reports whether a look-up of one row found none.
func IsNotFound(err error) bool { return errors.Is(err, pgx.ErrNoRows) }

// ViolationType is the event that records a broken promise.
const ViolationType = "tenure.lifecycle.compliance.violation.v1"

// CountViolations returns how many there are.
func CountViolations(ctx context.Context, q pg.Querier) (n int64, err error) {
	err = q.QueryRow(ctx, `SELECT count(*) FROM log WHERE type = '`+ViolationType+`'`).Scan(&n)
	return n, err
}
