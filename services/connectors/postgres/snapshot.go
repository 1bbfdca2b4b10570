package postgres

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tenure/services/connectors"
	"tenure/shared/fault"
	"tenure/shared/pg"
)

// readSnapshot makes every statement of a transaction see the same rows.
var readSnapshot = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// closeTimeout bounds the end of a snapshot whose server may be what failed.
const closeTimeout = 5 * time.Second

// patient is for transactions that wait while other stores are read, or copy for hours.
const patient = `SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0`

// snapshot is a transaction that others join: the keeper's, whose end is the snapshot's. Its connection is none of the pool's, so
// that readers always find one there, however many snapshots are open.
type snapshot struct {
	store     *Store
	of        connectors.Scope
	since     time.Time
	id        string           // by which other transactions join
	rows      map[*table]int64 // of the tables that are exported
	counts    connectors.Counts
	watermark connectors.Watermark
	mark      mark

	// A connection does one thing at a time. What is asked while rows are read (Position) goes to the keeper's, behind
	// the lock: a reader that waited for a second connection of the pool could wait for itself.
	mu     sync.Mutex
	keeper *pgx.Conn
}

// Snapshot counts the rows of each kind in the snapshot that will be read.
func (s *Store) Snapshot(ctx context.Context, of connectors.Scope, since time.Time) (connectors.Snapshot, error) {
	if err := of.Check(); err != nil {
		return nil, err
	}
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return nil, s.wrap("connect", err)
	}
	snap := &snapshot{
		store: s, of: of, since: since, rows: map[*table]int64{}, counts: connectors.Counts{}, keeper: conn.Hijack(),
	}
	if err := snap.begin(ctx); err != nil {
		snap.Close()
		return nil, s.wrap("snapshot", err)
	}
	return snap, nil
}

func (s *snapshot) begin(ctx context.Context) error {
	tx, err := s.keeper.BeginTx(ctx, readSnapshot) // ended by the connection's end
	if err != nil {
		return err
	}
	if _, err = tx.Exec(ctx, guard+`; `+patient); err != nil {
		return err
	}
	// The snapshot is taken after the first statement's timestamp, so that nothing committed before it is missed.
	const take = `SELECT statement_timestamp(), pg_export_snapshot(), pg_current_snapshot()::text || '@' || extract(epoch FROM pg_postmaster_start_time())`
	s.watermark.Store = s.store.name
	if err = tx.QueryRow(ctx, take).Scan(&s.watermark.TakenAt, &s.id, &s.watermark.Position); err != nil {
		return err
	}
	s.watermark.TakenAt = s.watermark.TakenAt.UTC()
	s.watermark.Position += "#" + s.store.fingerprint()
	if s.mark, err = parseMark(s.watermark.Position); err != nil {
		return err
	}
	for _, t := range s.store.tables {
		if t.Kind == "" || !t.has(s.of) {
			continue
		}
		if s.rows[t], err = t.count(ctx, tx, s.all()); err != nil {
			return err
		}
		s.counts[t.Kind] += s.rows[t]
	}
	return nil
}

// fingerprint tells one data map from another: rows that were read with other columns are other rows.
func (s *Store) fingerprint() string {
	sum := fnv.New64a()
	for _, t := range s.tables {
		fmt.Fprintln(sum, t.rows(filter{of: connectors.Tenant("any")}))
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

func (s *snapshot) Counts() connectors.Counts       { return s.counts }
func (s *snapshot) Watermark() connectors.Watermark { return s.watermark }

// all picks the rows of the snapshot.
func (s *snapshot) all() filter { return filter{of: s.of, since: s.since} }

// within picks the rows of a range.
func (s *snapshot) within(r connectors.Range) (t *table, f filter, err error) {
	for t := range s.rows {
		if t.Kind != r.Kind || t.Name != r.Part {
			continue
		}
		f := s.all()
		if f.after, err = parsePosition(r.After); err == nil {
			f.upTo, err = parsePosition(r.UpTo)
		}
		return t, f, err
	}
	return nil, f, fmt.Errorf("the data map has no table %q of kind %q any more", r.Part, r.Kind)
}

// Ranges gives each table of the kind its share of the ranges.
func (s *snapshot) Ranges(ctx context.Context, kind string, n int) (ranges []connectors.Range, err error) {
	for _, t := range s.store.tables {
		rows := s.rows[t]
		if t.Kind != kind || rows == 0 {
			continue
		}
		share := max(1, int64(n)*rows/s.counts[kind])
		of, err := s.cut(ctx, t, (rows+share-1)/share)
		if err != nil {
			return nil, s.store.wrap("cut "+t.Name, err)
		}
		ranges = append(ranges, of...)
	}
	return ranges, nil
}

// cut cuts a table into ranges of size rows.
func (s *snapshot) cut(ctx context.Context, t *table, size int64) (ranges []connectors.Range, err error) {
	f, r := s.all(), connectors.Range{Kind: t.Kind, Part: t.Name}
	for left := s.rows[t]; left > size; left -= size {
		if f.after, err = s.keyAt(ctx, t, f, size); err != nil {
			return nil, err
		}
		r.UpTo = f.after.String()
		ranges = append(ranges, r)
		r.After, r.UpTo = r.UpTo, ""
	}
	return append(ranges, r), nil
}

// Position asks for the key of the n-th row.
func (s *snapshot) Position(ctx context.Context, r connectors.Range, n int64) (string, error) {
	t, f, err := s.within(r)
	if err != nil {
		return "", err
	}
	at, err := s.keyAt(ctx, t, f, n)
	if err != nil {
		return "", s.store.wrap("position in "+t.Name, err)
	}
	if at == nil {
		return "", fmt.Errorf("store %s: position in %s: the range has fewer than %d rows", s.store.name, t.Name, n)
	}
	return at.String(), nil
}

// keyAt asks the keeper.
func (s *snapshot) keyAt(ctx context.Context, t *table, f filter, n int64) (position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.keyAt(ctx, s.keeper, f, n)
}

// seen returns the table of a range, and filters for its rows: for all that there are now, and for those that an earlier snapshot
// saw as they are now. It is not ok when those cannot be told.
func (s *snapshot) seen(r connectors.Range, at connectors.Watermark) (t *table, all, seen filter, ok bool) {
	earlier, err := parseMark(at.Position)
	if err != nil || earlier.instance != s.mark.instance {
		return nil, all, seen, false
	}
	if t, all, err = s.within(r); err != nil {
		return nil, all, seen, false // a range of another data map
	}
	seen = all
	seen.unchanged, err = newHorizon(earlier, s.mark)
	return t, all, seen, err == nil
}

// Same counts the rows that there are, and those of them that the earlier snapshot saw. When both are as many as it had, they are
// the rows that it had.
func (s *snapshot) Same(ctx context.Context, r connectors.Range, rows int64, at connectors.Watermark) (bool, error) {
	t, all, seen, ok := s.seen(r, at)
	if !ok {
		return false, nil
	}
	same := false
	err := s.read(ctx, func(tx pgx.Tx) error {
		for _, f := range []filter{all, seen} {
			if n, err := t.count(ctx, tx, f); err != nil || n != rows {
				return err
			}
		}
		same = true
		return nil
	})
	var refused *pgconn.PgError
	if _, wait := fault.Delay(err); !wait && errors.As(err, &refused) && !pg.IsUnavailable(err) {
		return false, nil // a view has no xmin; a key of another type has other positions
	}
	return same, s.store.wrap("compare "+t.Name, err)
}

// read runs fn in a transaction of a connection of its own that sees the snapshot.
func (s *snapshot) read(ctx context.Context, fn func(pgx.Tx) error) error {
	return s.store.inTx(ctx, readSnapshot, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET TRANSACTION SNAPSHOT `+literal(s.id)); err != nil {
			return fault.RetryAfter(fmt.Errorf("the snapshot is gone, and with it what was read of it: take another: %w", err), connectors.RetryDelay)
		}
		if _, err := tx.Exec(ctx, patient); err != nil {
			return err
		}
		return fn(tx)
	})
}

// Read copies the rows out, which is the fastest way.
func (s *snapshot) Read(ctx context.Context, r connectors.Range, to connectors.Sink) error {
	t, f, err := s.within(r)
	if err != nil {
		return err
	}
	rows := &copiedRows{to: to}
	err = s.read(ctx, func(tx pgx.Tx) error {
		// The binary format of a single text column needs no escaping on the server and none undone here.
		_, err := tx.Conn().PgConn().CopyTo(ctx, rows, `COPY (`+t.rows(f)+`) TO STDOUT (FORMAT binary)`)
		return err
	})
	if rows.err != nil {
		return rows.err // the sink's reason, rather than that the copying was stopped; no fault of the store
	}
	return s.store.wrap("read "+t.Name, err)
}

// Close ends the keeper's transaction with its connection.
func (s *snapshot) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.keeper.Close(ctx)
}
