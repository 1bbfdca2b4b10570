package tenant

import (
	"time"

	"tenure/shared/events"
)

// The statuses of an OperationView.
const (
	OpPending    = "pending"
	OpRunning    = "running"
	OpSucceeded  = "succeeded"
	OpFailed     = "failed"
	OpRolledBack = "rolled_back"
	OpCancelled  = "cancelled"
)

// OperationView is one operation as GET /v1/operations/{id} shows it, folded from the tenant's events.
type OperationView struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	Kind   string `json:"kind"`
	Status string `json:"status"`
	// Step is the action that runs now.
	Step  string     `json:"step,omitempty"`
	Steps []StepView `json:"steps,omitempty"`
	// Progress is between 0 and 1.
	Progress float64 `json:"progress"`
	Error    string  `json:"error,omitempty"`
	// NeedsOperator: it can go neither forward nor back by itself.
	NeedsOperator bool      `json:"needs_operator,omitempty"`
	FromPlan      string    `json:"from_plan,omitempty"`
	ToPlan        string    `json:"to_plan,omitempty"`
	StartedAt     time.Time `json:"started_at"`
	EndedAt       time.Time `json:"ended_at,omitzero"`
}

// StepView is one step of an OperationView.
type StepView struct {
	ID          string     `json:"id"`
	Participant string     `json:"participant"`
	Action      string     `json:"action"`
	Phase       int        `json:"phase"`
	Status      StepStatus `json:"status"`
	Compensate  bool       `json:"compensate,omitempty"`
	Attempt     int        `json:"attempt,omitempty"`
	Error       string     `json:"error,omitempty"`
}

// OperationOf names the operation or export that p is about; it is empty when p is about none.
func OperationOf(p events.Payload) string { return "" }

// ProjectOperation folds one event into the operation it is about. The zero view opens a new one.
func ProjectOperation(op OperationView, e events.Event, p events.Payload) OperationView { return op }
