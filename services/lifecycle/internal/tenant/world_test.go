package tenant

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"tenure/shared/events"
	"tenure/shared/plans"
)

// epoch is where the tests' clock begins.
var epoch = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// entry is one event of the log, as it comes back from the database.
type entry struct {
	event   events.Event
	payload events.Payload
}

// tb is what a test, a property and a fuzz target have in common.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// world is one tenant with a log and a clock that moves only when told. Every event makes the way through JSON that
// it makes in production.
type world struct {
	tb
	state State
	now   time.Time
	facts Facts
	log   []entry
	ids   int
	actor string
	// observe looks at every event that is applied, with the states before and after it.
	observe func(before State, e entry, after State)
}

func newWorld(t tb) *world {
	t.Helper()
	return &world{
		tb: t, state: State{ID: "acme"}, now: epoch, actor: "operator:ann",
		facts: Facts{
			Plans: plans.Default(), Policy: DefaultPolicy(), PeriodEnd: epoch.Add(20 * day),
			Participants: []Participant{
				{
					Name: "sample", NeedsDrain: true, Timeout: 10 * time.Second,
					Actions: []string{"provision", "switch", "release", "drain", "archive", "restore", "erase", "verify"},
				},
				{Name: "search", Actions: []string{"provision", "erase", "verify"}},
			},
		},
	}
}

// send decides a command and applies what it emits. It returns the names of the events.
func (w *world) send(name string, p events.Payload) ([]string, error) {
	w.Helper()
	w.ids++
	id := fmt.Sprintf("op%d", w.ids)
	before := clone(w.Fatal, w.state)
	out, err := Decide(w.state, Command{
		Name: name, ID: "cmd-" + id, NewID: id, Now: w.now, Actor: w.actor, Payload: p, Facts: w.facts,
	})
	if !reflect.DeepEqual(before, w.state) {
		w.Fatalf("%s changed the state it was given:\n%+v\n%+v", name, before, w.state)
	}
	var refusal *Refusal
	if err != nil && !errors.As(err, &refusal) {
		w.Fatalf("%s in %s: not a refusal: %v", name, w.state.Status(), err)
	}
	if err != nil && len(out) > 0 {
		w.Fatalf("%s was refused and emitted %d events", name, len(out))
	}
	names := make([]string, len(out))
	for i, p := range out {
		names[i] = w.append(p)
	}
	return names, err
}

func (w *world) append(p events.Payload) string {
	w.Helper()
	e, err := events.New(p, w.state.ID)
	if err != nil {
		w.Fatal(err)
	}
	e.Sequence, e.Time = w.state.Version+1, w.now
	decoded, err := e.Payload()
	if err != nil {
		w.Fatal(err)
	}
	c := decoded.(change).StateChange()
	if c.From != w.state.Status() || c.To == "" || c.Reason == "" {
		w.Fatalf("%s in %s says from %q to %q because %q", e.Name(), w.state.Status(), c.From, c.To, c.Reason)
	}
	before := w.state
	w.state = Evolve(w.state, e, decoded)
	if c.To != w.state.Status() {
		w.Fatalf("%s led to %s and says %s", e.Name(), w.state.Status(), c.To)
	}
	w.log = append(w.log, entry{e, decoded})
	if w.observe != nil {
		w.observe(before, entry{e, decoded}, w.state)
	}
	return e.Name()
}

// do sends a command that must emit exactly these events.
func (w *world) do(name string, p events.Payload, want ...string) {
	w.Helper()
	got, err := w.send(name, p)
	if err != nil {
		w.Fatalf("%s in %s was refused: %v", name, w.state.Status(), err)
	}
	if !slices.Equal(got, want) {
		w.Fatalf("%s emitted\n %s, not\n %s", name, strings.Join(got, " "), strings.Join(want, " "))
	}
}

// refused sends a command that must be refused with this code.
func (w *world) refused(code, name string, p events.Payload) *Refusal {
	w.Helper()
	got, err := w.send(name, p)
	var r *Refusal
	if !errors.As(err, &r) {
		w.Fatalf("%s in %s was not refused; it emitted %v", name, w.state.Status(), got)
	}
	if r.Code != code {
		w.Fatalf("%s in %s was refused with %s (%s), not %s", name, w.state.Status(), r.Code, r.Message, code)
	}
	return r
}

// step finds the step with this action that is asked of the participant now.
func (w *world) step(participant, action string) Step {
	w.Helper()
	if w.state.Lease != nil {
		for _, s := range w.state.Lease.Steps {
			if s.Participant == participant && s.Action == action {
				return s
			}
		}
	}
	w.Fatalf("no step %s of %s in %+v", action, participant, w.state.Lease)
	return Step{}
}

// done answers a step with success.
func (w *world) done(participant, action string, want ...string) {
	w.Helper()
	s := w.step(participant, action)
	w.do(CmdCompleteStep, &CompleteStep{StepID: s.key(), Participant: participant}, append([]string{"step.done"}, want...)...)
}

// failed answers a step with a failure for good.
func (w *world) failed(participant, action string, want ...string) {
	w.Helper()
	s := w.step(participant, action)
	p := &FailStep{StepID: s.key(), Participant: participant, Error: "broken", Permanent: true}
	w.do(CmdFailStep, p, append([]string{"step.errored"}, want...)...)
}

// finish answers everything that is asked with success until the lease ends.
func (w *world) finish() {
	w.Helper()
	for w.state.Lease != nil {
		asked := false
		for _, s := range w.state.Lease.Steps {
			if w.state.Lease != nil && s.Status == StepRunning {
				asked = true
				if _, err := w.send(CmdCompleteStep, &CompleteStep{StepID: s.key(), Participant: s.Participant}); err != nil {
					w.Fatal(err)
				}
			}
		}
		if !asked {
			w.Fatalf("nobody is asked, and the lease stands: %+v", w.state.Lease)
		}
	}
}

// fire moves the clock to the armed timer of this kind and fires it.
func (w *world) fire(kind string, want ...string) {
	w.Helper()
	for _, t := range w.state.Timers() {
		if t.Kind == kind || strings.HasPrefix(t.Kind, kind+":") {
			if w.now.Before(t.Due) {
				w.now = t.Due
			}
			w.do(CmdFireTimer, &FireTimer{Kind: t.Kind, Due: t.Due, Generation: t.Generation}, want...)
			return
		}
	}
	w.Fatalf("no timer %s in %v", kind, w.state.Timers())
}

// is checks the state's name.
func (w *world) is(want StateName) {
	w.Helper()
	if w.state.Name != want {
		w.Fatalf("the tenant is %s, not %s", w.state.Name, want)
	}
}

// armed lists the kinds of the armed timers.
func (w *world) armed() []string {
	var out []string
	for _, t := range w.state.Timers() {
		kind, _, _ := strings.Cut(t.Kind, ":")
		out = append(out, kind)
	}
	return out
}

// last is the last event of this type.
func last[P events.Payload](w *world) P {
	w.Helper()
	for _, e := range slices.Backward(w.log) {
		if p, ok := e.payload.(P); ok {
			return p
		}
	}
	var none P
	w.Fatalf("the log has no %T", none)
	return none
}

// The ways into a state.

func signedUp(t tb, plan string, trialDays int) *world {
	w := newWorld(t)
	if _, err := w.send(CmdRegister, &events.Register{Name: "Acme", Email: "a@acme.test", Plan: plan, TrialDays: trialDays}); err != nil {
		t.Fatal(err)
	}
	return w
}

func active(t tb) *world {
	w := signedUp(t, "starter", 0)
	if _, err := w.send(CmdConfirmPayment, &ConfirmPayment{Status: "active"}); err != nil {
		t.Fatal(err)
	}
	w.finish()
	w.is(Active)
	return w
}

func trialing(t tb) *world {
	w := signedUp(t, "starter", 14)
	w.finish()
	w.is(Trialing)
	return w
}

// after sends commands that must be allowed.
func (w *world) after(name string, p events.Payload) *world {
	w.Helper()
	if _, err := w.send(name, p); err != nil {
		w.Fatalf("%s in %s: %v", name, w.state.Status(), err)
	}
	return w
}

func clone(fatal func(...any), s State) State {
	data, err := json.Marshal(s)
	if err != nil {
		fatal(err)
	}
	var out State
	if err := json.Unmarshal(data, &out); err != nil {
		fatal(err)
	}
	return out
}

func ptr[T any](v T) *T { return &v }

// days is a retention as a sender writes it.
func days(n int) json.RawMessage { return json.RawMessage(strconv.Itoa(n)) }
