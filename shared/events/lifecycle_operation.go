package events

import (
	"encoding/json"
	"time"
)

// Operations and their steps in the lifecycle's log.

// OperationPlan is what a saga means to do, written down before it begins.
type OperationPlan struct {
	ID       string `json:"id"`
	Kind     string `json:"kind" jsonschema:"enum=provision,enum=upgrade,enum=downgrade,enum=reactivate,enum=purge"`
	FromPlan string `json:"from_plan,omitempty"`
	ToPlan   string `json:"to_plan,omitempty"`
	// Coupon is of a return alone: what was offered for it.
	Coupon string     `json:"coupon,omitempty"`
	Steps  []StepPlan `json:"steps,omitempty"`
}

// StepPlan is one action of one participant. Steps of one phase run side by side, phases one after another.
type StepPlan struct {
	ID             string `json:"id"`
	Participant    string `json:"participant"`
	Action         string `json:"action" jsonschema:"enum=provision,enum=drain,enum=bill,enum=switch,enum=release,enum=archive,enum=restore,enum=export,enum=erase,enum=verify,enum=certify,enum=apply"`
	Phase          int    `json:"phase"`
	TimeoutSeconds int    `json:"timeout_seconds"`
	// ReadOnly: nothing may be written to the tenant while the step runs; see Change.ReadOnlyUntil.
	ReadOnly bool `json:"read_only,omitempty"`
}

// StepRequest is what a participant is asked. The same step may be asked again (Attempt grows): answer by StepID,
// do the work once.
type StepRequest struct {
	StepID      string `json:"step_id"`
	OperationID string `json:"operation_id"`
	// Operation is the kind of the operation, not its id.
	Operation   string `json:"operation" jsonschema:"enum=provision,enum=upgrade,enum=downgrade,enum=reactivate,enum=purge,enum=export"`
	Participant string `json:"participant"`
	Action      string `json:"action" jsonschema:"enum=provision,enum=drain,enum=bill,enum=switch,enum=release,enum=archive,enum=restore,enum=export,enum=erase,enum=verify,enum=certify,enum=apply"`
	// Attempt counts from 1.
	Attempt int `json:"attempt"`
	// Compensate asks to undo the same action: FromPlan and ToPlan are already exchanged.
	Compensate bool   `json:"compensate,omitempty"`
	FromPlan   string `json:"from_plan,omitempty"`
	ToPlan     string `json:"to_plan,omitempty"`
	// RestoreData is set in reactivations alone: whether the old data comes back or is erased.
	RestoreData *bool `json:"restore_data,omitempty"`
	// Coupon is set where a tenant comes back with an offer: Stripe's id of it, for the step bill.
	Coupon string `json:"coupon,omitempty"`
	// Since and Include are set in exports alone. What did not change after Since may be left out, and so may every kind that
	// Include does not name; an empty Include names all.
	Since      *time.Time `json:"since,omitempty"`
	Include    []string   `json:"include,omitempty"`
	Generation int64      `json:"generation"`
	// Deadline is when an answer comes too late: the step then counts as failed and is asked again.
	Deadline time.Time `json:"deadline"`
}

// StepRequested asks one participant for one action.
type StepRequested struct {
	Change
	StepRequest
}

// EventType names the type on the bus.
func (*StepRequested) EventType() string { return "tenure.lifecycle.step.requested.v1" }

// StepDone records a participant's success.
type StepDone struct {
	Change
	OperationID string          `json:"operation_id"`
	StepID      string          `json:"step_id"`
	Participant string          `json:"participant"`
	Action      string          `json:"action"`
	Result      json.RawMessage `json:"result,omitempty"`
}

// EventType names the type on the bus.
func (*StepDone) EventType() string { return "tenure.lifecycle.step.done.v1" }

// StepErrored records a participant's failure or silence.
type StepErrored struct {
	Change
	OperationID string `json:"operation_id"`
	StepID      string `json:"step_id"`
	Participant string `json:"participant"`
	Action      string `json:"action"`
	Attempt     int    `json:"attempt"`
	// Final: no more tries; compensation begins.
	Final bool   `json:"final"`
	Error string `json:"error"`
	// RetryAt is when the step is asked again, unless Final.
	RetryAt *time.Time `json:"retry_at,omitempty"`
}

// EventType names the type on the bus.
func (*StepErrored) EventType() string { return "tenure.lifecycle.step.errored.v1" }

func init() {
	register[StepRequested]()
	register[StepDone]()
	register[StepErrored]()
}
