package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"tenure/shared/events"
)

const (
	// probePeriod is how often the gate asks the bus how far it is.
	probePeriod = BeatPeriod
	// retryPeriod is how long the gate leaves a bus alone that did not answer.
	retryPeriod = 250 * time.Millisecond
)

// Run feeds the replica from the bus until ctx ends, and then returns nil. It waits for a bus that is not there yet and
// survives its loss: the replica goes on from where it was. Call it once.
//
// It begins with the records of all tenants that the lifecycle answers (SnapshotQuery), and then reads the events that
// came since. When nobody answers, it reads the newest event of each type of every tenant: that takes longer, and needs
// nothing but the bus.
func (g *Gate) Run(ctx context.Context, conn *nats.Conn) error {
	source, err := newJetStream(conn)
	if err != nil {
		return fmt.Errorf("gate: %w", err)
	}
	return g.run(ctx, source)
}

func (g *Gate) run(ctx context.Context, source source) error {
	stopMetrics, err := g.observe()
	if err != nil {
		return err
	}
	defer stopMetrics()
	g.freshAt.Store(time.Now().UnixNano())
	g.staleness = time.AfterFunc(g.cfg.StaleAfter, func() { g.stale.Store(true) })
	defer g.staleness.Stop()
	for {
		err := g.follow(ctx, source)
		if ctx.Err() != nil {
			return nil
		}
		g.cfg.Log.InfoContext(ctx, "gate reads the bus anew", "stream", eventStream, "because", err)
		if !wait(ctx, retryPeriod) {
			return nil
		}
	}
}

// follow reads the stream until ctx ends, or until it must be read with a new consumer.
func (g *Gate) follow(ctx context.Context, source source) error {
	at, err := source.position(ctx)
	if err != nil {
		return err
	}
	r := &reading{source: source, stream: at.made, broken: make(chan struct{})}
	r.apply = func(d delivery) { g.apply(d, source) }
	r.cursor = g.beginning(ctx, source, at)
	if r.consumer, err = source.consume(ctx, r.cursor, r.take); err != nil {
		return err
	}
	defer r.consumer.stop()
	g.reading.Store(r)
	return g.watch(ctx, r)
}

// beginning is the sequence behind which there is something new: where an earlier consumer of the same stream stopped, or
// where the stream was when the snapshot was asked for. What is published is committed, so that no event up to then is
// missing in the snapshot.
func (g *Gate) beginning(ctx context.Context, source source, at position) uint64 {
	if last := g.reading.Load(); last != nil && last.stream.Equal(at.made) {
		if cursor, _ := last.progress(); cursor <= at.last {
			return cursor
		}
	}
	if err := g.load(ctx, source); err != nil {
		g.cfg.Log.InfoContext(ctx, "gate reads events instead of a snapshot, which takes longer", "because", err)
		return 0
	}
	return at.last
}

// apply takes one event in. What cannot be read is logged and passed over: one broken event must not keep every tenant's
// later ones out.
func (g *Gate) apply(d delivery, source source) {
	var step string
	e, err := events.Decode(d.header, d.data)
	if err == nil {
		step, err = g.replica.apply(e)
	}
	if err != nil {
		g.cfg.Log.Error("gate: event passed over", "sequence", d.sequence, "error", err)
	}
	if step != "" {
		g.signal(source, step)
	}
}

// signal says that this gate lives and, if step is not empty, that it has taken it in. What is lost is asked for again.
func (g *Gate) signal(source source, step string) {
	if err := source.signal(Signal{Gate: g.id, Step: step}); err != nil {
		g.cfg.Log.Debug("gate: signal not sent", "error", err)
	}
}

// watch keeps ready and stale true to the facts: the replica is fresh when it has applied all that the stream held at a
// moment less than StaleAfter ago. It returns when ctx ends, or when the consumer is of no use any more.
func (g *Gate) watch(ctx context.Context, r *reading) error {
	for {
		began := time.Now()
		_, before := r.progress()
		probe, cancel := context.WithTimeout(ctx, g.cfg.StaleAfter)
		err := r.catchUp(probe)
		cancel()
		_, after := r.progress()
		period := retryPeriod
		switch {
		case err == nil:
			g.freshSince(began)
			g.signal(r.source, "") // a gate that does not know all must not keep plan changes waiting
			period = probePeriod
		case errors.Is(err, errLost), errors.Is(err, errNewOne):
			return err
		case errors.Is(err, errBehind) && before == after: // the bus answers, and delivers nothing
			return errLost
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.broken:
			return errLost
		case <-time.After(period):
		}
	}
}

func (g *Gate) freshSince(moment time.Time) {
	g.freshAt.Store(moment.UnixNano())
	g.staleness.Reset(g.cfg.StaleAfter - time.Since(moment))
	g.stale.Store(false)
	g.ready.Store(true)
}

// wait reports whether ctx lasted.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
