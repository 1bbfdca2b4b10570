package tenant

import "time"

// The kinds of operations that take the lease.
const (
	OpProvision  = "provision"
	OpUpgrade    = "upgrade"
	OpDowngrade  = "downgrade"
	OpReactivate = "reactivate"
	OpPurge      = "purge"
)

// LeaseStatus says which way an operation goes.
type LeaseStatus string

// A lease runs, is undone, waits for a decision about a failed sign-up, or for an operator.
const (
	LeaseRunning      LeaseStatus = "running"
	LeaseCompensating LeaseStatus = "compensating"
	LeaseFailed       LeaseStatus = "failed"
	LeaseStuck        LeaseStatus = "stuck"
)

// StepStatus is where one step stands, forward or, when Undo is set, on the way back.
type StepStatus string

// A step waits for its phase, is asked, waits for its next try, is done, or has no tries left.
const (
	StepPending StepStatus = "pending"
	StepRunning StepStatus = "running"
	StepWaiting StepStatus = "waiting"
	StepDone    StepStatus = "done"
	StepFailed  StepStatus = "failed"
)

// Operation is a saga that holds the tenant's lease.
type Operation struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Epoch is the version at which the lease was taken: higher than that of any lease before.
	Epoch  int64       `json:"epoch"`
	Status LeaseStatus `json:"status"`
	// ReturnTo is the state that a roll-back leads to.
	ReturnTo    StateName `json:"return_to,omitempty"`
	FromPlan    string    `json:"from_plan,omitempty"`
	ToPlan      string    `json:"to_plan,omitempty"`
	RestoreData *bool     `json:"restore_data,omitempty"`
	Resolution  string    `json:"resolution,omitempty"`
	Steps       []Step    `json:"steps,omitempty"`
	Error       string    `json:"error,omitempty"`
}

// Step is one action of one participant.
type Step struct {
	ID          string     `json:"id"`
	Participant string     `json:"participant"`
	Action      string     `json:"action"`
	Phase       int        `json:"phase"`
	Timeout     int        `json:"timeout"` // seconds
	Status      StepStatus `json:"status"`
	// Undo: the step is being taken back; Status and Attempt are those of the way back.
	Undo    bool `json:"undo,omitempty"`
	Attempt int  `json:"attempt,omitempty"`
	// Deadline is when a running step is given up, or when a waiting one is asked again.
	Deadline time.Time `json:"deadline,omitzero"`
}
