package store

import (
	"context"
	"fmt"
)

// chunk is how many rows move in one transaction: few enough that nobody waits for them.
const chunk = 100

// placed are the tables whose rows lie in a plan's capacity.
var placed = []string{"documents", "vectors"}

// Elsewhere counts the rows that lie in another capacity than that of plan.
func (tx Tx) Elsewhere(ctx context.Context, plan string) (rows int64, err error) {
	for _, table := range placed {
		var n int64
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM `+table+` WHERE capacity <> $1`, plan).Scan(&n); err != nil {
			return 0, fmt.Errorf("count what is to be moved: %w", err)
		}
		rows += n
	}
	return rows, nil
}

// Move puts the tenant's rows into the capacity of plan, a chunk at a time, each in a transaction of its own, and tells how
// many it has moved. Readers see every row, once, all the while: moving a row is one update of it. Send new requests to
// that capacity first: those that have read the old route may still write behind the move, and the next call finds that.
func (s *Store) Move(ctx context.Context, tenant, plan string, moved func(rows int64)) error {
	var all int64
	for _, table := range placed {
		if err := s.moveTable(ctx, tenant, table, plan, func(n int64) { all += n; moved(all) }); err != nil {
			return err
		}
	}
	return nil
}

// moveTable goes once through the rows of a table in the order of their ids.
func (s *Store) moveTable(ctx context.Context, tenant, table, plan string, moved func(rows int64)) error {
	for after := ""; ; {
		var n int64
		err := s.As(ctx, tenant, func(tx Tx) (err error) {
			n, after, err = tx.moveChunk(ctx, table, plan, after)
			return err
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		moved(n)
	}
}

func (tx Tx) moveChunk(ctx context.Context, table, plan, after string) (n int64, last string, err error) {
	err = tx.QueryRow(ctx, `WITH next AS (
			SELECT id, capacity FROM `+table+` WHERE capacity <> $1 AND id > $2 ORDER BY id LIMIT $3 FOR UPDATE
		), moved AS (
			UPDATE `+table+` t SET capacity = $1 FROM next WHERE t.id = next.id AND t.capacity = next.capacity RETURNING t.id
		) SELECT count(*), coalesce(max(id), '') FROM moved`, plan, after, chunk).Scan(&n, &last)
	if err != nil {
		return 0, "", fmt.Errorf("move %s: %w", table, err)
	}
	return n, last, nil
}
