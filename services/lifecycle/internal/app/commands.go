package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/schema"
	"tenure/shared/vault"
)

// outageDelay is how long messages wait while the database is away.
const outageDelay = 500 * time.Millisecond

// HandleCommands decides a batch of messages from the command stream. A message that can never become a command is a
// permanent fault (a dead letter); a refused command is an event like any other.
func (e *Engine) HandleCommands(ctx context.Context, messages []bus.Message) (done int, err error) {
	list := make([]Submission, 0, len(messages))
	var bad error
	for i := range messages {
		s, err := fromMessage(messages[i].Event)
		if err != nil {
			bad = fault.Permanent(err)
			break // those in front of it first, then this one is put aside, then those behind
		}
		list = append(list, s)
	}
	done, err = settle(e.SubmitAll(ctx, list))
	if err == nil {
		err = bad
	}
	return done, err
}

// settle counts the outcomes, from the first on, that are committed. Refusals are: the log holds them.
func settle(outcomes []Outcome) (done int, err error) {
	for i := range outcomes {
		if outcomes[i].Err != nil {
			return i, fault.RetryAfter(outcomes[i].Err, outageDelay)
		}
	}
	return len(outcomes), nil
}

// fromMessage turns a public command into a submission.
func fromMessage(ev events.Event) (Submission, error) {
	if ev.Service() != "command" {
		return Submission{}, &events.FormatError{Code: "not_a_command", Message: ev.Type + " is no command"}
	}
	payload, ok := events.NewPayload(ev.Type)
	if !ok {
		return Submission{}, &events.FormatError{Code: "unknown_command", Message: "there is no command " + ev.Name()}
	}
	var mismatch *schema.Error
	if err := schema.Validate(ev.Type, ev.Data); errors.As(err, &mismatch) {
		return Submission{}, &events.FormatError{Code: mismatch.Code, Message: mismatch.Error()}
	} else if err != nil {
		return Submission{}, err
	}
	payload, err := ev.Payload()
	if err != nil {
		return Submission{}, &events.FormatError{Code: "schema_mismatch", Message: err.Error()}
	}
	correlation := ev.CorrelationID
	if correlation == "" {
		correlation = ev.ID
	}
	actor := ev.Actor
	if actor == "" {
		actor = "service:" + ev.Source
	}
	s := Command(ev.Subject, ev.Name(), "command/"+ev.ID, payload)
	s.Hash, s.CausationID, s.CorrelationID, s.Actor, s.TraceParent = ContentHash(ev.Type, ev.Data), ev.ID, correlation, actor, ev.TraceParent
	return s, nil
}

// Command makes a submission; a registration's personal data is taken out of the payload, into Contact.
func Command(id, name, key string, payload events.Payload) Submission {
	s := Submission{Tenant: id, Name: name, Key: key, Payload: payload}
	if r, ok := payload.(*events.Register); ok {
		s.Contact = &vault.Contact{Name: r.Name, Email: r.Email}
	}
	return s
}

// ContentHash tells two commands under one key apart.
func ContentHash(eventType string, data []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", eventType)
	h.Write(data)
	return h.Sum(nil)
}

// HandleAnswers turns participants' answers into commands. Answers that fit no step that runs decide to nothing, so that
// repeated and late ones are harmless.
func (e *Engine) HandleAnswers(ctx context.Context, messages []bus.Message) (done int, err error) {
	list := make([]Submission, 0, len(messages))
	at := make([]int, 0, len(messages)) // the message behind each submission
	for i := range messages {
		s, ok := fromAnswer(messages[i].Event)
		if ok {
			list, at = append(list, s), append(at, i)
		}
	}
	outcomes := e.SubmitAll(ctx, list)
	for i := range outcomes {
		if outcomes[i].Err != nil {
			return at[i], fault.RetryAfter(outcomes[i].Err, outageDelay)
		}
	}
	return len(messages), nil
}

func fromAnswer(ev events.Event) (Submission, bool) {
	a, err := ev.DecodeAnswer()
	if err != nil || a.StepID == "" || a.Participant != ev.Service() {
		return Submission{}, false // speaks for another participant, or nonsense: it answers no step
	}
	var payload events.Payload
	var name string
	switch ev.Name() {
	case events.StepCompletedName:
		name, payload = tenant.CmdCompleteStep, &tenant.CompleteStep{StepID: a.StepID, Participant: a.Participant, Result: a.Result}
	case events.StepFailedName:
		name, payload = tenant.CmdFailStep, &tenant.FailStep{StepID: a.StepID, Participant: a.Participant, Error: a.Error, Permanent: a.Permanent}
	default:
		return Submission{}, false
	}
	return fromService(ev, name, payload), true
}

// fromService makes the command that follows from a service's event; the event's id is its key.
func fromService(ev events.Event, name string, payload events.Payload) Submission {
	correlation := ev.CorrelationID
	if correlation == "" {
		correlation = ev.ID
	}
	return Submission{
		Tenant: ev.Subject, Name: name, Key: ev.Source + "/" + ev.ID, Hash: ContentHash(ev.Type, ev.Data), Payload: payload,
		CausationID: ev.ID, CorrelationID: correlation, Actor: "service:" + ev.Service(), TraceParent: ev.TraceParent,
	}
}
