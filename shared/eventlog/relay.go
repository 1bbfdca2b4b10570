package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/shared/events"
)

// Message is an event on its way to the bus.
type Message struct {
	Subject string
	// ID deduplicates at the bus within its window: a saving. The guarantee is the consumer's inbox.
	ID   string
	Data []byte
}

// Publisher sends messages in order and returns how many, from the first on, the bus has confirmed. It may have sent
// more; those are sent again.
type Publisher interface {
	PublishBatch(ctx context.Context, messages []Message) (confirmed int, err error)
}

const (
	relayChunk = 4096
	// queueLimit bounds what waits in memory while the bus is slow or away, in messages. Beyond it the log is read.
	queueLimit = 64 << 10
	// pollInterval is how soon the relay finds what another process has committed.
	pollInterval = 200 * time.Millisecond
	markInterval = 250 * time.Millisecond
	retryDelay   = 250 * time.Millisecond
)

// relay publishes one partition. Batches arrive from memory right behind their commit; the log is the fallback, after a
// restart, an outage of the bus or an append by another process.
type relay struct {
	log       *Log
	partition int
	wake      chan struct{}

	mu      sync.Mutex
	queue   []Batch
	queued  int
	running bool
}

func newRelay(l *Log, partition int) *relay {
	return &relay{log: l, partition: partition, wake: make(chan struct{}, 1)}
}

// Committed hands a batch to the relay. Call it only after the commit has succeeded: what it is given is published.
func (l *Log) Committed(b Batch) {
	r := l.relays[b.partition]
	r.mu.Lock()
	// Without an owner's loop in this process nobody would ever take it out: the owner elsewhere reads the log.
	if r.running && r.queued+len(b.messages) <= queueLimit {
		r.queue = append(r.queue, b)
		r.queued += len(b.messages)
	}
	r.mu.Unlock()
	r.kick()
}

// Kick wakes the relay: something was committed. Calling it for nothing is harmless.
func (l *Log) Kick() {
	for _, r := range l.relays {
		r.kick()
	}
}

func (r *relay) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Relay publishes every partition until ctx ends. Each partition has one owner among all processes: the holder of an
// advisory lock, which the database takes back the moment the owner's connection is gone. Run it once per process.
func (l *Log) Relay(ctx context.Context, pub Publisher) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, r := range l.relays {
		g.Go(func() error { return r.run(ctx, pub) })
	}
	return g.Wait()
}

func (r *relay) run(ctx context.Context, pub Publisher) error {
	for ctx.Err() == nil {
		if err := r.own(ctx, pub); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "the relay lost its partition and tries again", "partition", r.partition, "error", err)
		}
		sleep(ctx, retryDelay)
	}
	return nil
}

// own waits until this process owns the partition and publishes until it no longer does.
func (r *relay) own(ctx context.Context, pub Publisher) error {
	conn, err := r.log.db.Acquire(ctx)
	if err != nil {
		return err
	}
	// The lock lives and dies with this session; a connection given back to the pool would keep it.
	session := conn.Hijack()
	defer session.Close(context.WithoutCancel(ctx))
	for {
		var mine bool
		err := session.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtext(current_schema() || '/relay'), $1)`, r.partition).Scan(&mine)
		if err != nil {
			return err
		}
		if mine {
			break
		}
		if !sleep(ctx, pollInterval) {
			return nil
		}
	}
	o := &ownership{relay: r, session: session, pub: pub}
	err = session.QueryRow(ctx, `UPDATE relays SET epoch = epoch + 1 WHERE partition = $1 RETURNING epoch, published`, r.partition).
		Scan(&o.epoch, &o.published)
	if err != nil {
		return err
	}
	o.marked = o.published
	r.setRunning(true)
	defer r.setRunning(false)
	err = o.publish(ctx)
	if ctx.Err() != nil { // a clean stop: what is marked now, the next owner need not send again
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return errors.Join(err, o.mark(last, true))
	}
	return err
}

func (r *relay) setRunning(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running, r.queue, r.queued = on, nil, 0
}

// take returns the queued messages that follow position published. gap says that another process wrote in between (or
// the queue was full): the log must be read.
func (r *relay) take(published int64) (messages []Message, last int64, gap bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last = published
	for len(r.queue) > 0 && len(messages) < relayChunk {
		b := r.queue[0]
		if b.first > last+1 {
			return messages, last, true
		}
		if b.last > last { // else it was published from the log already
			messages, last = append(messages, b.messages[last+1-b.first:]...), b.last
		}
		r.queue, r.queued = r.queue[1:], r.queued-len(b.messages)
	}
	return messages, last, false
}

// ownership is the time during which this process publishes a partition; epoch fences its marks.
type ownership struct {
	*relay
	session           *pgx.Conn
	pub               Publisher
	epoch             int64
	published, marked int64
	markedAt          time.Time
}

func (o *ownership) publish(ctx context.Context) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	behind := true // the log may hold more than memory: always so at the start
	for {
		messages, last, gap := o.take(o.published)
		behind = behind || gap
		if len(messages) == 0 && behind {
			var err error
			if messages, last, err = o.read(ctx); err != nil {
				return err
			}
			behind = len(messages) > 0
		}
		if len(messages) > 0 {
			if err := o.send(ctx, messages, last); err != nil {
				// The bus is away. Memory may hold a part of what is missing: start over from the log.
				slog.WarnContext(ctx, "the bus did not confirm; events wait in the log", "partition", o.partition, "error", err)
				behind = true
				if !sleep(ctx, retryDelay) {
					return nil
				}
			}
			if err := o.mark(ctx, false); err != nil {
				return err
			}
			continue
		}
		if err := o.mark(ctx, true); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
			behind = behind || !o.hasQueued()
		case <-tick.C:
			behind = true
		}
	}
}

func (r *relay) hasQueued() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue) > 0
}

// read takes the next events from the log.
func (o *ownership) read(ctx context.Context) ([]Message, int64, error) {
	recorded, err := o.log.ReadPartition(ctx, o.session, o.partition, o.published, relayChunk)
	if err != nil || len(recorded) == 0 {
		return nil, o.published, err
	}
	messages := make([]Message, len(recorded))
	for i, rec := range recorded {
		body, err := events.Encode(rec.Event)
		if err != nil {
			return nil, 0, fmt.Errorf("encode %s: %w", rec.ID, err)
		}
		messages[i] = Message{Subject: events.BusSubject(rec.Type, rec.Subject), ID: o.log.cfg.Service + "/" + rec.ID, Data: body}
	}
	return messages, recorded[len(recorded)-1].Position, nil
}

func (o *ownership) send(ctx context.Context, messages []Message, last int64) error {
	confirmed, err := o.pub.PublishBatch(ctx, messages)
	o.published = last - int64(len(messages)-confirmed)
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

var errFenced = errors.New("another process owns the partition")

// mark stores how far we are; late marks cost only duplicates after a crash, so it is done seldom.
func (o *ownership) mark(ctx context.Context, idle bool) error {
	if o.marked == o.published || (!idle && time.Since(o.markedAt) < markInterval) {
		return nil
	}
	tag, err := o.session.Exec(ctx, `UPDATE relays SET published = $3 WHERE partition = $1 AND epoch = $2`,
		o.partition, o.epoch, o.published)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return errFenced
	}
	o.marked, o.markedAt = o.published, time.Now()
	return nil
}

// Backlog is how many committed events wait to be published.
func Backlog(ctx context.Context, db *pgxpool.Pool) (n int64, err error) {
	err = db.QueryRow(ctx, `SELECT coalesce(sum(p.sequence - r.published), 0) FROM partitions p JOIN relays r ON r.partition = p.id`).Scan(&n)
	return n, err
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
