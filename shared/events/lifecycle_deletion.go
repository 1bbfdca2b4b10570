package events

import "time"

// Leaving in the lifecycle's log: deletion, purge, legal holds.

// DeletionRequested closes access and sets the deadline. It is the signal to whoever holds more than data about the tenant:
// end its sessions, and revoke the keys and tokens that you gave it. Tenure has issued none.
type DeletionRequested struct {
	Change
	RequestedAt time.Time `json:"requested_at"`
	// Nothing is destroyed before ScheduledFor; by Latest everything is gone and counted again.
	ScheduledFor  time.Time `json:"scheduled_for"`
	Latest        time.Time `json:"latest"`
	RetentionDays int       `json:"retention_days"`
	// PreviousState is where a cancelled deletion returns to.
	PreviousState string          `json:"previous_state"`
	Policy        RetentionPolicy `json:"policy,omitzero"`
	// PendingChange is the downgrade that made way. It comes back with a tenant that is restored on the plan it had.
	PendingChange *DroppedChange `json:"pending_change,omitempty"`
}

// RetentionPolicy is what the operator's retention policy said when the deletion was asked for.
type RetentionPolicy struct {
	// Hash names the policy's content.
	Hash string `json:"hash"`
	// RetentionDays was within Min and Max.
	Min int `json:"min_days"`
	Max int `json:"max_days"`
}

// DroppedChange is a pending change of plan that made way for a deletion.
type DroppedChange struct {
	Plan       string    `json:"plan"`
	DueAt      time.Time `json:"due_at"`
	Resolution string    `json:"resolution,omitempty"`
}

// EventType names the type on the bus.
func (*DeletionRequested) EventType() string { return "tenure.lifecycle.deletion.requested.v1" }

// DeletionQueued asks for deletion while a change runs: the change is compensated first.
type DeletionQueued struct {
	Change
	RetentionDays int             `json:"retention_days"`
	RequestedAt   time.Time       `json:"requested_at"`
	Policy        RetentionPolicy `json:"policy,omitzero"`
}

// EventType names the type on the bus.
func (*DeletionQueued) EventType() string { return "tenure.lifecycle.deletion.queued.v1" }

// DeletionCancelled disarms the deadline.
type DeletionCancelled struct {
	Change
}

// EventType names the type on the bus.
func (*DeletionCancelled) EventType() string { return "tenure.lifecycle.deletion.cancelled.v1" }

// PurgeStarted is the point of no return.
type PurgeStarted struct {
	Change
	Operation     OperationPlan `json:"operation"`
	ScheduledFor  time.Time     `json:"scheduled_for"`
	RequestedAt   time.Time     `json:"requested_at"`
	RetentionDays int           `json:"retention_days"`
	Generation    int64         `json:"generation"`
	Region        string        `json:"region,omitempty"`
	GDPR          bool          `json:"gdpr,omitempty"`
	// Policy is that of the request.
	Policy RetentionPolicy `json:"policy,omitzero"`
}

// EventType names the type on the bus.
func (*PurgeStarted) EventType() string { return "tenure.lifecycle.purge.started.v1" }

// PurgeDeferred says why a due purge waits: a hold or a running export.
type PurgeDeferred struct {
	Change
	Holds    []string `json:"holds,omitempty"`
	ExportID string   `json:"export_id,omitempty"`
}

// EventType names the type on the bus.
func (*PurgeDeferred) EventType() string { return "tenure.lifecycle.purge.deferred.v1" }

// PurgeStepFailed calls an operator; it is retried and never passes for deleted.
type PurgeStepFailed struct {
	Change
	OperationID string `json:"operation_id"`
	StepID      string `json:"step_id"`
	Error       string `json:"error"`
}

// EventType names the type on the bus.
func (*PurgeStepFailed) EventType() string { return "tenure.lifecycle.purge.step_failed.v1" }

// TenantPurged says that every store was re-read and found empty.
type TenantPurged struct {
	Change
	OperationID string `json:"operation_id"`
	Generation  int64  `json:"generation"`
	// Certificate is the key of the signed proof in the object store.
	Certificate  string    `json:"certificate,omitempty"`
	ScheduledFor time.Time `json:"scheduled_for"`
}

// EventType names the type on the bus.
func (*TenantPurged) EventType() string { return "tenure.lifecycle.tenant.purged.v1" }

// ComplianceViolation records a broken promise.
type ComplianceViolation struct {
	Change
	// Kind is the promise that was broken: purge_overdue, purge_late, purge_early or residue.
	Kind   string `json:"kind"`
	Detail string `json:"detail,omitempty"`
}

// EventType names the type on the bus.
func (*ComplianceViolation) EventType() string { return "tenure.lifecycle.compliance.violation.v1" }

// HoldPlaced forbids destruction until released.
type HoldPlaced struct {
	Change
	HoldID string `json:"hold_id"`
}

// EventType names the type on the bus.
func (*HoldPlaced) EventType() string { return "tenure.lifecycle.hold.placed.v1" }

// HoldReleased lifts a legal hold.
type HoldReleased struct {
	Change
	HoldID string `json:"hold_id"`
}

// EventType names the type on the bus.
func (*HoldReleased) EventType() string { return "tenure.lifecycle.hold.released.v1" }

func init() {
	register[DeletionRequested]()
	register[DeletionQueued]()
	register[DeletionCancelled]()
	register[PurgeStarted]()
	register[PurgeDeferred]()
	register[PurgeStepFailed]()
	register[TenantPurged]()
	register[ComplianceViolation]()
	register[HoldPlaced]()
	register[HoldReleased]()
}
