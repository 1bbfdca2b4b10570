package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ownPartition finds the partition whose bound is the one tenant $2 of the table $1, partitioned by list of the column $3
// alone. What it holds cannot be anybody else's, whatever its name.
const ownPartition = `
	SELECT c.oid::regclass::text
	FROM pg_partitioned_table p
	JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0] AND a.attname = $3
	JOIN pg_inherits i ON i.inhparent = p.partrelid
	JOIN pg_class c ON c.oid = i.inhrelid
	WHERE p.partrelid = $1::regclass AND p.partstrat = 'l' AND p.partnatts = 1
		AND pg_get_expr(c.relpartbound, c.oid) = format('FOR VALUES IN (%L)', $2::text)`

// patience is how long the drop of a partition waits for its lock on the whole table: everybody who comes meanwhile
// waits behind it.
const patience = `SET LOCAL lock_timeout = '100ms'`

// lockNotAvailable is PostgreSQL's code for a lock that was not had in time.
const lockNotAvailable = "55P03"

// dropPartition drops the tenant's own partition, if it has one, and tells how many rows were in it. When the table is so busy
// that its lock is not to be had, it does nothing: rows can always be deleted.
func (s *Store) dropPartition(ctx context.Context, t *table, tenant string) (rows int64, err error) {
	err = s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		var name string
		err := tx.QueryRow(ctx, ownPartition, t.from, tenant, t.Tenant).Scan(&name)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM `+name).Scan(&rows); err != nil {
			return err
		}
		// Detached first: PostgreSQL drops no partition of a table that foreign keys refer to.
		_, err = tx.Exec(ctx, fmt.Sprintf(`%s; ALTER TABLE %s DETACH PARTITION %s; DROP TABLE %s`, patience, t.from, name, name))
		return err
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == lockNotAvailable {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("drop the partition: %w", err)
	}
	return rows, nil
}
