package participant_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/participant"
	"tenure/shared/testkit"
)

const soon = 20 * time.Second

// control stands for the control plane: it accepts the registration and asks for steps.
type control struct {
	t       *testing.T
	server  *testkit.NATSServer
	bus     *bus.Bus
	answers chan events.Event
	version map[string]int64
}

func newControl(t *testing.T) *control {
	t.Helper()
	server := testkit.NATS(t)
	b, err := bus.Connect(t.Context(), bus.Config{URL: server.URL(), Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.EnsureTopology(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := &control{t: t, server: server, bus: b, answers: make(chan events.Event, 100), version: map[string]int64{}}
	c.listen()
	return c
}

// listen collects what the participant called "index" publishes.
func (c *control) listen() {
	c.t.Helper()
	js, err := jetstream.New(c.bus.Conn())
	if err != nil {
		c.t.Fatal(err)
	}
	consumer, err := js.OrderedConsumer(c.t.Context(), bus.StreamEvents, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"tenure.events.index.>"}})
	if err != nil {
		c.t.Fatal(err)
	}
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		e, err := events.Decode(msg.Headers(), msg.Data())
		if err != nil {
			c.t.Errorf("answer on %s: %v", msg.Subject(), err)
			return
		}
		if msg.Headers().Get(nats.MsgIdHdr) == "" && e.Name() != events.StepProgressedName {
			c.t.Errorf("answer %s has no Nats-Msg-Id", e.ID)
		}
		c.answers <- e
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(consuming.Stop)
}

// ask publishes a step request; the zero fields of r are filled in.
func (c *control) ask(tenant string, r events.StepRequest) events.Event {
	c.t.Helper()
	c.version[tenant]++
	if r.Participant == "" {
		r.Participant = "index"
	}
	if r.StepID == "" {
		r.StepID = fmt.Sprintf("%s-step-%d", tenant, c.version[tenant])
	}
	r.Attempt = max(r.Attempt, 1)
	if r.Deadline.IsZero() {
		r.Deadline = time.Now().Add(time.Minute)
	}
	e, err := events.New(&events.StepRequested{Change: events.Change{To: "upgrading"}, StepRequest: r}, tenant)
	if err != nil {
		c.t.Fatal(err)
	}
	e.Sequence = c.version[tenant]
	e.ID, e.Source, e.Time = tenant+"."+strconv.FormatInt(e.Sequence, 10), "tenure/lifecycle", time.Now()
	e.CorrelationID = "command-1"
	if err := c.bus.Publish(c.t.Context(), e); err != nil {
		c.t.Fatal(err)
	}
	return e
}

func (c *control) answer() (events.Event, events.StepAnswer) {
	c.t.Helper()
	e := testkit.Receive(c.t, soon, c.answers)
	a, err := e.DecodeAnswer()
	if err != nil {
		c.t.Fatal(err)
	}
	return e, a
}

// settled waits until no request is unanswered at the bus.
func (c *control) settled() {
	c.t.Helper()
	c.allAcked("participant_index")
}

func (c *control) allAcked(durable string) {
	c.t.Helper()
	js, err := jetstream.New(c.bus.Conn())
	if err != nil {
		c.t.Fatal(err)
	}
	testkit.WaitFor(c.t, soon, "every message is acked", func() bool {
		consumer, err := js.Consumer(c.t.Context(), bus.StreamEvents, durable)
		if err != nil {
			return false
		}
		info, err := consumer.Info(c.t.Context())
		return err == nil && info.NumPending == 0 && info.NumAckPending == 0
	})
}

// take runs a participant called "index" until the test ends or stop is called.
func (c *control) take(actions map[string]participant.Handler) (stop func()) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- participant.Run(ctx, participant.Config{Name: "index", Conn: c.bus.Conn(), Actions: actions})
	}()
	c.ready()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := testkit.Receive(c.t, soon, ended); err != nil {
			c.t.Errorf("run: %v", err)
		}
	}
	c.t.Cleanup(stop)
	return stop
}

// ready waits for the durable consumer: requests from before it are not for this participant.
func (c *control) ready() { c.t.Helper(); c.waitForConsumer("participant_index") }

func (c *control) waitForConsumer(durable string) {
	c.t.Helper()
	js, err := jetstream.New(c.bus.Conn())
	if err != nil {
		c.t.Fatal(err)
	}
	testkit.WaitFor(c.t, soon, "the participant listens", func() bool {
		_, err := js.Consumer(c.t.Context(), bus.StreamEvents, durable)
		return err == nil
	})
}

func done(context.Context, participant.Step) (any, error) { return nil, nil }

func TestStepIsDoneAndAnswered(t *testing.T) {
	c := newControl(t)
	c.take(map[string]participant.Handler{
		"erase": func(_ context.Context, s participant.Step) (any, error) {
			if s.Tenant != "acme" || s.ToPlan != "starter" {
				t.Errorf("handler got %+v", s)
			}
			return map[string]int{"before": 3, "after": 0}, nil
		},
	})
	asked := c.ask("acme", events.StepRequest{StepID: "s1", Action: "erase", ToPlan: "starter", Attempt: 2})
	e, a := c.answer()
	want := events.StepAnswer{StepID: "s1", Participant: "index", Result: json.RawMessage(`{"after":0,"before":3}`)}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if e.Type != "tenure.index.step.completed.v1" || e.Subject != "acme" || e.ID != "s1.do.2.step.completed" ||
		e.CausationID != asked.ID || e.CorrelationID != "command-1" {
		t.Errorf("envelope: %+v", e)
	}
	c.settled()
}

func TestFailuresAreAnswered(t *testing.T) {
	c := newControl(t)
	c.take(map[string]participant.Handler{
		"provision": func(context.Context, participant.Step) (any, error) { return nil, errors.New("no disk") },
		"switch": func(context.Context, participant.Step) (any, error) {
			return nil, fault.Permanent(errors.New("no such plan"))
		},
		"release": func(context.Context, participant.Step) (any, error) { return make(chan int), nil },
	})
	for _, test := range []struct {
		action    string
		permanent bool
	}{{"provision", false}, {"switch", true}, {"release", true}, {"drain", true}} {
		c.ask("acme", events.StepRequest{Action: test.action})
		e, a := c.answer()
		if e.Name() != events.StepFailedName || a.Error == "" || a.Permanent != test.permanent {
			t.Errorf("%s: %s %+v", test.action, e.Type, a)
		}
	}
	c.settled()
}

func TestTheWayBackHasAnswersOfItsOwn(t *testing.T) {
	c := newControl(t)
	c.take(map[string]participant.Handler{"switch": done})
	c.ask("acme", events.StepRequest{StepID: "s1", Action: "switch"})
	there, _ := c.answer()
	c.ask("acme", events.StepRequest{StepID: "s1", Action: "switch", Compensate: true})
	back, _ := c.answer()
	if there.ID == back.ID {
		t.Errorf("both answers are %s: the second counts as a repetition", there.ID)
	}
}

func TestOthersStepsArePassedOver(t *testing.T) {
	c := newControl(t)
	c.take(map[string]participant.Handler{"provision": done})
	c.ask("acme", events.StepRequest{Participant: "other", Action: "provision"})
	c.ask("acme", events.StepRequest{StepID: "mine", Action: "provision"})
	if _, a := c.answer(); a.StepID != "mine" {
		t.Errorf("answered %s", a.StepID)
	}
	c.settled()
}

// One tenant's steps run one after another as they were asked for; another tenant's do not wait for them.
func TestOrderPerTenant(t *testing.T) {
	c := newControl(t)
	blocked, release := make(chan struct{}), make(chan struct{})
	c.take(map[string]participant.Handler{
		"provision": func(ctx context.Context, s participant.Step) (any, error) {
			if s.StepID == "slow" {
				close(blocked)
				<-release
			}
			return nil, nil
		},
	})
	c.ask("acme", events.StepRequest{StepID: "slow", Action: "provision"})
	testkit.Receive(t, soon, wait(blocked))
	c.ask("acme", events.StepRequest{StepID: "behind", Action: "provision"})
	c.ask("other", events.StepRequest{StepID: "beside", Action: "provision"})
	var order []string
	_, a := c.answer()
	order = append(order, a.StepID)
	close(release)
	for range 2 {
		_, a := c.answer()
		order = append(order, a.StepID)
	}
	if diff := cmp.Diff([]string{"beside", "slow", "behind"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestAnExportHoldsNothingUp(t *testing.T) {
	c := newControl(t)
	release := make(chan struct{})
	c.take(map[string]participant.Handler{
		"export": func(ctx context.Context, s participant.Step) (any, error) {
			if s.StepID == "long" {
				<-release
			}
			return events.ExportFiles{Files: []events.ExportFile{}}, nil
		},
		"switch": func(context.Context, participant.Step) (any, error) { return nil, nil },
	})
	c.ask("acme", events.StepRequest{StepID: "long", Action: "export", Operation: "export"})
	c.ask("acme", events.StepRequest{StepID: "behind", Action: "export", Operation: "export"})
	c.ask("acme", events.StepRequest{StepID: "beside", Action: "switch"})
	_, a := c.answer()
	order := []string{a.StepID}
	close(release)
	for range 2 {
		_, a := c.answer()
		order = append(order, a.StepID)
	}
	if diff := cmp.Diff([]string{"beside", "long", "behind"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// wait turns the closing of a channel into a value.
func wait(closed <-chan struct{}) <-chan bool {
	out := make(chan bool, 1)
	go func() { <-closed; out <- true }()
	return out
}

func TestStepsPastTheirDeadlineAreLeftToTheLifecycle(t *testing.T) {
	c := newControl(t)
	c.take(map[string]participant.Handler{
		"drain": func(ctx context.Context, s participant.Step) (any, error) {
			if s.StepID == "late" {
				t.Error("a step past its deadline was begun")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		},
		"verify": done,
	})
	c.ask("acme", events.StepRequest{StepID: "late", Action: "drain", Deadline: time.Now().Add(-time.Second)})
	c.ask("acme", events.StepRequest{StepID: "slow", Action: "drain", Deadline: time.Now().Add(100 * time.Millisecond)})
	c.ask("acme", events.StepRequest{StepID: "next", Action: "verify"})
	if _, a := c.answer(); a.StepID != "next" {
		t.Errorf("answered %s: its failure would count against the attempt that follows", a.StepID)
	}
	c.settled()
}

func TestProgressIsReported(t *testing.T) {
	c := newControl(t)
	c.take(map[string]participant.Handler{
		"export": func(_ context.Context, s participant.Step) (any, error) {
			for i := range int64(1000) {
				s.Progress(i, 1000)
			}
			return nil, nil
		},
	})
	c.ask("acme", events.StepRequest{StepID: "s1", Action: "export"})
	e, a := c.answer()
	if e.Name() != events.StepProgressedName || a.StepID != "s1" || a.Total != 1000 {
		t.Errorf("%s: %+v", e.Type, a)
	}
	if e, _ := c.answer(); e.Name() != events.StepCompletedName {
		t.Errorf("a thousand calls within a second made more than one report: %s", e.Type)
	}
}

func TestAStoppingParticipantGivesItsStepToTheNext(t *testing.T) {
	c := newControl(t)
	begun := make(chan struct{})
	stop := c.take(map[string]participant.Handler{
		"provision": func(ctx context.Context, _ participant.Step) (any, error) {
			close(begun)
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	c.ask("acme", events.StepRequest{StepID: "s1", Action: "provision"})
	testkit.Receive(t, soon, wait(begun))
	stop()
	c.take(map[string]participant.Handler{"provision": done})
	if e, a := c.answer(); e.Name() != events.StepCompletedName || a.StepID != "s1" {
		t.Errorf("%s: %+v", e.Type, a)
	}
}

// The process died between its answer and the ack: the answer stands, whatever doing it again would give. So it is when
// what was answered since is a newer step: doing the older one now would undo that.
func TestAnAnsweredStepIsNotDoneAgain(t *testing.T) {
	for name, answered := range map[string]struct{ step, id, cause string }{
		"the same step": {"s1", "s1.do.1.step.completed", "acme.1"},
		"a newer step":  {"s2", "s2.do.1.step.completed", "acme.2"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newControl(t)
			begun := make(chan struct{})
			stop := c.take(map[string]participant.Handler{
				"erase": func(ctx context.Context, _ participant.Step) (any, error) {
					close(begun)
					<-ctx.Done()
					return nil, ctx.Err()
				},
			})
			c.ask("acme", events.StepRequest{StepID: "s1", Action: "erase"})
			testkit.Receive(t, soon, wait(begun))
			stop()
			answer, err := events.Answer("acme", events.StepCompletedName, events.StepAnswer{StepID: answered.step, Participant: "index"})
			if err != nil {
				t.Fatal(err)
			}
			answer.ID, answer.Source, answer.Time, answer.CausationID = answered.id, "tenure/index", time.Now(), answered.cause
			if err := c.bus.Publish(t.Context(), answer); err != nil {
				t.Fatal(err)
			}
			c.take(map[string]participant.Handler{
				"erase": func(context.Context, participant.Step) (any, error) {
					t.Error("the step was done again")
					return nil, nil
				},
			})
			c.settled()
		})
	}
}

func TestTheAnswerWaitsForTheBus(t *testing.T) {
	c := newControl(t)
	begun, release := make(chan struct{}), make(chan struct{})
	c.take(map[string]participant.Handler{
		"provision": func(context.Context, participant.Step) (any, error) {
			close(begun)
			<-release
			return nil, nil
		},
	})
	c.ask("acme", events.StepRequest{StepID: "s1", Action: "provision"})
	testkit.Receive(t, soon, wait(begun))
	c.server.Stop()
	close(release)
	testkit.WaitFor(t, soon, "the bus is lost", func() bool { return !c.bus.Connected() })
	c.server.Start()
	if e, a := c.answer(); e.Name() != events.StepCompletedName || a.StepID != "s1" {
		t.Errorf("%s: %+v", e.Type, a)
	}
}

func TestRegistration(t *testing.T) {
	c := newControl(t)
	type call struct {
		method, path, auth, body string
	}
	calls := make(chan call, 10)
	statuses := make(chan int, 10)
	plane := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls <- call{r.Method, r.URL.Path, r.Header.Get("Authorization"), string(body)}
		w.WriteHeader(<-statuses)
	}))
	t.Cleanup(plane.Close)
	registered := make(chan struct{})
	cfg := participant.Config{
		Name: "index", Conn: c.bus.Conn(), ControlURL: plane.URL, Token: "secret", NeedsDrain: true, Timeout: 90 * time.Second,
		Registered: func() { close(registered) },
		Actions:    map[string]participant.Handler{"switch": done, "drain": done},
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- participant.Run(ctx, cfg) }()
	want := call{"PUT", "/v1/participants/index", "Bearer secret", `{"actions":["drain","switch"],"needs_drain":true,"timeout":"1m30s"}`}
	for _, status := range []int{503, 404, 200} { // not there yet, not routed yet, there
		statuses <- status
		if diff := cmp.Diff(want, testkit.Receive(t, soon, calls), cmp.AllowUnexported(call{})); diff != "" {
			t.Errorf("call (-want +got):\n%s", diff)
		}
	}
	testkit.Receive(t, soon, wait(registered))
	cancel()
	if err := testkit.Receive(t, soon, ended); err != nil {
		t.Errorf("run: %v", err)
	}

	statuses <- 422
	if err := participant.Run(t.Context(), cfg); err == nil {
		t.Error("a registration that is refused for good is no error")
	}
}

func TestConfigIsChecked(t *testing.T) {
	conn := newControl(t).bus.Conn()
	actions := map[string]participant.Handler{"erase": done}
	for name, cfg := range map[string]participant.Config{
		"a name with a wildcard": {Name: "in.*", Conn: conn, Actions: actions},
		"no connection":          {Name: "index", Actions: actions},
		"no actions":             {Name: "index", Conn: conn},
	} {
		if err := participant.Run(t.Context(), cfg); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
