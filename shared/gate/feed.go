package gate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/events"
)

const (
	eventStream      = "TENURE_EVENTS"
	lifecycleSubject = "tenure.events.lifecycle.>"
	// probePeriod is how often the gate asks the bus how far it is.
	probePeriod = time.Second
	// retryPeriod is how long the gate waits for a bus that is not there yet.
	retryPeriod = 250 * time.Millisecond
)

// feed is how far the replica has read the stream.
type feed struct {
	mu      sync.Mutex
	stream  jetstream.Stream
	applied uint64
	// moved is closed when applied grows. It is nil while nobody waits, so that reading a long stream at the start
	// makes no garbage.
	moved chan struct{}
}

func (f *feed) advance(sequence uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = sequence
	if f.moved != nil {
		close(f.moved)
		f.moved = nil
	}
}

// reach waits until the stream has been applied up to sequence.
func (f *feed) reach(ctx context.Context, sequence uint64) error {
	for {
		f.mu.Lock()
		if f.applied >= sequence {
			f.mu.Unlock()
			return nil
		}
		if f.moved == nil {
			f.moved = make(chan struct{})
		}
		moved := f.moved
		f.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Run feeds the replica from the bus until ctx ends, and then returns nil. It waits for a bus that is not there yet
// and survives its loss: the replica goes on from where it was. Call it once.
func (g *Gate) Run(ctx context.Context, conn *nats.Conn) error {
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	for {
		consuming, err := g.consume(ctx, js)
		if err == nil {
			defer consuming.Stop()
			g.watch(ctx)
			return nil
		}
		g.cfg.Log.InfoContext(ctx, "gate waits for the bus", "stream", eventStream, "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryPeriod):
		}
	}
}

func (g *Gate) consume(ctx context.Context, js jetstream.JetStream) (jetstream.ConsumeContext, error) {
	stream, err := js.Stream(ctx, eventStream)
	if err != nil {
		return nil, err
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{lifecycleSubject}})
	if err != nil {
		return nil, err
	}
	consuming, err := consumer.Consume(g.take)
	if err != nil {
		return nil, err
	}
	g.feed.mu.Lock()
	g.feed.stream = stream
	g.feed.mu.Unlock()
	return consuming, nil
}

// take applies one message. What cannot be read is logged and passed over: one broken event must not keep every
// tenant's later ones out.
func (g *Gate) take(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		g.cfg.Log.Error("gate: message without metadata", "subject", msg.Subject(), "error", err)
		return
	}
	e, err := events.Decode(msg.Headers(), msg.Data())
	if err == nil {
		err = g.replica.apply(e)
	}
	if err != nil {
		g.cfg.Log.Error("gate: event passed over", "subject", msg.Subject(), "error", err)
	}
	g.feed.advance(meta.Sequence.Stream)
}

// watch keeps ready and stale true to the facts: the replica is fresh when it has applied all that the stream held
// at a moment less than StaleAfter ago. It asks the stream instead of trusting the connection, because a connection
// to a server that has lost its stream's leader looks well too.
func (g *Gate) watch(ctx context.Context) {
	staleness := time.AfterFunc(g.cfg.StaleAfter, func() { g.stale.Store(true) })
	defer staleness.Stop()
	for {
		began := time.Now()
		probe, cancel := context.WithTimeout(ctx, g.cfg.StaleAfter)
		err := g.catchUp(probe)
		cancel()
		wait := probePeriod
		if err == nil {
			staleness.Reset(g.cfg.StaleAfter - time.Since(began))
			g.stale.Store(false)
			g.ready.Store(true)
		} else {
			wait = retryPeriod
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// catchUp returns when the replica has applied everything that the stream holds now.
func (g *Gate) catchUp(ctx context.Context) error {
	g.feed.mu.Lock()
	stream := g.feed.stream
	g.feed.mu.Unlock()
	if stream == nil {
		return errors.New("gate: not running")
	}
	last, err := stream.GetLastMsgForSubject(ctx, lifecycleSubject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil // an empty stream has nothing to catch up with
	}
	if err != nil {
		return fmt.Errorf("gate: ask for the last event: %w", err)
	}
	return g.feed.reach(ctx, last.Sequence)
}
