package bus

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// erasureBacklog bounds the messages that wait to be overwritten. The server rewrites the file that a message is in,
	// which takes milliseconds: a file has up to 8 MiB.
	erasureBacklog = 64
	// erasureTimeout bounds one deletion; well below ackWait, with all that can wait in front of it.
	erasureTimeout = 5 * time.Second
)

// eraser deletes handled messages from their stream. Each is acknowledged after that: when the process is killed in
// between, it comes again, is known as handled, and is deleted then.
type eraser struct {
	stream jetstream.Stream
	queue  chan Message
	ended  chan struct{}
}

// newEraser starts an eraser; the caller stops it.
func (b *Bus) newEraser(ctx context.Context, stream string) (*eraser, error) {
	s, err := b.js.Stream(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("find stream %s to delete messages of: %w", stream, err)
	}
	e := &eraser{stream: s, queue: make(chan Message, erasureBacklog), ended: make(chan struct{})}
	go func() { // ends when stop has closed the queue
		defer close(e.ended)
		for m := range e.queue {
			e.erase(ctx, m, s.SecureDeleteMsg)
		}
	}()
	return e, nil
}

// stop waits until what was taken is deleted.
func (e *eraser) stop() {
	close(e.queue)
	<-e.ended
}

// take deletes a message that was handled, and overwrites it on the disk: soon, and without keeping the caller. When more
// come than can be overwritten in time (somebody registers thousands of tenants over the bus), a message is only deleted:
// nobody can read it any more either, but its bytes stay on the server's disk until the file that they are in is
// rewritten or dropped.
func (e *eraser) take(ctx context.Context, m Message) {
	select {
	case e.queue <- m:
	default:
		e.erase(ctx, m, e.stream.DeleteMsg)
	}
}

// erase acknowledges the message only when it is gone. It goes on when ctx ends: its effects are committed.
func (e *eraser) erase(ctx context.Context, m Message, remove func(context.Context, uint64) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), erasureTimeout)
	defer cancel()
	if err := remove(ctx, m.seq); err != nil {
		slog.WarnContext(ctx, "a handled message could not be deleted from its stream; unless it is gone it comes again, and is deleted then",
			"subject", m.Subject, "error", err)
		return
	}
	_ = m.raw.Ack() // lost: the server has nothing left to deliver
}
