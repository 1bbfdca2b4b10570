package bus

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/events"
	"tenure/shared/fault"
)

// dispatcher keeps one queue per tenant. One goroutine (run) owns all of it; workers get a queue's messages and report
// back over a channel, so that nothing here is locked.
type dispatcher struct {
	cfg      ConsumerConfig
	letters  *deadLetters
	eraser   *eraser // nil unless cfg.Erase is set
	incoming chan jetstream.Msg
	results  chan result
	retries  chan string // keys whose delay is over
	replayed chan bool   // a replay has ended; true: there may be more

	queues map[string]*queue
	ready  []string // keys with messages and nobody at work, in order of arrival
	busy   int
	// replaying: an operator's replay runs beside the workers. What it handles is parked, so that no queue has it too.
	replaying bool
}

type queue struct {
	messages []Message
	working  bool
	waiting  bool // until its retry
	queued   bool // in ready
	failing  string
	tries    int // failures of the event called failing
}

type result struct {
	key  string
	done int
	err  error
}

func newDispatcher(cfg ConsumerConfig, letters *deadLetters) *dispatcher {
	if cfg.Whole {
		cfg.Workers = 1
	}
	return &dispatcher{
		cfg: cfg, letters: letters, incoming: make(chan jetstream.Msg, 2*cfg.MaxBatch), results: make(chan result, cfg.Workers),
		retries: make(chan string, maxPending), replayed: make(chan bool, 1), queues: map[string]*queue{},
	}
}

// run returns when ctx has ended and every worker has reported. Messages that nobody worked on are given back.
func (d *dispatcher) run(ctx context.Context) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	replays := time.NewTicker(time.Second)
	defer replays.Stop()
	for {
		d.start(ctx)
		select {
		case m := <-d.incoming:
			d.take(ctx, m)
			for range len(d.incoming) { // whatever else has arrived joins the same batch
				d.take(ctx, <-d.incoming)
			}
		case r := <-d.results:
			d.finish(ctx, r)
		case key := <-d.retries:
			if q := d.queues[key]; q != nil {
				q.waiting = false
				d.makeReady(key, q)
			}
		case <-beat.C:
			d.heartbeat()
		case <-replays.C:
			d.replay(ctx)
		case more := <-d.replayed:
			d.endReplay(ctx, more)
		case <-ctx.Done():
			return d.drain(ctx)
		}
	}
}

// keyOf is what must stay in order: one tenant's events of one service. A Whole consumer has one queue.
func (d *dispatcher) keyOf(e events.Event) string {
	if d.cfg.Whole {
		return ""
	}
	return orderKey(e)
}

func orderKey(e events.Event) string { return e.Service() + "/" + e.Subject }

func (d *dispatcher) take(ctx context.Context, raw jetstream.Msg) {
	m, err := decode(raw)
	if err != nil {
		d.reject(ctx, m, "", err)
		return
	}
	if d.letters.isParked(orderKey(m.Event)) && m.Event.Sequence > 0 {
		d.reject(ctx, m, orderKey(m.Event), errParked)
		return
	}
	key := d.keyOf(m.Event)
	q := d.queues[key]
	if q == nil {
		q = &queue{}
		d.queues[key] = q
	}
	q.messages = append(q.messages, m)
	d.makeReady(key, q)
}

func (d *dispatcher) makeReady(key string, q *queue) {
	if !q.working && !q.waiting && !q.queued && len(q.messages) > 0 {
		q.queued = true
		d.ready = append(d.ready, key)
	}
}

// start hands ready queues to idle workers.
func (d *dispatcher) start(ctx context.Context) {
	for d.busy < d.cfg.Workers && len(d.ready) > 0 && ctx.Err() == nil {
		key := d.ready[0]
		d.ready = d.ready[1:]
		q := d.queues[key]
		if !d.cfg.Whole {
			// A redelivery arrives behind its successors, which wait for it.
			slices.SortStableFunc(q.messages, func(a, b Message) int { return cmp.Compare(a.Event.Sequence, b.Event.Sequence) })
		}
		q.queued, q.working = false, true
		part := q.messages[:min(len(q.messages), d.cfg.MaxBatch)]
		d.busy++
		go func() { // ends with the handler; its report is awaited by drain
			done, err := d.cfg.Handler(ctx, part)
			for i := range done {
				d.conclude(ctx, part[i])
			}
			d.results <- result{key, done, err}
		}()
	}
}

// conclude ends the delivery of a message that was handled, or is a dead letter. Lost, it comes again; the inbox, or the
// dead letter's row, knows it.
func (d *dispatcher) conclude(ctx context.Context, m Message) {
	if d.eraser != nil && d.cfg.Erase(m) {
		d.eraser.take(ctx, m)
		return
	}
	if err := m.raw.Ack(); err != nil {
		slog.DebugContext(ctx, "ack", "consumer", d.cfg.Name, "error", err)
	}
}

func (d *dispatcher) finish(ctx context.Context, r result) {
	d.busy--
	q := d.queues[r.key]
	q.working = false
	q.messages = q.messages[r.done:]
	if r.err != nil && ctx.Err() == nil && len(q.messages) > 0 {
		d.fail(ctx, r.key, q, r.err)
	}
	if len(q.messages) == 0 && !q.waiting {
		delete(d.queues, r.key)
		return
	}
	d.makeReady(r.key, q)
}

// fail decides about the message that stopped a handler.
func (d *dispatcher) fail(ctx context.Context, key string, q *queue, err error) {
	what, delay := judge(err)
	first := q.messages[0]
	if q.failing != first.Event.ID {
		q.failing, q.tries = first.Event.ID, 0
	}
	if what == retry {
		q.tries++
		if q.tries >= maxTries {
			what = reject
		} else {
			delay = backoff(q.tries)
		}
	}
	if what != reject {
		slog.DebugContext(ctx, "handler failed; the tenant waits", "consumer", d.cfg.Name, "event", first.Event.ID, "tries", q.tries, "delay", delay, "error", err)
		q.waiting = true
		time.AfterFunc(delay, func() { d.retries <- key }) // the buffer holds every key there can be
		return
	}
	parked := ""
	if first.Event.Sequence > 0 && !fault.IsConflict(err) {
		parked = orderKey(first.Event) // those behind it may not overtake it
	}
	if !d.reject(ctx, first, parked, err) {
		q.waiting = true
		time.AfterFunc(time.Second, func() { d.retries <- key })
		return
	}
	q.messages = q.messages[1:]
	if parked == "" {
		return
	}
	for len(q.messages) > 0 && d.reject(ctx, q.messages[0], parked, errParked) {
		q.messages = q.messages[1:]
	}
}

var errParked = errors.New("a message in front of it could not be handled")

// reject puts a message aside and ends its delivery. It reports false when even that failed (the database is away): the
// message stays and is tried again.
func (d *dispatcher) reject(ctx context.Context, m Message, parked string, err error) bool {
	if e := d.letters.store(ctx, d.cfg.Stream, m, parked, err); e != nil {
		slog.ErrorContext(ctx, "cannot store a dead letter; it comes again", "consumer", d.cfg.Name, "event", m.Event.ID, "error", e)
		if m.Event.ID == "" {
			_ = m.raw.NakWithDelay(time.Second) // undecodable: it is in no queue that would try it again
		}
		return false
	}
	slog.WarnContext(ctx, "dead letter", "consumer", d.cfg.Name, "subject", m.Subject, "event", m.Event.ID, "reason", err)
	d.conclude(ctx, m)
	return true
}

// heartbeat keeps the server from delivering again what only waits its turn here.
func (d *dispatcher) heartbeat() {
	for _, q := range d.queues {
		for i := range q.messages {
			_ = q.messages[i].raw.InProgress()
		}
	}
}

// replay handles one message that an operator asked to try again, unless one is being handled already.
func (d *dispatcher) replay(ctx context.Context) {
	if d.replaying {
		return
	}
	d.replaying = true
	go func() { // ends with the handler; its report is awaited by drain
		more, err := d.letters.replayOne(ctx, d.cfg.Handler)
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "replay", "consumer", d.cfg.Name, "error", err)
		}
		d.replayed <- more && err == nil
	}()
}

// endReplay looks which tenants are parked still, and goes on with those that are to be replayed.
func (d *dispatcher) endReplay(ctx context.Context, more bool) {
	d.replaying = false
	if !more {
		return
	}
	if err := d.letters.loadParked(ctx); err != nil {
		slog.WarnContext(ctx, "replay", "consumer", d.cfg.Name, "error", err)
		return // the parked stay parked; the next tick tries again
	}
	d.replay(ctx)
}

// drain waits for the workers (their context has ended) and gives back what nobody worked on.
func (d *dispatcher) drain(ctx context.Context) error {
	if d.replaying {
		<-d.replayed
	}
	for d.busy > 0 {
		d.finish(ctx, <-d.results)
	}
	for _, q := range d.queues {
		for i := range q.messages {
			_ = q.messages[i].raw.Nak()
		}
	}
	return nil
}
