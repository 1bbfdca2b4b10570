package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
)

// readSnapshot makes every statement of a transaction see the same rows.
var readSnapshot = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

// closeTimeout bounds the end of a snapshot whose server may be what failed.
const closeTimeout = 5 * time.Second

// snapshot is one read-only transaction on one connection; the rows go by COPY, which is the fastest way out.
type snapshot struct {
	store     *Store
	conn      *pgxpool.Conn
	tx        pgx.Tx
	tenant    string
	since     time.Time
	counts    connectors.Counts
	watermark connectors.Watermark
}

// Snapshot counts the rows of each kind in the transaction that will read them.
func (s *Store) Snapshot(ctx context.Context, of connectors.Scope, since time.Time) (connectors.Snapshot, error) {
	if err := of.Check(); err != nil {
		return nil, err
	}
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return nil, s.wrap("connect", err)
	}
	snap := &snapshot{store: s, conn: conn, tenant: of.Tenant, since: since, counts: connectors.Counts{}}
	if err := snap.begin(ctx); err != nil {
		snap.Close()
		return nil, s.wrap("snapshot", err)
	}
	return snap, nil
}

func (s *snapshot) begin(ctx context.Context) (err error) {
	if s.tx, err = s.conn.BeginTx(ctx, readSnapshot); err != nil {
		return err
	}
	// The snapshot waits while other stores are read, and its copy may take hours.
	const patient = `SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0`
	if _, err = s.tx.Exec(ctx, guard+`; `+patient); err != nil {
		return err
	}
	s.watermark.Store = s.store.name
	// The snapshot is taken after the first statement's timestamp, so that nothing committed before it is missed.
	err = s.tx.QueryRow(ctx, `SELECT statement_timestamp(), pg_current_snapshot()::text`).
		Scan(&s.watermark.TakenAt, &s.watermark.Position)
	if err != nil {
		return err
	}
	s.watermark.TakenAt = s.watermark.TakenAt.UTC()
	for _, t := range s.store.tables {
		if t.Kind == "" {
			continue
		}
		n, err := t.count(ctx, s.tx, s.tenant, s.since)
		if err != nil {
			return err
		}
		s.counts[t.Kind] += n
	}
	return nil
}

func (s *snapshot) Counts() connectors.Counts       { return s.counts }
func (s *snapshot) Watermark() connectors.Watermark { return s.watermark }

func (s *snapshot) Ranges(_ context.Context, kind string, _ int) ([]connectors.Range, error) {
	var ranges []connectors.Range
	for _, t := range s.store.tables {
		if t.Kind == kind && kind != "" {
			ranges = append(ranges, connectors.Range{Kind: kind, Part: t.Name})
		}
	}
	return ranges, nil
}

func (s *snapshot) Position(context.Context, connectors.Range, int64) (string, error) {
	return "", errors.ErrUnsupported
}

func (s *snapshot) Same(context.Context, connectors.Range, int64, connectors.Watermark) (bool, error) {
	return false, nil
}

func (s *snapshot) Read(ctx context.Context, r connectors.Range, to connectors.Sink) error {
	for _, t := range s.store.tables {
		if t.Kind != r.Kind || t.Name != r.Part {
			continue
		}
		rows := &copiedRows{to: to}
		err := s.copyOut(ctx, t, rows)
		if rows.err != nil {
			return rows.err // the sink's reason, rather than that the copying was stopped; no fault of the store
		}
		if err != nil {
			return s.store.wrap("read "+t.Name, err)
		}
	}
	return nil
}

// copyOut uses COPY's binary format for its single text column: unlike the text format it needs no escaping on the
// server and none undone here.
func (s *snapshot) copyOut(ctx context.Context, t table, rows *copiedRows) error {
	conn := s.tx.Conn().PgConn()
	// COPY takes no parameters. CheckTenant has let in letters, digits, "_" and "-" alone; escape it all the same.
	tenant, err := conn.EscapeString(s.tenant)
	if err != nil {
		return err
	}
	where := fmt.Sprintf(`%s = '%s'%s`, t.tenant, tenant, t.since(s.since))
	_, err = conn.CopyTo(ctx, rows, `COPY (`+t.row(where)+`) TO STDOUT (FORMAT binary)`)
	return err
}

// Close ends the transaction. A connection that cannot even do that is dropped by the pool.
func (s *snapshot) Close() {
	if s.conn == nil {
		return
	}
	if s.tx != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = s.tx.Rollback(ctx)
	}
	s.conn.Release()
	s.conn = nil
}

// copyHeader starts a binary COPY: signature, flags, and the length of an extension that PostgreSQL never writes.
const (
	copySignature = "PGCOPY\n\xff\r\n\x00"
	copyHeader    = len(copySignature) + 4 + 4
	copyTrailer   = -1
)

var errCopyFormat = errors.New("the server's COPY stream is not as its documentation says")

// copiedRows hands each row of a binary COPY of one column to a sink. The server sends one row in one message
// (PostgreSQL's protocol, CopyData), and pgconn makes one Write of each message.
type copiedRows struct {
	to     connectors.Sink
	begun  bool
	err    error
	joined bytes.Buffer
}

func (c *copiedRows) Write(message []byte) (int, error) {
	c.err = c.row(message)
	return len(message), c.err
}

func (c *copiedRows) row(message []byte) error {
	if !c.begun {
		if len(message) < copyHeader || !bytes.HasPrefix(message, []byte(copySignature)) {
			return errCopyFormat
		}
		c.begun = true
		message = message[copyHeader:]
	}
	if len(message) == 0 {
		return nil // the header alone
	}
	if len(message) < 2 {
		return errCopyFormat
	}
	fields := int16(binary.BigEndian.Uint16(message))
	if fields == copyTrailer {
		return nil
	}
	if fields != 1 || len(message) < 6 || int(binary.BigEndian.Uint32(message[2:])) != len(message)-6 {
		return errCopyFormat
	}
	row, err := c.oneLine(message[6:])
	if err != nil {
		return err
	}
	if _, err := c.to.Write(row); err != nil {
		return err
	}
	return c.to.EndRow()
}

// oneLine takes out the line breaks that a column of type json keeps between its tokens.
func (c *copiedRows) oneLine(row []byte) ([]byte, error) {
	if bytes.IndexByte(row, '\n') < 0 {
		return row, nil
	}
	c.joined.Reset()
	err := json.Compact(&c.joined, row)
	return c.joined.Bytes(), err
}
