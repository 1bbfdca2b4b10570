package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"tenure/services/deletion/internal/purge"
	"tenure/shared/pg"
)

const retentionColumns = `tenant_id, generation, operation_id, class, basis, until, stores`

// Retain records which data a purge has left, from what was written down of the stores.
func Retain(ctx context.Context, q pg.Querier, tenant string, generation int64, operationID string) ([]purge.Retention, error) {
	rows, err := q.Query(ctx, `INSERT INTO retentions (tenant_id, generation, class, operation_id, basis, until, stores)
		SELECT tenant_id, $2, class, operation_id || '-' || class, max(basis), max(until), array_agg(store ORDER BY store) FROM erasures
		WHERE tenant_id = $1 AND operation_id = $3 AND until IS NOT NULL GROUP BY tenant_id, operation_id, class
		RETURNING `+retentionColumns, tenant, generation, operationID)
	if err != nil {
		return nil, wrap("retain data of", tenant, err)
	}
	kept, err := pgx.CollectRows(rows, pgx.RowToStructByPos[purge.Retention])
	return kept, wrap("retain data of", tenant, err)
}

// RetentionOf returns what an erasure at the end of a retention is about.
func RetentionOf(ctx context.Context, q pg.Querier, operationID string) (purge.Retention, error) {
	rows, err := q.Query(ctx, `SELECT `+retentionColumns+` FROM retentions WHERE operation_id = $1`, operationID)
	if err != nil {
		return purge.Retention{}, wrap("read the retention", operationID, err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[purge.Retention])
	return r, wrap("read the retention", operationID, err)
}

// Retained returns the names of the stores that still hold data of one life of a tenant because a law asks for it.
func Retained(ctx context.Context, q pg.Querier, tenant string, generation int64) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT unnest(stores) FROM retentions WHERE tenant_id = $1 AND generation = $2 AND ended_at IS NULL`, tenant, generation)
	if err != nil {
		return nil, wrap("read the retentions of", tenant, err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, wrap("read the retentions of", tenant, err)
}

// SaveRetentionCertificate keeps the first document and returns the one that was kept.
func SaveRetentionCertificate(ctx context.Context, q pg.Querier, operationID string, document []byte) (kept []byte, err error) {
	err = q.QueryRow(ctx, `UPDATE retentions SET document = coalesce(document, $2) WHERE operation_id = $1 RETURNING document`,
		operationID, document).Scan(&kept)
	return kept, wrap("save the certificate of", operationID, err)
}

// EndRetention records that the data is gone.
func EndRetention(ctx context.Context, q pg.Querier, operationID string) error {
	_, err := q.Exec(ctx, `UPDATE retentions SET ended_at = now() WHERE operation_id = $1`, operationID)
	return wrap("end the retention", operationID, err)
}

// CancelRetentions gives the data back to a tenant that returned: no store can tell it from what the new life writes.
func CancelRetentions(ctx context.Context, q pg.Querier, tenant string) error {
	for _, sql := range []string{
		`DELETE FROM erasures WHERE tenant_id = $1 AND operation_id IN (SELECT operation_id FROM retentions WHERE tenant_id = $1)`,
		`DELETE FROM jobs WHERE tenant_id = $1 AND operation_id IN (SELECT operation_id FROM retentions WHERE tenant_id = $1)`,
		`DELETE FROM retentions WHERE tenant_id = $1 AND ended_at IS NULL`,
	} {
		if _, err := q.Exec(ctx, sql, tenant); err != nil {
			return wrap("cancel the retentions of", tenant, err)
		}
	}
	return nil
}

// RetentionCertificate returns the signed proof that a class of one life of a tenant was erased, of the latest life that has
// one when generation is 0; false when there is none.
func RetentionCertificate(ctx context.Context, q pg.Querier, tenant string, generation int64, class string) (document []byte, found bool, err error) {
	err = q.QueryRow(ctx, `SELECT document FROM retentions WHERE tenant_id = $1 AND class = $3 AND ($2 = 0 OR generation = $2)
		AND ended_at IS NOT NULL ORDER BY generation DESC LIMIT 1`, tenant, generation, class).Scan(&document)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	return document, err == nil, wrap("read the certificate of", tenant, err)
}
