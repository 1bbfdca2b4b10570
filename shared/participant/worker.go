package participant

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/events"
)

// maxInHand bounds the steps that are taken from the bus and not answered yet.
const maxInHand = 1024

// worker takes step requests from the bus and runs each tenant's one after another, but for exports, and several tenants side
// by side.
type worker struct {
	cfg     Config
	answers *answers
	slots   chan struct{} // one per lane that is served right now
	running sync.WaitGroup

	mu sync.Mutex
	// lanes holds the waiting tasks of each lane that has a goroutine.
	lanes map[lane][]task
	// done is the sequence of the last step dealt with, per lane. An older request that comes after it is a redelivery
	// from before a crash; doing it now would undo what came later (a provision after the erase).
	done map[lane]int64
	// inHand is what the server must be told about while it waits for an answer.
	inHand map[jetstream.Msg]struct{}
}

// task is one step request as it came.
type task struct {
	msg     jetstream.Msg
	event   events.Event
	request events.StepRequest
}

// lane is what is done one after another. Exports change nothing, may take long, and have a lane of their own: an upgrade
// does not wait for one.
type lane struct {
	tenant string
	export bool
}

func (t task) lane() lane { return lane{t.event.Subject, t.request.Action == "export"} }

func newWorker(cfg Config, js jetstream.JetStream) *worker {
	return &worker{
		cfg: cfg, answers: &answers{cfg: cfg, js: js}, slots: make(chan struct{}, cfg.Workers),
		lanes: map[lane][]task{}, done: map[lane]int64{}, inHand: map[jetstream.Msg]struct{}{},
	}
}

// run works until ctx ends and everything in hand is answered or given back.
func (w *worker) run(ctx context.Context, consumer jetstream.Consumer) {
	heartbeat := make(chan struct{})
	go w.keepAlive(heartbeat)
	defer close(heartbeat)
	defer w.running.Wait()
	for consumer != nil {
		if err := w.pull(ctx, consumer); err != nil {
			w.cfg.Log.WarnContext(ctx, "the consumer is lost and made again", "error", err)
		}
		if ctx.Err() != nil {
			return
		}
		consumer = subscribe(ctx, w.answers.js, w.cfg, steps)
	}
}

// pull takes messages until ctx ends (nil) or the consumer is gone.
func (w *worker) pull(ctx context.Context, consumer jetstream.Consumer) error {
	messages, err := consumer.Messages(jetstream.PullMaxMessages(maxInHand), jetstream.WithMessagesErrOnMissingHeartbeat(false))
	if err != nil {
		return err
	}
	// Drain hands out what has been fetched already, so that it can be given back at once instead of after ackWait.
	stop := context.AfterFunc(ctx, messages.Drain)
	defer stop()
	defer messages.Stop()
	for {
		msg, err := messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			w.settle(msg, msg.Nak)
			continue
		}
		w.accept(ctx, msg)
	}
}

// accept queues a request in its lane, behind those that came before it.
func (w *worker) accept(ctx context.Context, msg jetstream.Msg) {
	t, mine := w.read(msg)
	if !mine {
		w.settle(msg, msg.Ack)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inHand[msg] = struct{}{}
	waiting, served := w.lanes[t.lane()]
	w.lanes[t.lane()] = append(waiting, t)
	if !served {
		w.running.Go(func() { w.serve(ctx, t.lane()) })
	}
}

// read decodes a request and tells whether it is for this participant. What cannot be read is nobody's: the lifecycle's
// time-out tells the operators.
func (w *worker) read(msg jetstream.Msg) (t task, mine bool) {
	event, err := events.Decode(msg.Headers(), msg.Data())
	if err != nil {
		w.cfg.Log.Error("request passed over", "subject", msg.Subject(), "error", err)
		return task{}, false
	}
	payload, err := event.Payload()
	if err != nil {
		w.cfg.Log.Error("request passed over", "id", event.ID, "error", err)
		return task{}, false
	}
	requested, ok := payload.(*events.StepRequested)
	if !ok || requested.Participant != w.cfg.Name {
		return task{}, false
	}
	return task{msg: msg, event: event, request: requested.StepRequest}, true
}

// serve works a lane off and ends when it is empty.
func (w *worker) serve(ctx context.Context, l lane) {
	w.slots <- struct{}{}
	defer func() { <-w.slots }()
	for {
		w.mu.Lock()
		waiting := w.lanes[l]
		if len(waiting) == 0 {
			delete(w.lanes, l)
			w.mu.Unlock()
			return
		}
		t := waiting[0]
		w.lanes[l] = waiting[1:]
		w.mu.Unlock()
		w.do(ctx, t)
	}
}

// do deals with one request to the end: done and answered, passed over, or given back.
func (w *worker) do(ctx context.Context, t task) {
	if ctx.Err() != nil {
		w.settle(t.msg, t.msg.Nak)
		return
	}
	if w.overtaken(t) || w.expired(t) || w.answered(ctx, t) {
		w.settle(t.msg, t.msg.Ack)
		return
	}
	if !w.perform(ctx, t) {
		w.settle(t.msg, t.msg.Nak)
		return
	}
	w.mu.Lock()
	w.done[t.lane()] = t.event.Sequence
	w.mu.Unlock()
	w.settle(t.msg, t.msg.Ack)
}

func (w *worker) overtaken(t task) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return t.event.Sequence < w.done[t.lane()]
}

// expired reports a step that the lifecycle has given up: it has asked again, or its compensation is under way.
func (w *worker) expired(t task) bool {
	late := !t.request.Deadline.IsZero() && time.Now().After(t.request.Deadline)
	if late {
		w.cfg.Log.Warn("step passed over: its deadline is past (is this machine's clock right?)",
			"step", t.request.StepID, "deadline", t.request.Deadline)
	}
	return late
}

// answered reports whether a redelivered request has its answer on the bus already: the process died between answer
// and ack. Doing it again could answer the same id with another result.
func (w *worker) answered(ctx context.Context, t task) bool {
	meta, err := t.msg.Metadata()
	return err == nil && meta.NumDelivered > 1 && w.answers.exists(ctx, t)
}

// perform runs the handler and publishes what came of it; false means that the step must be tried again later.
func (w *worker) perform(ctx context.Context, t task) bool {
	answer, ok := w.handle(ctx, t)
	if !ok {
		return ctx.Err() == nil // the deadline passed: the lifecycle's own time-out has answered
	}
	return w.answers.publish(ctx, t, answer)
}

// settle acks or naks. A failure to do so is no harm: the message comes again and is found answered.
func (w *worker) settle(msg jetstream.Msg, how func() error) {
	w.mu.Lock()
	delete(w.inHand, msg)
	w.mu.Unlock()
	if err := how(); err != nil {
		w.cfg.Log.Debug("message not settled", "subject", msg.Subject(), "error", err)
	}
}

// keepAlive tells the server again and again that the steps in hand are not lost, so that ackWait can be short and a
// step may take as long as it needs.
func (w *worker) keepAlive(stop <-chan struct{}) {
	ticker := time.NewTicker(ackWait / 3)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		w.mu.Lock()
		for msg := range w.inHand {
			_ = msg.InProgress() // without a connection there is nobody to tell
		}
		w.mu.Unlock()
	}
}
