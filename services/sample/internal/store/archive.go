package store

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/jackc/pgx/v5"

	"tenure/shared/gate"
)

// BytesPerGB is the unit of the metric storage_gb.
const BytesPerGB = 1e9

// Freed is what an archiving took out of use; putting back makes it negative.
type Freed struct {
	Documents float64
	StorageGB float64
}

// Archive puts away the oldest documents until the rest fits the limits, and marks them with the operation that asked.
func (tx Tx) Archive(ctx context.Context, operation string, limits gate.Limits) (Freed, error) {
	freed, err := tx.mark(ctx, `UPDATE documents SET archived_by = $1 FROM (
			SELECT id, row_number() OVER newest_first AS position, sum(octet_length(content)) OVER newest_first AS bytes
			FROM documents WHERE archived_by IS NULL WINDOW newest_first AS (ORDER BY created_at DESC, id DESC)
		) AS ranked
		WHERE documents.id = ranked.id AND (position > $2::double precision OR bytes > $3::double precision)
		RETURNING octet_length(content)`, operation, limits.Of(gate.Documents), limits.Of(gate.StorageGB)*BytesPerGB)
	if err != nil {
		return Freed{}, err
	}
	return freed, tx.free(ctx, freed)
}

// Unarchive puts back what an operation put away.
func (tx Tx) Unarchive(ctx context.Context, operation string) (Freed, error) {
	back, err := tx.mark(ctx, `UPDATE documents SET archived_by = NULL WHERE archived_by = $1
		RETURNING octet_length(content)`, operation)
	if err != nil {
		return Freed{}, err
	}
	freed := Freed{-back.Documents, -back.StorageGB}
	return freed, tx.free(ctx, freed)
}

// WriteArchived writes what an operation put away, one JSON object on a line, and tells how many lines there are.
func (tx Tx) WriteArchived(ctx context.Context, operation string, to io.Writer) (n int64, err error) {
	rows, err := tx.Query(ctx, `SELECT row_to_json(r)::text FROM (
		SELECT id, name, content, metadata, created_at FROM documents WHERE archived_by = $1 ORDER BY id) AS r`, operation)
	if err != nil {
		return 0, fmt.Errorf("read archived documents: %w", err)
	}
	var line string
	_, err = pgx.ForEachRow(rows, []any{&line}, func() error {
		n++
		_, err := fmt.Fprintln(to, line)
		return err
	})
	if err != nil {
		return n, fmt.Errorf("read archived documents: %w", err)
	}
	return n, nil
}

func (tx Tx) mark(ctx context.Context, update string, args ...any) (Freed, error) {
	var marked Freed
	var bytes float64
	err := tx.QueryRow(ctx, `WITH marked(bytes) AS (`+update+`)
		SELECT count(*)::double precision, coalesce(sum(bytes), 0)::double precision FROM marked`, args...).
		Scan(&marked.Documents, &bytes)
	if err != nil {
		return Freed{}, fmt.Errorf("archive: %w", err)
	}
	marked.StorageGB = bytes / BytesPerGB
	return marked, nil
}

// free takes what is out of use off the running totals, here and in billing.
func (tx Tx) free(ctx context.Context, freed Freed) error {
	// Whoever counts locks the counters in this order; another one would wait for them crosswise.
	for _, f := range []struct {
		metric gate.Metric
		n      float64
	}{{gate.Documents, freed.Documents}, {gate.StorageGB, freed.StorageGB}} {
		if f.n == 0 {
			continue
		}
		if _, err := tx.Add(ctx, tx.tenant, f.metric, -f.n, math.Inf(1)); err != nil {
			return err
		}
		if err := tx.Record(ctx, f.metric, -f.n); err != nil {
			return err
		}
	}
	return nil
}
