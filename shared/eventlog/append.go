package eventlog

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/shared/events"
	"tenure/shared/pg"
)

// Position is the end of a partition as seen under its lock.
type Position struct {
	Partition int
	Sequence  int64
	// Now is the database's clock after the lock was taken: the time of everything written under it.
	Now time.Time
}

// Batch is what Write wrote: hand it to Committed once the transaction is.
type Batch struct {
	partition   int
	first, last int64
	messages    []Message
	Heads       map[string]Head
}

// Head is the end of a stream.
type Head struct {
	Version int64
	Hash    []byte
}

// Lock takes the partition's row until the transaction ends. Everything that is read after it is settled: no other
// writer of the partition can commit in between.
func (l *Log) Lock(ctx context.Context, tx pgx.Tx, partition int) (Position, error) {
	p := Position{Partition: partition}
	if err := tx.QueryRow(ctx, lockPartition, partition).Scan(&p.Sequence, &p.Now); err != nil {
		return p, fmt.Errorf("lock partition %d: %w", partition, err)
	}
	p.Now = truncate(p.Now)
	return p, nil
}

// Begin opens a transaction on conn and locks the partition in one round trip to the server. The caller ends it with a
// "commit" (that may ride in the batch that Queue fills) or a "rollback".
func (l *Log) Begin(ctx context.Context, conn *pgxpool.Conn, partition int) (Position, error) {
	p := Position{Partition: partition}
	b := &pgx.Batch{}
	b.Queue(`begin`)
	b.Queue(lockPartition, partition).QueryRow(func(row pgx.Row) error { return row.Scan(&p.Sequence, &p.Now) })
	if err := conn.SendBatch(ctx, b).Close(); err != nil {
		return p, fmt.Errorf("lock partition %d: %w", partition, err)
	}
	p.Now = truncate(p.Now)
	return p, nil
}

// lockPartition asks for clock_timestamp, not now(): the transaction may have waited for the lock since it began.
const lockPartition = `SELECT sequence, clock_timestamp() FROM partitions WHERE id = $1 FOR NO KEY UPDATE`

// Append adds entries to their streams in the caller's transaction; the log reads the heads itself. Call Kick after the
// commit. It may lock several partitions and does so in their order, so that two appends cannot wait for each other.
func (l *Log) Append(ctx context.Context, tx pgx.Tx, entries ...Entry) error {
	byPartition := map[int][]Entry{}
	for _, e := range entries {
		if len(e.Events) > 0 {
			p := l.PartitionOf(e.Stream)
			byPartition[p] = append(byPartition[p], e)
		}
	}
	for p := range l.cfg.Partitions {
		part := byPartition[p]
		if len(part) == 0 {
			continue
		}
		pos, err := l.Lock(ctx, tx, p)
		if err != nil {
			return err
		}
		heads, err := l.Heads(ctx, tx, streamsOf(part))
		if err != nil {
			return err
		}
		for i := range part {
			head := heads[part[i].Stream]
			part[i].Version, part[i].Hash = head.Version, head.Hash
			// A second entry of the same stream follows the first: Write chains them by version alone.
			head.Version += int64(len(part[i].Events))
			heads[part[i].Stream] = head
		}
		if _, err := l.Write(ctx, tx, pos, part); err != nil {
			return err
		}
	}
	return nil
}

func streamsOf(entries []Entry) []string {
	out := make([]string, len(entries))
	for i := range entries {
		out[i] = entries[i].Stream
	}
	return out
}

// Heads returns the ends of the streams that exist.
func (l *Log) Heads(ctx context.Context, q pg.Querier, streams []string) (map[string]Head, error) {
	rows, err := q.Query(ctx, `SELECT stream, version, hash FROM streams WHERE stream = ANY($1)`, streams)
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	heads := make(map[string]Head, len(streams))
	var stream string
	var h Head
	_, err = pgx.ForEachRow(rows, []any{&stream, &h.Version, &h.Hash}, func() error {
		heads[stream] = Head{h.Version, slices.Clone(h.Hash)}
		return nil
	})
	return heads, err
}

// Write adds entries of one partition under its lock. Entries of the same stream must follow each other by version. It
// fails with ErrConflict when a head has moved or a command's key was used; the transaction is lost then.
func (l *Log) Write(ctx context.Context, tx pgx.Tx, pos Position, entries []Entry) (Batch, error) {
	queue := &pgx.Batch{}
	batch, err := l.Queue(queue, pos, entries)
	if err != nil {
		return Batch{}, err
	}
	if err := Conflict(tx.SendBatch(ctx, queue).Close()); err != nil { // one round trip; Close answers the first error
		return Batch{}, fmt.Errorf("append to the log: %w", err)
	}
	return batch, nil
}

// Conflict turns the error of a transaction with queued entries into ErrConflict when that is what it says.
func Conflict(err error) error {
	if pg.IsUniqueViolation(err, "log_stream_version") || pg.IsUniqueViolation(err, "log_stream_command") {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

// Queue adds to b the statements that write entries of one partition under its lock, so that they can share a round trip
// with others of the caller's. Give the error of sending b to Conflict.
func (l *Log) Queue(b *pgx.Batch, pos Position, entries []Entry) (Batch, error) {
	rows := newRows(entries)
	batch := Batch{partition: pos.Partition, first: pos.Sequence + 1, Heads: make(map[string]Head, len(entries))}
	for i := range entries {
		if err := l.link(&entries[i], pos.Now, &batch, rows); err != nil {
			return Batch{}, err
		}
	}
	batch.last = pos.Sequence + int64(len(rows.stream))
	b.Queue(`UPDATE partitions SET sequence = $2 WHERE id = $1`, pos.Partition, batch.last)
	b.Queue(insertLog, pos.Partition, pos.Sequence, rows.stream, rows.version, rows.kind, pos.Now, rows.actor,
		rows.correlation, rows.causation, rows.trace, rows.key, rows.keyHash, rows.data, rows.hash)
	heads := headRows(entries, batch.Heads)
	b.Queue(upsertHeads, heads.stream, heads.version, heads.hash, heads.snapshot)
	return batch, nil
}

const insertLog = `INSERT INTO log (partition, sequence, stream, version, type, time, actor, correlation, causation,
		traceparent, command_key, command_hash, data, hash)
	SELECT $1, $2 + ordinality, stream, version, type, $6, actor, correlation, causation, nullif(trace, ''),
		nullif(key, ''), key_hash, data, hash
	FROM unnest($3::text[], $4::bigint[], $5::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
		$12::bytea[], $13::text[], $14::bytea[]) WITH ORDINALITY
		AS r(stream, version, type, actor, correlation, causation, trace, key, key_hash, data, hash)`

// The heads need no check of the old version: the partition's lock keeps other writers out, and one that decided on an
// old version collides with log_stream_version.
const upsertHeads = `INSERT INTO streams AS s (stream, version, hash, snapshot)
	SELECT stream, version, hash, snapshot::json FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::text[])
		AS r(stream, version, hash, snapshot)
	ON CONFLICT (stream) DO UPDATE SET version = excluded.version, hash = excluded.hash,
		snapshot = coalesce(excluded.snapshot, s.snapshot)`

// link fills in what the log gives an entry's events and adds them to rows and to the batch.
func (l *Log) link(entry *Entry, now time.Time, batch *Batch, rows *rows) error {
	version, prev := entry.Version, entry.Hash
	if head, ok := batch.Heads[entry.Stream]; ok {
		if head.Version != version {
			return fmt.Errorf("%w: %s at %d, not %d", ErrConflict, entry.Stream, head.Version, version)
		}
		prev = head.Hash
	}
	subject := subjectOf(entry.Stream)
	for i := range entry.Events {
		e := &entry.Events[i]
		version++
		e.ID, e.Source, e.Subject = eventID(entry.Stream, version), l.Source(), subject
		e.Sequence, e.Time = version, now
		prev = ChainHash(prev, entry.Stream, *e)
		body, err := events.Encode(*e)
		if err != nil {
			return fmt.Errorf("encode %s: %w", e.Type, err)
		}
		rows.add(entry, i, *e, prev)
		batch.messages = append(batch.messages, Message{Subject: events.BusSubject(e.Type, subject), ID: l.cfg.Service + "/" + e.ID, Data: body})
	}
	batch.Heads[entry.Stream] = Head{version, prev}
	return nil
}

// rows are the columns of the log, side by side, as unnest takes them.
type rows struct {
	stream, kind, actor, correlation, causation, trace, key, data []string
	version                                                       []int64
	keyHash, hash                                                 [][]byte
}

func newRows(entries []Entry) *rows {
	n := 0
	for i := range entries {
		n += len(entries[i].Events)
	}
	text := func() []string { return make([]string, 0, n) }
	return &rows{
		stream: text(), kind: text(), actor: text(), correlation: text(), causation: text(), trace: text(),
		key: text(), data: text(), version: make([]int64, 0, n), keyHash: make([][]byte, 0, n), hash: make([][]byte, 0, n),
	}
}

func (r *rows) add(entry *Entry, i int, e events.Event, hash []byte) {
	r.stream = append(r.stream, entry.Stream)
	r.version = append(r.version, e.Sequence)
	r.kind = append(r.kind, e.Type)
	r.actor = append(r.actor, e.Actor)
	r.correlation = append(r.correlation, e.CorrelationID)
	r.causation = append(r.causation, e.CausationID)
	r.trace = append(r.trace, e.TraceParent)
	r.data = append(r.data, string(e.Data))
	r.hash = append(r.hash, hash)
	key, keyHash := "", []byte(nil)
	if i == 0 {
		key, keyHash = entry.CommandKey, entry.CommandHash
	}
	r.key = append(r.key, key)
	r.keyHash = append(r.keyHash, keyHash)
}

type headColumns struct {
	stream   []string
	version  []int64
	hash     [][]byte
	snapshot []*string
}

// headRows has one row per stream, as it is after the last entry that wrote to it.
func headRows(entries []Entry, heads map[string]Head) headColumns {
	var c headColumns
	at := make(map[string]int, len(heads))
	for i := range entries {
		e := &entries[i]
		row, seen := at[e.Stream]
		if !seen {
			row = len(c.stream)
			at[e.Stream] = row
			head := heads[e.Stream]
			c.stream = append(c.stream, e.Stream)
			c.version = append(c.version, head.Version)
			c.hash = append(c.hash, head.Hash)
			c.snapshot = append(c.snapshot, nil)
		}
		if e.Snapshot != nil {
			s := string(e.Snapshot)
			c.snapshot[row] = &s
		}
	}
	return c
}
