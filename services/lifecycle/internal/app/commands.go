package app

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/pg"
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
	for i, out := range e.SubmitAll(ctx, list) {
		if err := settle(out); err != nil {
			return i, err
		}
	}
	return len(list), bad
}

// settle tells what an outcome means to the message behind it; nil: it is done. Refusals are, for the log holds them;
// but a used id on another command is in no log, so that the dead letters must tell of it.
//
// Only an outage is waited for as long as it takes. Whatever else fails does so again: waiting for it would keep every
// other tenant's messages out for ever.
func settle(out Outcome) error {
	var malformed *events.FormatError
	switch err := out.Err; {
	case err == nil && out.Refusal != nil && out.Refusal.Code == codeKeyReused:
		return fault.Conflict(out.Refusal)
	case err == nil:
		return nil
	case errors.As(err, &malformed):
		return fault.Permanent(err)
	case IsOutage(err):
		return fault.RetryAfter(err, outageDelay)
	default:
		return err
	}
}

// IsOutage reports whether a command failed only because a part is away or the service stops: sent again, it may well
// be decided. What the engine itself cannot do is permanent, or an event that does not fit the bus.
func IsOutage(err error) bool {
	var malformed *events.FormatError
	if fault.IsPermanent(err) || errors.As(err, &malformed) {
		return false
	}
	return pg.IsUnavailable(err) || errors.Is(err, context.Canceled)
}

// fromMessage turns a public command into a submission.
func fromMessage(ev events.Event) (Submission, error) {
	if ev.Service() != "command" {
		return Submission{}, &events.FormatError{Code: "not_a_command", Message: ev.Type + " is no command"}
	}
	if _, known := events.NewPayload(ev.Type); !known {
		return Submission{}, &events.FormatError{Code: "unknown_command", Message: "there is no command " + ev.Name()}
	}
	if ev.Subject == events.NoTenant {
		return Submission{}, &events.FormatError{Code: events.CodeInvalidTenantID, Message: "no tenant may be called " + events.NoTenant}
	}
	if err := CheckForm(ev.Type, ev.Data); err != nil {
		return Submission{}, err
	}
	payload, err := ev.Payload()
	if err != nil {
		return Submission{}, &events.FormatError{Code: "schema_mismatch", Message: err.Error()}
	}
	// What we understood, not what was sent: a sender that writes its JSON anew says the same.
	understood, err := json.Marshal(payload)
	if err != nil {
		return Submission{}, err
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
	s.Hash, s.CausationID, s.CorrelationID, s.Actor, s.TraceParent = ContentHash(ev.Type, understood), ev.ID, correlation, actor, ev.TraceParent
	return s, nil
}

// CheckForm holds a command's data to its schema. The error is a *events.FormatError that quotes nothing of the data.
func CheckForm(commandType string, data []byte) error {
	var mismatch *schema.Error
	err := schema.Validate(commandType, data)
	if errors.As(err, &mismatch) {
		return &events.FormatError{Code: mismatch.Code, Message: mismatch.Error()}
	}
	return err
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
	for i, out := range e.SubmitAll(ctx, list) {
		if err := settle(out); err != nil {
			return at[i], err
		}
	}
	return len(messages), nil
}

// maxResult bounds what a participant may put into the log, in bytes: with its envelope it must fit the bus.
const maxResult = 16 << 10

func fromAnswer(ev events.Event) (Submission, bool) {
	a, err := ev.DecodeAnswer()
	if a.Participant == "" {
		a.Participant = ev.Service() // the type says it already
	}
	if err != nil || a.StepID == "" || a.Participant != ev.Service() {
		return Submission{}, false // speaks for another participant, or nonsense: it answers no step
	}
	if len(a.Result) > maxResult {
		slog.Warn("a step's result is too large for the log and left out", "tenant", ev.Subject, "step", a.StepID, "bytes", len(a.Result))
		a.Result = nil
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
