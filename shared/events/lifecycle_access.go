package events

import "time"

// Access in the lifecycle's log: payment, blocks, and the way back.

// PaymentPastDue starts the grace.
type PaymentPastDue struct {
	Change
	// GraceEndsAt is absent for a tenant that is exempt: its grace never ends.
	GraceEndsAt *time.Time `json:"grace_ends_at,omitempty"`
	// Blocks are those left: a payment block that waited for the end of a change gives way to the grace.
	Blocks []Block `json:"blocks,omitempty"`
}

// EventType names the type on the bus.
func (*PaymentPastDue) EventType() string { return "tenure.lifecycle.payment.past_due.v1" }

// TenantExempted says that the tenant keeps its access whatever it owes.
type TenantExempted struct {
	Change
	// Blocks are those left: a payment block goes.
	Blocks []Block `json:"blocks,omitempty"`
}

// EventType names the type on the bus.
func (*TenantExempted) EventType() string { return "tenure.lifecycle.tenant.exempted.v1" }

// ExemptionEnded says that the tenant pays like any other again.
type ExemptionEnded struct {
	Change
	// GraceEndsAt is there when the tenant owes money.
	GraceEndsAt *time.Time `json:"grace_ends_at,omitempty"`
}

// EventType names the type on the bus.
func (*ExemptionEnded) EventType() string { return "tenure.lifecycle.exemption.ended.v1" }

// MilestoneReached says that the tenant did something for the first time in its life.
type MilestoneReached struct {
	Change
	Milestone string `json:"milestone" jsonschema:"enum=first_upload,enum=first_query"`
	// SinceSignup is how long after the registration, in seconds.
	SinceSignup float64 `json:"since_signup_seconds"`
}

// EventType names the type on the bus.
func (*MilestoneReached) EventType() string { return "tenure.lifecycle.milestone.reached.v1" }

// PaymentRecovered says that the live subscription is paid again.
type PaymentRecovered struct {
	Change
}

// EventType names the type on the bus.
func (*PaymentRecovered) EventType() string { return "tenure.lifecycle.payment.recovered.v1" }

// TenantSuspended closes access.
type TenantSuspended struct {
	Change
	Blocks []Block `json:"blocks,omitempty"`
}

// EventType names the type on the bus.
func (*TenantSuspended) EventType() string { return "tenure.lifecycle.tenant.suspended.v1" }

// BlockAdded adds a reason why access is limited; the state stays.
type BlockAdded struct {
	Change
	Block  string  `json:"block" jsonschema:"enum=payment,enum=trial,enum=admin,enum=abuse,enum=over_limit"`
	Blocks []Block `json:"blocks,omitempty"`
	// GraceEndsAt is when a payment block closes access, if the change that it waits for ends earlier.
	GraceEndsAt *time.Time `json:"grace_ends_at,omitempty"`
}

// EventType names the type on the bus.
func (*BlockAdded) EventType() string { return "tenure.lifecycle.block.added.v1" }

// BlockLifted takes a reason away; others may remain.
type BlockLifted struct {
	Change
	Block  string  `json:"block" jsonschema:"enum=payment,enum=trial,enum=admin,enum=abuse,enum=over_limit"`
	Blocks []Block `json:"blocks,omitempty"`
}

// EventType names the type on the bus.
func (*BlockLifted) EventType() string { return "tenure.lifecycle.block.lifted.v1" }

// ReactivationStarted takes the lease to bring a tenant back.
type ReactivationStarted struct {
	Change
	Operation   OperationPlan `json:"operation"`
	RestoreData bool          `json:"restore_data"`
	Blocks      []Block       `json:"blocks,omitempty"`
}

// EventType names the type on the bus.
func (*ReactivationStarted) EventType() string { return "tenure.lifecycle.reactivation.started.v1" }

// TenantReactivated says that the tenant works again; every timer of its leaving is disarmed.
type TenantReactivated struct {
	Change
	OperationID string  `json:"operation_id"`
	Plan        string  `json:"plan"`
	RestoreData bool    `json:"restore_data"`
	Blocks      []Block `json:"blocks,omitempty"`
}

// EventType names the type on the bus.
func (*TenantReactivated) EventType() string { return "tenure.lifecycle.tenant.reactivated.v1" }

// ReactivationFailed puts the tenant back where it was, with the same deadline.
type ReactivationFailed struct {
	Change
	OperationID string  `json:"operation_id"`
	Error       string  `json:"error,omitempty"`
	Blocks      []Block `json:"blocks,omitempty"`
}

// EventType names the type on the bus.
func (*ReactivationFailed) EventType() string { return "tenure.lifecycle.reactivation.failed.v1" }

// TenantReborn opens a new generation of a deleted tenant; nothing of the old one comes back.
type TenantReborn struct {
	Change
	Plan       string `json:"plan"`
	Generation int64  `json:"generation"`
}

// EventType names the type on the bus.
func (*TenantReborn) EventType() string { return "tenure.lifecycle.tenant.reborn.v1" }

func init() {
	register[MilestoneReached]()
	register[TenantExempted]()
	register[ExemptionEnded]()
	register[PaymentPastDue]()
	register[PaymentRecovered]()
	register[TenantSuspended]()
	register[BlockAdded]()
	register[BlockLifted]()
	register[ReactivationStarted]()
	register[TenantReactivated]()
	register[ReactivationFailed]()
	register[TenantReborn]()
}
