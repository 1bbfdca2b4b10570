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

// Restore brings back what was ever put away and fits the limits beside what is in use, the newest first. Until Settle the
// rows remember which archive they came from.
func (tx Tx) Restore(ctx context.Context, limits gate.Limits) (Freed, error) {
	back, err := tx.mark(ctx, `UPDATE documents SET archived_by = NULL, restored_from = archived_by FROM (
			SELECT id, used.rows + row_number() OVER newest_first AS position,
				used.bytes + sum(octet_length(content)) OVER newest_first AS bytes
			FROM documents, (SELECT count(*) AS rows, coalesce(sum(octet_length(content)), 0) AS bytes
				FROM documents WHERE archived_by IS NULL) AS used
			WHERE archived_by IS NOT NULL WINDOW newest_first AS (ORDER BY created_at DESC, id DESC)
		) AS ranked
		WHERE documents.id = ranked.id AND position <= $1::double precision AND ranked.bytes <= $2::double precision
		RETURNING octet_length(content)`, limits.Of(gate.Documents), limits.Of(gate.StorageGB)*BytesPerGB)
	if err != nil {
		return Freed{}, err
	}
	freed := Freed{-back.Documents, -back.StorageGB}
	return freed, tx.free(ctx, freed)
}

// PutBack undoes Restore.
func (tx Tx) PutBack(ctx context.Context) (Freed, error) {
	freed, err := tx.mark(ctx, `UPDATE documents SET archived_by = restored_from, restored_from = NULL
		WHERE restored_from IS NOT NULL RETURNING octet_length(content)`)
	if err != nil {
		return Freed{}, err
	}
	return freed, tx.free(ctx, freed)
}

// Emptied lists the operations whose archives Restore has left nothing in.
func (tx Tx) Emptied(ctx context.Context) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT DISTINCT restored_from FROM documents d WHERE restored_from IS NOT NULL
		AND NOT EXISTS (SELECT FROM documents WHERE archived_by = d.restored_from)`)
	if err != nil {
		return nil, fmt.Errorf("list emptied archives: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Settle makes what Restore did final.
func (tx Tx) Settle(ctx context.Context) error {
	if _, err := tx.Exec(ctx, `UPDATE documents SET restored_from = NULL WHERE restored_from IS NOT NULL`); err != nil {
		return fmt.Errorf("settle what was restored: %w", err)
	}
	return nil
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
