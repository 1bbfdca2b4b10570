package participant

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/events"
	"tenure/shared/fault"
)

// answer is how a step ended.
type answer struct {
	name string // events.StepCompletedName or events.StepFailedName
	data events.StepAnswer
}

// handle runs the handler within the step's deadline. ok is false when there is nothing to say: the process stops, or
// the deadline passed.
func (w *worker) handle(ctx context.Context, t task) (a answer, ok bool) {
	handler, known := w.cfg.Actions[t.request.Action]
	if !known {
		return w.failed(t, fault.Permanent(fmt.Errorf("%s does not do %s", w.cfg.Name, t.request.Action))), true
	}
	if !t.request.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, t.request.Deadline)
		defer cancel()
	}
	step := Step{Tenant: t.event.Subject, StepRequest: t.request, progress: w.answers.progress(t)}
	result, err := handler(ctx, step)
	if err == nil {
		return w.completed(t, result), true
	}
	if ctx.Err() != nil {
		w.cfg.Log.Warn("step broken off", "step", t.request.StepID, "tenant", t.event.Subject, "error", err)
		return answer{}, false
	}
	return w.failed(t, err), true
}

func (w *worker) completed(t task, result any) answer {
	data := events.StepAnswer{StepID: t.request.StepID, Participant: w.cfg.Name}
	if result != nil {
		encoded, err := json.Marshal(result)
		if err != nil {
			return w.failed(t, fault.Permanent(fmt.Errorf("encode the result of %s: %w", t.request.Action, err)))
		}
		data.Result = encoded
	}
	return answer{events.StepCompletedName, data}
}

func (w *worker) failed(t task, err error) answer {
	w.cfg.Log.Warn("step failed", "step", t.request.StepID, "tenant", t.event.Subject, "action", t.request.Action, "error", err)
	return answer{events.StepFailedName, events.StepAnswer{
		StepID: t.request.StepID, Participant: w.cfg.Name, Error: err.Error(), Permanent: fault.IsPermanent(err),
	}}
}

// answers publishes what became of steps.
type answers struct {
	cfg Config
	js  jetstream.JetStream
}

// publishTimeout bounds one try to publish an answer.
const publishTimeout = 5 * time.Second

// publish sends the answer and waits until the stream has it. It goes on trying while the bus is away; false means
// that ctx ended first. One try is made even then: a step that is done should not be done again after a restart.
func (a *answers) publish(ctx context.Context, t task, answer answer) bool {
	msg, err := a.message(t, answer.name, answerID(t, answer.name), answer.data)
	if err != nil {
		a.cfg.Log.ErrorContext(ctx, "answer not encoded", "step", t.request.StepID, "error", err)
		return true
	}
	for {
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
		_, err := a.js.PublishMsg(try, msg)
		cancel()
		if err == nil {
			return true
		}
		a.cfg.Log.InfoContext(ctx, "answer waits for the bus", "step", t.request.StepID, "error", err)
		if !sleep(ctx, retryPeriod) {
			return false
		}
	}
}

// answerID is the same whenever the same attempt ends the same way, so that a repeated answer counts once. The way back
// counts its attempts anew.
func answerID(t task, name string) string {
	way := "do"
	if t.request.Compensate {
		way = "undo"
	}
	return fmt.Sprintf("%s.%s.%d.%s", t.request.StepID, way, t.request.Attempt, name)
}

// exists looks on the bus for an answer to this attempt, or to a request that came after it: doing an older step again then
// would undo what the newer one did. When the bus cannot tell, it says no: handlers are idempotent.
func (a *answers) exists(ctx context.Context, t task) bool {
	stream, err := a.js.Stream(ctx, eventStream)
	if err != nil {
		return false
	}
	for _, name := range []string{events.StepCompletedName, events.StepFailedName} {
		subject := events.BusSubject(events.AnswerType(a.cfg.Name, name), t.event.Subject)
		last, err := stream.GetLastMsgForSubject(ctx, subject)
		if err != nil {
			continue
		}
		if e, err := events.Decode(last.Header, last.Data); err == nil && (e.ID == answerID(t, name) || versionOf(e.CausationID) > t.event.Sequence) {
			return true
		}
	}
	return false
}

// versionOf is the sequence in the id of a log's event; 0 of any other id.
func versionOf(id string) int64 {
	version, _ := strconv.ParseInt(id[strings.LastIndexByte(id, '.')+1:], 10, 64)
	return version
}

// progressPeriod is the least time between two reports of one step.
const progressPeriod = time.Second

// progress returns a Step's Progress. Reports are not waited for: the next one says more.
func (a *answers) progress(t task) func(done, total int64) {
	var mu sync.Mutex
	var last time.Time
	return func(done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) < progressPeriod {
			return
		}
		last = time.Now()
		id := fmt.Sprintf("%s.%d", answerID(t, events.StepProgressedName), last.UnixMilli())
		msg, err := a.message(t, events.StepProgressedName, id, events.StepAnswer{
			StepID: t.request.StepID, Participant: a.cfg.Name, Done: done, Total: total,
		})
		if err == nil {
			err = a.cfg.Conn.PublishMsg(msg)
		}
		if err != nil {
			a.cfg.Log.Debug("progress not reported", "step", t.request.StepID, "error", err)
		}
	}
}

func (a *answers) message(t task, name, id string, data events.StepAnswer) (*nats.Msg, error) {
	e, err := events.Answer(t.event.Subject, name, data)
	if err != nil {
		return nil, err
	}
	e.ID = id
	e.Source = "tenure/" + a.cfg.Name
	e.Time = time.Now().UTC()
	e.CorrelationID = t.event.CorrelationID
	e.CausationID = t.event.ID
	e.Actor = "service:" + a.cfg.Name
	e.TraceParent = t.event.TraceParent
	body, err := events.Encode(e)
	if err != nil {
		return nil, err
	}
	msg := nats.NewMsg(events.BusSubject(e.Type, e.Subject))
	msg.Data = body
	msg.Header.Set("Content-Type", "application/cloudevents+json")
	msg.Header.Set(jetstream.MsgIDHeader, e.Source+"/"+e.ID)
	return msg, nil
}
