package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/connectors"
)

// Erase deletes the scope's rows batch by batch, each in a transaction of its own, table by table.
func (s *Store) Erase(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	if err := of.Check(); err != nil {
		return nil, err
	}
	erased := connectors.Counts{}
	for _, t := range s.tables {
		if !t.has(of) {
			continue
		}
		n, err := s.eraseTable(ctx, t, of)
		erased[t.Name] = n
		if err != nil {
			return erased, s.wrap("erase "+t.Name, err)
		}
	}
	if erased.Total() == 0 {
		return erased, nil
	}
	return erased, s.wrap("erase", s.flush(ctx))
}

// hasty spares a batch the wait for the disk: with many small batches that wait is most of their time. flush waits once for
// all of them.
const hasty = `SET LOCAL synchronous_commit = off`

// flush returns when everything that was committed before it is on the disk. Without it a crash of the server could
// bring back rows that are certified as gone. A message that nobody reads is the least that a transaction can write; its
// commit is behind those of the batches in the server's one log, and synchronous.
func (s *Store) flush(ctx context.Context) error {
	return s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SET LOCAL synchronous_commit = on; SELECT pg_logical_emit_message(true, 'tenure', '')`)
		return err
	})
}

// eraseTable goes through the tenant's rows in the order of the key. Each batch begins where the one before ended: a search
// from the start would step over all the rows just deleted, every time.
func (s *Store) eraseTable(ctx context.Context, t *table, of connectors.Scope) (erased int64, err error) {
	if t.DropPartition && of.Subject == "" {
		if erased, err = s.dropPartition(ctx, t, of.Tenant); err != nil {
			return erased, err
		}
	}
	b := batch{table: t, filter: filter{of: of, byRoot: true}, pace: newPace()}
	for {
		began := time.Now()
		err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error { return b.next(ctx, tx) })
		if err != nil {
			return erased, err
		}
		erased += b.deleted
		if b.last {
			return erased, nil
		}
		b.pace.took(time.Since(began))
	}
}

// batch is the rows that one transaction deletes: those of a range of the root's key, so that a child's rows are found
// by their parents, as an index does.
type batch struct {
	*table
	filter  filter
	pace    pace
	deleted int64
	last    bool // nothing is left to do behind it
}

func (b *batch) next(ctx context.Context, tx pgx.Tx) (err error) {
	from := b.filter
	if _, err := tx.Exec(ctx, hasty); err != nil {
		return err
	}
	if from.upTo, err = b.root().keyAt(ctx, tx, b.rootFilter(), b.pace.rows); err != nil {
		return err
	}
	if from.upTo == nil {
		// Fewer than a batch are left; take what was written before them meanwhile, too.
		from.after = nil
	}
	tag, err := tx.Exec(ctx, b.deletion(from))
	if err != nil {
		return err
	}
	b.deleted = tag.RowsAffected()
	if b.parent != nil && b.deleted >= b.pace.rows {
		return nil // more of the same parents' rows may be left
	}
	b.filter.after, b.last = from.upTo, from.upTo == nil
	return nil
}

// rootFilter picks the root's rows that a batch goes through.
func (b *batch) rootFilter() filter {
	f := b.filter
	if b.byPerson() != b.root() {
		f.of.Subject = ""
	}
	return f
}

// deletion deletes a range. A child's rows are as many as its parents have, so that their number is bounded here. In a
// partitioned table several rows share a ctid: the filter stands twice to keep it to the scope.
func (b *batch) deletion(f filter) string {
	where := b.where(f)
	if b.parent != nil {
		where += fmt.Sprintf(` AND t.ctid = ANY (ARRAY(SELECT t.ctid FROM %s AS t WHERE %s LIMIT %d))`, b.from, where, b.pace.rows)
	}
	return `DELETE FROM ` + b.from + ` AS t WHERE ` + where
}

// pace sizes batches by how long they take: as large as they can be while nobody notices. A server that others keep
// busy takes longer, and gets smaller ones.
type pace struct{ rows int64 }

const (
	firstBatch = 1000
	leastBatch = 100
	mostBatch  = 20_000
	// A batch holds its locks no longer than briefest to longest, give or take what the size of one row is worth.
	briefest = 20 * time.Millisecond
	longest  = 50 * time.Millisecond
)

func newPace() pace { return pace{rows: firstBatch} }

func (p *pace) took(d time.Duration) {
	switch {
	case d < briefest:
		p.rows = min(2*p.rows, mostBatch)
	case d > longest:
		p.rows = max(p.rows/2, leastBatch)
	}
}
