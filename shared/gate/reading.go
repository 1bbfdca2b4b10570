package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// source is the bus as far as the gate needs it: JetStream, or a test's.
type source interface {
	// position tells which stream of events there is, and how far it goes.
	position(ctx context.Context) (position, error)
	// newest is the sequence of the tenant's newest event; 0 when it has none.
	newest(ctx context.Context, tenant string) (uint64, error)
	// snapshot asks the lifecycle for one page of records.
	snapshot(ctx context.Context, page SnapshotRequest) (Snapshot, error)
	// signal tells whoever listens something about this gate.
	signal(s Signal) error
	// consume hands over the events behind a sequence of the stream, in order and by one goroutine. From 0 it may leave out
	// all but the newest event of each type and tenant.
	consume(ctx context.Context, after uint64, take func(delivery)) (consumer, error)
}

// position is a point in a stream.
type position struct {
	// made is when the stream was made. In a stream made anew, a sequence stands for another event.
	made time.Time
	last uint64
}

// consumer is one source's way through the stream.
type consumer interface {
	// promised is how many deliveries there will have been when it has handed over all that the stream held a moment ago.
	// It is errLost when the consumer is no more.
	promised(ctx context.Context) (uint64, error)
	stop()
}

// delivery is one event on its way.
type delivery struct {
	// number counts the consumer's deliveries from 1, sequence is the stream's.
	number, sequence uint64
	header           map[string][]string
	data             []byte
}

var (
	errLost     = errors.New("gate: the consumer is gone, or a delivery was lost")
	errNewOne   = errors.New("gate: the stream was made anew")
	errBehind   = errors.New("gate: events are still on their way")
	errNotBegun = errors.New("gate: not running")
)

// reading is how far one consumer has come.
type reading struct {
	source   source
	stream   time.Time // which stream it is; see position
	consumer consumer
	apply    func(delivery)
	// broken is closed when a delivery was lost: what follows must not be taken.
	broken chan struct{}

	mu sync.Mutex
	// cursor is the sequence of the last event that was applied, count the number of its delivery.
	cursor, count uint64
	// moved is closed when count grows. It is nil while nobody waits, so that reading a long stream makes no garbage.
	moved chan struct{}
}

// take applies a delivery, unless one is missing in front of it.
func (r *reading) take(d delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.broken:
		return
	default:
	}
	if d.number != r.count+1 {
		close(r.broken)
		return
	}
	r.apply(d)
	r.cursor, r.count = d.sequence, d.number
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

func (r *reading) progress() (cursor, count uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cursor, r.count
}

// catchUp returns when everything has been applied that the stream held a moment ago. It asks the bus instead of trusting
// the connection: a connection to a server that has lost its stream looks well too.
func (r *reading) catchUp(ctx context.Context) error {
	at, err := r.source.position(ctx)
	if err != nil {
		return fmt.Errorf("gate: ask for the stream: %w", err)
	}
	if cursor, _ := r.progress(); !at.made.Equal(r.stream) || at.last < cursor {
		return errNewOne
	}
	total, err := r.consumer.promised(ctx)
	if err != nil {
		return fmt.Errorf("gate: ask for the consumer: %w", err)
	}
	return r.until(ctx, func() bool { return r.count >= total })
}

// catchUpWith returns when the tenant's newest event has been applied.
func (r *reading) catchUpWith(ctx context.Context, tenant string) error {
	sequence, err := r.source.newest(ctx, tenant)
	if err != nil {
		return fmt.Errorf("gate: ask for the newest event of %s: %w", tenant, err)
	}
	return r.until(ctx, func() bool { return r.cursor >= sequence })
}

// until waits for progress.
func (r *reading) until(ctx context.Context, enough func() bool) error {
	for {
		r.mu.Lock()
		if enough() {
			r.mu.Unlock()
			return nil
		}
		if r.moved == nil {
			r.moved = make(chan struct{})
		}
		moved := r.moved
		r.mu.Unlock()
		select {
		case <-moved:
		case <-r.broken:
			return errLost
		case <-ctx.Done():
			return errBehind
		}
	}
}
