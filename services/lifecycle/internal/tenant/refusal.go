package tenant

import "tenure/shared/events"

// Kind groups refusals for callers that translate them, for example into HTTP statuses.
type Kind string

// The kinds of refusals.
const (
	Conflict  Kind = "conflict"  // not in this state, or not now
	Invalid   Kind = "invalid"   // wrong in itself
	Limit     Kind = "limit"     // too many
	Forbidden Kind = "forbidden" // not for this actor
	NotFound  Kind = "not_found"
)

// Refusal is the error of a command that the state machine does not allow.
type Refusal struct {
	Kind    Kind
	Code    string
	Message string
	// Allowed are the commands that the tenant's state does allow.
	Allowed []string
	// Violations are the limits that the tenant's usage does not fit.
	Violations []Violation
}

// Violation is one limit that the usage does not fit.
type Violation struct {
	Metric string  `json:"metric"`
	Usage  float64 `json:"usage"`
	Limit  float64 `json:"limit"`
}

func (r *Refusal) Error() string { return r.Message }

// Event records the refusal in the tenant's log.
func (r *Refusal) Event(s State, command string) *events.CommandRefused {
	return &events.CommandRefused{
		Change:  events.Change{From: s.Status(), To: s.Status(), Reason: r.Message},
		Command: command, Code: r.Code, Message: r.Message, Allowed: r.Allowed,
	}
}
