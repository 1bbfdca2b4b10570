package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"tenure/services/connectors"
)

const (
	// sampled rows are measured at either end of the key's order: old ones may be unlike new ones.
	sampled = 500
	// rowHeader is what a row takes beside its values (a tuple's header and its line pointer).
	rowHeader = 28
)

// bytes estimates the room that the rows take. The size of a value that is stored out of line is told by its pointer: none
// is fetched.
func (t *table) bytes(ctx context.Context, tx pgx.Tx, of connectors.Scope) (int64, error) {
	n, err := t.count(ctx, tx, filter{of: of})
	if err != nil || n == 0 {
		return 0, err
	}
	const all = `SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped`
	var names []string
	if err := tx.QueryRow(ctx, all, t.from).Scan(&names); err != nil {
		return 0, fmt.Errorf("table %s: %w", t.Name, err)
	}
	sizes := make([]string, len(names))
	for i, c := range columns("t", names) {
		sizes[i] = `coalesce(pg_column_size(` + c + `), 0)`
	}
	end := func(direction string) string {
		return fmt.Sprintf(`(SELECT %s AS size FROM %s AS t WHERE %s ORDER BY %s LIMIT %d)`, strings.Join(sizes, " + "), t.from,
			t.where(filter{of: of}), strings.Join(columns("t", t.Key), direction+", ")+direction, sampled)
	}
	var average float64
	if err := queryRow(ctx, tx, `SELECT avg(size)::float8 FROM (`+end(" ASC")+` UNION ALL `+end(" DESC")+`) AS sample`, &average); err != nil {
		return 0, fmt.Errorf("table %s: %w", t.Name, err)
	}
	return int64(float64(n) * (average + rowHeader)), nil
}
