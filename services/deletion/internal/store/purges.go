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

// SavePurge records that a purge has started, and that its tenant is gone. A second time it changes nothing.
func SavePurge(ctx context.Context, q pg.Querier, p purge.Purge) error {
	participants := p.Participants
	if participants == nil {
		participants = []string{}
	}
	_, err := q.Exec(ctx, `INSERT INTO purges (tenant_id, generation, operation_id, retention_days, region, gdpr, plan, retention_min,
			retention_max, policy_hash, requested_at, scheduled_for, started_at, participants)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING`,
		p.Tenant, p.Generation, p.OperationID, p.Policy.RetentionDays, p.Policy.Region, p.Policy.GDPR, p.Policy.Plan, p.Policy.MinDays,
		p.Policy.MaxDays, p.Policy.Hash, p.RequestedAt, p.ScheduledFor, p.StartedAt, participants)
	if err == nil {
		_, err = q.Exec(ctx, `INSERT INTO gone (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING`, p.Tenant)
	}
	return wrap("save the purge of", p.Tenant, err)
}

// Purge returns the purge of one life of a tenant with all that was counted; false when none has started.
func Purge(ctx context.Context, q pg.Querier, tenant string, generation int64) (purge.Purge, bool, error) {
	p := purge.Purge{Tenant: tenant, Generation: generation}
	err := q.QueryRow(ctx, `SELECT operation_id, retention_days, region, gdpr, plan, retention_min, retention_max, policy_hash,
			requested_at, scheduled_for, started_at, participants
		FROM purges WHERE tenant_id = $1 AND generation = $2`, tenant, generation).Scan(
		&p.OperationID, &p.Policy.RetentionDays, &p.Policy.Region, &p.Policy.GDPR, &p.Policy.Plan, &p.Policy.MinDays, &p.Policy.MaxDays,
		&p.Policy.Hash, &p.RequestedAt, &p.ScheduledFor, &p.StartedAt, &p.Participants)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, false, nil
	}
	if err != nil {
		return p, false, wrap("read the purge of", tenant, err)
	}
	p.Stores, err = Counted(ctx, q, tenant, p.OperationID)
	return p, true, err
}

// Returned records that a tenant came back after its purge, in a new life.
func Returned(ctx context.Context, q pg.Querier, tenant string) error {
	_, err := q.Exec(ctx, `DELETE FROM gone WHERE tenant_id = $1`, tenant)
	return wrap("record the return of", tenant, err)
}

// ForgetTenant removes what a purge needed: its certificate says all of it.
func ForgetTenant(ctx context.Context, q pg.Querier, tenant string) error {
	for _, table := range []string{"jobs", "erasures", "purges", "holds"} {
		if _, err := q.Exec(ctx, `DELETE FROM `+table+` WHERE tenant_id = $1`, tenant); err != nil {
			return wrap("forget", tenant, err)
		}
	}
	return nil
}

// PlaceHold forbids destruction.
func PlaceHold(ctx context.Context, q pg.Querier, tenant, holdID string) error {
	_, err := q.Exec(ctx, `INSERT INTO holds (tenant_id, hold_id) VALUES ($1, $2) ON CONFLICT DO NOTHING`, tenant, holdID)
	return wrap("place hold", holdID, err)
}

// ReleaseHold allows it again, and lets the tenant's jobs be claimed at once.
func ReleaseHold(ctx context.Context, q pg.Querier, tenant, holdID string) error {
	_, err := q.Exec(ctx, `DELETE FROM holds WHERE tenant_id = $1 AND hold_id = $2`, tenant, holdID)
	if err == nil {
		_, err = q.Exec(ctx, `UPDATE jobs SET run_after = due_at WHERE tenant_id = $1 AND status = 'open'`, tenant)
	}
	return wrap("release hold", holdID, err)
}

// SaveCertificate keeps the first document of one life of a tenant and returns the one that was kept.
func SaveCertificate(ctx context.Context, q pg.Querier, tenant string, generation int64, document []byte) ([]byte, error) {
	_, err := q.Exec(ctx, `INSERT INTO certificates (tenant_id, generation, document) VALUES ($1, $2, $3)
		ON CONFLICT DO NOTHING`, tenant, generation, document)
	if err != nil {
		return nil, wrap("save the certificate of", tenant, err)
	}
	kept, _, err := Certificate(ctx, q, tenant, generation)
	return kept, err
}

// Certificate returns the signed document of one life of a tenant, or of the latest that has one when generation is 0;
// false when there is none.
func Certificate(ctx context.Context, q pg.Querier, tenant string, generation int64) (document []byte, found bool, err error) {
	err = q.QueryRow(ctx, `SELECT document FROM certificates WHERE tenant_id = $1 AND ($2 = 0 OR generation = $2)
		ORDER BY generation DESC LIMIT 1`, tenant, generation).Scan(&document)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	return document, err == nil, wrap("read the certificate of", tenant, err)
}

// Now is the database's clock.
func Now(ctx context.Context, q pg.Querier) (now time.Time, err error) {
	err = q.QueryRow(ctx, `SELECT now()`).Scan(&now)
	return now, wrap("read", "the clock", err)
}

// SaveSigningKey remembers a public key for ever.
func SaveSigningKey(ctx context.Context, q pg.Querier, keyID string, public []byte) error {
	_, err := q.Exec(ctx, `INSERT INTO signing_keys (key_id, public_key) VALUES ($1, $2) ON CONFLICT DO NOTHING`, keyID, public)
	return wrap("save signing key", keyID, err)
}

// SigningKeys returns every public key that ever signed, the newest first.
func SigningKeys(ctx context.Context, q pg.Querier) ([][]byte, error) {
	rows, err := q.Query(ctx, `SELECT public_key FROM signing_keys ORDER BY since DESC, key_id`)
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}
