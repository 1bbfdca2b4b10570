package events

import "encoding/json"

// The answers to a step. Their type carries the participant's name ("tenure.sample.step.completed.v1"), so that
// the registry cannot hold them: build them with Answer, read them with DecodeAnswer.

// Names of the answers: the last part of their types and subjects.
const (
	StepCompletedName  = "step.completed"
	StepFailedName     = "step.failed"
	StepProgressedName = "step.progressed"
)

// StepAnswer is the data of step.completed, step.failed and step.progressed.
type StepAnswer struct {
	StepID      string `json:"step_id"`
	Participant string `json:"participant"`
	// Result is what the participant wants recorded, for example an erase's counts {"before": 3, "after": 0}.
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
	// Permanent: trying again is of no use; compensate now.
	Permanent bool `json:"permanent,omitempty"`
	// Done and Total tell progress in the participant's own unit.
	Done  int64 `json:"done,omitempty"`
	Total int64 `json:"total,omitempty"`
}

// Erasure is the result of the steps erase and verify. Any other result says only that the participant is done.
type Erasure struct {
	// Before is how many rows there were at the first look; nil: they were not counted.
	Before *int64 `json:"before,omitempty"`
	// After is how many there are at the last look: 0, or the tenant is not deleted.
	After int64 `json:"after"`
	// Exceptions are kept all the same. They stand in the certificate.
	Exceptions []ErasureException `json:"exceptions,omitempty"`
}

// ErasureException is something that outlives a tenant at a participant. It names no person.
type ErasureException struct {
	What string `json:"what"`
	// Reason is why it may be kept: a law, as a rule.
	Reason string `json:"reason"`
}

// AnswerType is the type of an answer called name (StepCompletedName ...) of a participant.
func AnswerType(participant, name string) string { return "tenure." + participant + "." + name + ".v1" }

// Answer makes the event with which a participant answers; the caller fills in id, source and time. When it goes
// through a log, version and id are the log's.
func Answer(tenant, name string, a StepAnswer) (Event, error) {
	data, err := json.Marshal(a)
	if err != nil {
		return Event{}, err
	}
	return Event{Type: AnswerType(a.Participant, name), Subject: tenant, Data: data}, nil
}

// DecodeAnswer reads the data of a step's answer.
func (e Event) DecodeAnswer() (StepAnswer, error) {
	var a StepAnswer
	err := json.Unmarshal(e.Data, &a)
	return a, err
}
