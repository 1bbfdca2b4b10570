// Package eventlog is a service's append-only log of events, which is its outbox at the same time: what is committed
// here is published, in order, at least once, whatever fails in between.
//
// Order: an append first locks the row of its partition and holds it until the commit. So (partition, sequence) has no
// gaps and grows as transactions commit; the relay needs no look-back to find late commits, and no two commits
// of one stream can be published the wrong way round. (Cursors over a bare sequence or over transaction ids lose or
// invert events; both were measured.)
//
// Trust: the events of a stream form a hash chain (chain.go), so that a change made behind the log's back shows.
package eventlog

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/shared/events"
	"tenure/shared/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrConflict says that a stream was not at the version the writer had decided on, or that a command's key was used
// before. Nothing was written; load again and decide again.
var ErrConflict = errors.New("eventlog: the stream has moved on")

// Config of a log.
type Config struct {
	// Service is the emitter's name: "lifecycle". It is the CloudEvents source "tenure/<service>".
	Service string
	// Partitions is how many appends may run side by side; it can grow but never shrink. 0 is 1.
	Partitions int
}

// Log is safe for concurrent use.
type Log struct {
	db     *pgxpool.Pool
	cfg    Config
	relays []*relay
}

// Entry is what one command adds to one stream.
type Entry struct {
	Stream string
	// Version and Hash are the stream's head as the writer knows it; Append reads them itself, Write trusts them and
	// fails with ErrConflict when they are old.
	Version int64
	Hash    []byte
	// Events carry type, subject, actor, correlation, causation and data; the log gives id, source, time, sequence.
	Events []events.Event
	// Snapshot is the state after the last event as JSON; nil leaves the column alone.
	Snapshot []byte
	// CommandKey makes a second append of the same command fail; CommandHash tells whether it was the same content.
	CommandKey  string
	CommandHash []byte
}

// Recorded is an event as it stands in the log.
type Recorded struct {
	events.Event
	Partition int
	Position  int64 // within the partition
	Hash      []byte
}

// Open migrates the tables into the pool's schema and returns the log.
func Open(ctx context.Context, db *pgxpool.Pool, cfg Config) (*Log, error) {
	cfg.Partitions = max(cfg.Partitions, 1)
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := pg.MigrateSet(ctx, db, "eventlog", files); err != nil {
		return nil, err
	}
	l := &Log{db: db, cfg: cfg}
	for id := range cfg.Partitions {
		const insert = `WITH p AS (INSERT INTO partitions (id) VALUES ($1) ON CONFLICT DO NOTHING)
			INSERT INTO relays (partition) VALUES ($1) ON CONFLICT DO NOTHING`
		if _, err := db.Exec(ctx, insert, id); err != nil {
			return nil, fmt.Errorf("eventlog: partition %d: %w", id, err)
		}
		l.relays = append(l.relays, newRelay(l, id))
	}
	return l, nil
}

// Partitions returns how many there are.
func (l *Log) Partitions() int { return l.cfg.Partitions }

// Source is the CloudEvents source of the log's events.
func (l *Log) Source() string { return "tenure/" + l.cfg.Service }

// PartitionOf tells which partition a stream belongs to, for ever.
func (l *Log) PartitionOf(stream string) int {
	if l.cfg.Partitions == 1 {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(stream))
	return int(h.Sum32() % uint32(l.cfg.Partitions))
}

// eventID names an event for ever: the log needs no index of ids, since (stream, version) is one.
func eventID(stream string, version int64) string {
	return stream + "." + strconv.FormatInt(version, 10)
}

// subjectOf is the tenant a stream is about: "stripe/acme" is about acme.
func subjectOf(stream string) string { return stream[strings.LastIndexByte(stream, '/')+1:] }

const columns = `partition, sequence, stream, version, type, time, actor, correlation, causation, coalesce(traceparent, ''), data, hash`

func (l *Log) scan(row pgx.CollectableRow) (Recorded, error) {
	var r Recorded
	var stream, data string
	err := row.Scan(&r.Partition, &r.Position, &stream, &r.Sequence, &r.Type, &r.Time, &r.Actor, &r.CorrelationID,
		&r.CausationID, &r.TraceParent, &data, &r.Hash)
	r.ID, r.Source, r.Subject = eventID(stream, r.Sequence), l.Source(), subjectOf(stream)
	r.Time, r.Data = r.Time.UTC(), json.RawMessage(data)
	return r, err
}

// Read returns up to limit events of a stream whose version is above after, oldest first.
func (l *Log) Read(ctx context.Context, q pg.Querier, stream string, after int64, limit int) ([]Recorded, error) {
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM log WHERE stream = $1 AND version > $2 ORDER BY version LIMIT $3`,
		stream, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", stream, err)
	}
	return pgx.CollectRows(rows, l.scan)
}

// ReadPartition returns up to limit events of a partition behind position after, in the order of their commits.
func (l *Log) ReadPartition(ctx context.Context, q pg.Querier, partition int, after int64, limit int) ([]Recorded, error) {
	rows, err := q.Query(ctx, `SELECT `+columns+` FROM log WHERE partition = $1 AND sequence > $2 ORDER BY sequence LIMIT $3`,
		partition, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read partition %d: %w", partition, err)
	}
	return pgx.CollectRows(rows, l.scan)
}

// Caused is what a command wrote.
type Caused struct {
	Events []Recorded
	Hash   []byte // of the command's content
}

// FindCommand returns the events that the command with this key wrote to the stream, or nil when it wrote none.
func (l *Log) FindCommand(ctx context.Context, q pg.Querier, stream, key string) (*Caused, error) {
	var first int64
	c := &Caused{}
	err := q.QueryRow(ctx, `SELECT version, command_hash FROM log WHERE stream = $1 AND command_key = $2`, stream, key).
		Scan(&first, &c.Hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find command of %s: %w", stream, err)
	}
	all, err := l.Read(ctx, q, stream, first-1, maxEventsPerCommand)
	for i, r := range all {
		if i > 0 && r.CausationID != all[0].CausationID {
			all = all[:i]
			break
		}
	}
	c.Events = all
	return c, err
}

// maxEventsPerCommand bounds how many events one command may write; the widest operation plans stay far below.
const maxEventsPerCommand = 256

// truncate keeps what PostgreSQL keeps of a time, so that a hash computed before the insert holds after it.
func truncate(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
