package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/bus"
	"tenure/shared/events"
)

// driver plays the lifecycle and the control plane for one participant.
type driver struct {
	Participant
	bus         *bus.Bus
	environment Environment
	process     Process
	answers     chan reply
	registered  chan []string
	sequence    int64 // of the steps asked for, for all tenants
	closers     []func()
}

// reply is an answer as it came.
type reply struct {
	event events.Event
	data  events.StepAnswer
}

const (
	tenant       = "conformance-a"
	exportAction = "export"
)

func newDriver(ctx context.Context, b *bus.Bus, p Participant) (*driver, error) {
	d := &driver{Participant: p, bus: b, answers: make(chan reply, 1024), registered: make(chan []string, 16)}
	if err := b.EnsureTopology(ctx); err != nil {
		return nil, err
	}
	if err := d.listen(ctx); err != nil {
		return nil, err
	}
	if err := d.control(ctx); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *driver) close() {
	for _, f := range d.closers {
		f()
	}
}

// listen collects what the participant publishes. What cannot be decoded is an answer too: a wrong one.
func (d *driver) listen(ctx context.Context) error {
	js, err := jetstream.New(d.bus.Conn())
	if err != nil {
		return err
	}
	consumer, err := js.OrderedConsumer(ctx, bus.StreamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"tenure.events." + d.Name + ".>"},
	})
	if err != nil {
		return fmt.Errorf("listen to %s: %w", d.Name, err)
	}
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		e, err := events.Decode(msg.Headers(), msg.Data())
		if err != nil {
			d.answers <- reply{data: events.StepAnswer{Error: fmt.Sprintf("the message on %s is no CloudEvent: %v", msg.Subject(), err)}}
			return
		}
		if e.Name() == events.StepProgressedName {
			return
		}
		data, err := e.DecodeAnswer()
		if err != nil {
			data.Error = fmt.Sprintf("the data of %s: %v", e.Type, err)
		}
		d.answers <- reply{e, data}
	})
	if err != nil {
		return err
	}
	d.closers = append(d.closers, consuming.Stop)
	return nil
}

// control takes the registration, PUT /v1/participants/{name}, as Tenure's API does.
func (d *driver) control(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /v1/participants/{name}", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Actions []string `json:"actions"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.PathValue("name") != d.Name {
			http.Error(w, "register as "+d.Name+" with a list of actions", http.StatusUnprocessableEntity)
			return
		}
		select {
		case d.registered <- body.Actions:
		default: // nobody asks any more
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // until close
	d.closers = append(d.closers, func() { _ = server.Close() })
	d.environment = Environment{ControlURL: "http://" + listener.Addr().String(), Token: "conformance"}
	return nil
}

// awake waits until the participant has said what it does and answers: steps from before it listened are not its own.
func (d *driver) awake(ctx context.Context) error {
	if len(d.Actions) == 0 {
		select {
		case d.Actions = <-d.registered:
		case <-time.After(d.Patience):
			return fmt.Errorf("%s did not register within %v: PUT $TENURE_URL/v1/participants/%s {\"actions\": [...]}", d.Name, d.Patience, d.Name)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if len(d.Actions) == 0 {
		return fmt.Errorf("%s registered no actions", d.Name)
	}
	deadline := time.Now().Add(d.Patience)
	for n := 1; time.Now().Before(deadline) && ctx.Err() == nil; n++ {
		if _, err := d.ask(ctx, "conformance-awake", events.StepRequest{StepID: "awake", Action: d.Actions[0], Attempt: n}); err != nil {
			return err
		}
		if _, err := d.within(ctx, 500*time.Millisecond); err == nil {
			d.quiet(ctx)
			return nil
		}
	}
	return fmt.Errorf("%s answered no step within %v", d.Name, d.Patience)
}

// quiet takes in the answers that are still on their way.
func (d *driver) quiet(ctx context.Context) {
	for {
		if _, err := d.within(ctx, 500*time.Millisecond); err != nil {
			return
		}
	}
}

// ask publishes a step request; what is zero in r is filled in.
func (d *driver) ask(ctx context.Context, tenant string, r events.StepRequest) (events.Event, error) {
	d.sequence++
	if r.Participant == "" {
		r.Participant = d.Name
	}
	if r.StepID == "" {
		r.StepID = "step-" + strconv.FormatInt(d.sequence, 10)
	}
	if r.Deadline.IsZero() {
		r.Deadline = time.Now().Add(time.Minute)
	}
	r.OperationID, r.Operation, r.Generation, r.Attempt = "operation", "upgrade", 1, max(r.Attempt, 1)
	if r.Action == exportAction {
		r.Operation = exportAction
	}
	r.FromPlan, r.ToPlan = "starter", "professional"
	if r.Compensate {
		r.FromPlan, r.ToPlan = r.ToPlan, r.FromPlan
	}
	e, err := events.New(&events.StepRequested{Change: events.Change{From: "upgrading", To: "upgrading"}, StepRequest: r}, tenant)
	if err != nil {
		return events.Event{}, err
	}
	e.Sequence = d.sequence
	e.ID, e.Source, e.Time = tenant+"."+strconv.FormatInt(d.sequence, 10), "tenure/lifecycle", time.Now().UTC()
	e.CorrelationID = "conformance"
	return e, d.bus.Publish(ctx, e)
}

var errSilent = errors.New("no answer in time")

// within returns the next answer.
func (d *driver) within(ctx context.Context, patience time.Duration) (reply, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r := <-d.answers:
		return r, nil
	case <-timer.C:
		return reply{}, errSilent
	case <-ctx.Done():
		return reply{}, ctx.Err()
	}
}

// answerTo waits for the answer to one step and holds its envelope against the contract.
func (d *driver) answerTo(ctx context.Context, asked events.Event, step string) (reply, error) {
	r, err := d.within(ctx, d.Patience)
	if err != nil {
		return r, fmt.Errorf("%s: %w", step, err)
	}
	return r, d.conforms(r, asked, step)
}

// conforms says what is wrong with an answer.
func (d *driver) conforms(r reply, asked events.Event, step string) error {
	e := r.event
	if e.Type == "" {
		return fmt.Errorf("%s: %s", step, r.data.Error)
	}
	completed, failed := events.AnswerType(d.Name, events.StepCompletedName), events.AnswerType(d.Name, events.StepFailedName)
	switch {
	case e.Type != completed && e.Type != failed:
		return fmt.Errorf("%s: the answer's type is %s, it must be %s or %s", step, e.Type, completed, failed)
	case e.Subject != asked.Subject:
		return fmt.Errorf("%s: the answer's subject is %q, it must be the tenant %q", step, e.Subject, asked.Subject)
	case r.data.StepID != step:
		return fmt.Errorf("%s: the answer's step_id is %q", step, r.data.StepID)
	case r.data.Participant != d.Name:
		return fmt.Errorf("%s: the answer's participant is %q, it must be %q", step, r.data.Participant, d.Name)
	case e.Type == failed && r.data.Error == "":
		return fmt.Errorf("%s: it failed without an error: say why", step)
	}
	return nil
}
