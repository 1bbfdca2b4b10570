package events

import (
	"encoding/json"
	"time"
)

// Change stands in every event of the lifecycle log: what people read in the timeline.
type Change struct {
	From   string `json:"from_state"`
	To     string `json:"to_state"`
	Reason string `json:"reason,omitempty"`
}

// Block is a reason why access is limited: payment, trial, admin, abuse or over_limit.
type Block struct {
	Kind   string    `json:"kind"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// OperationPlan is what a saga means to do, written down before it begins.
type OperationPlan struct {
	ID       string     `json:"id"`
	Kind     string     `json:"kind"` // provision, upgrade, downgrade, reactivate, purge
	FromPlan string     `json:"from_plan,omitempty"`
	ToPlan   string     `json:"to_plan,omitempty"`
	Steps    []StepPlan `json:"steps"`
}

// StepPlan is one action of one participant. Steps of one phase run side by side, phases one after another.
type StepPlan struct {
	ID             string `json:"id"`
	Participant    string `json:"participant"`
	Action         string `json:"action"`
	Phase          int    `json:"phase"`
	TimeoutSeconds int    `json:"timeout_seconds"`
}

// StepRequest is what a participant is asked. The same step may be asked again (Attempt grows): answer by StepID,
// do the work once.
type StepRequest struct {
	StepID      string `json:"step_id"`
	OperationID string `json:"operation_id"`
	// Operation is the kind of the operation: provision, upgrade, downgrade, reactivate, purge.
	Operation   string `json:"operation"`
	Participant string `json:"participant"`
	// Action is provision, drain, bill, switch, release, archive, restore, export, erase, verify or certify.
	Action  string `json:"action"`
	Attempt int    `json:"attempt"`
	// Compensate asks to undo the same action: FromPlan and ToPlan are already exchanged.
	Compensate  bool      `json:"compensate,omitempty"`
	FromPlan    string    `json:"from_plan,omitempty"`
	ToPlan      string    `json:"to_plan,omitempty"`
	RestoreData *bool     `json:"restore_data,omitempty"`
	Generation  int64     `json:"generation"`
	Deadline    time.Time `json:"deadline"`
}

// TenantRegistered opens a tenant's log. Name and e-mail are not here: they go to the vault.
type TenantRegistered struct {
	Change
	Plan            string `json:"plan"`
	Region          string `json:"region,omitempty"`
	GDPR            bool   `json:"gdpr,omitempty"`
	RequiresPayment bool   `json:"requires_payment"`
	// Generation counts the lives of this id, from 1.
	Generation      int64      `json:"generation"`
	SignupExpiresAt *time.Time `json:"signup_expires_at,omitempty"`
	TrialDays       int        `json:"trial_days,omitempty"`
	TrialEndsAt     *time.Time `json:"trial_ends_at,omitempty"`
}

// EventType names the type on the bus.
func (*TenantRegistered) EventType() string { return "tenure.lifecycle.tenant.registered.v1" }

// PaymentConfirmed says that billing saw a live, paid subscription.
type PaymentConfirmed struct {
	Change
}

// EventType names the type on the bus.
func (*PaymentConfirmed) EventType() string { return "tenure.lifecycle.payment.confirmed.v1" }

// SignupAbandoned ends a sign-up that was never paid for; the id is free again.
type SignupAbandoned struct {
	Change
}

// EventType names the type on the bus.
func (*SignupAbandoned) EventType() string { return "tenure.lifecycle.signup.abandoned.v1" }

// ProvisioningStarted plans the steps that give a tenant its resources.
type ProvisioningStarted struct {
	Change
	Operation OperationPlan `json:"operation"`
}

// EventType names the type on the bus.
func (*ProvisioningStarted) EventType() string { return "tenure.lifecycle.provisioning.started.v1" }

// TenantActivated says that every participant is done and the tenant may work.
type TenantActivated struct {
	Change
	OperationID string `json:"operation_id"`
	Plan        string `json:"plan"`
}

// EventType names the type on the bus.
func (*TenantActivated) EventType() string { return "tenure.lifecycle.tenant.activated.v1" }

// ProvisioningFailed says that retries are spent; an operator retries or abandons.
type ProvisioningFailed struct {
	Change
	OperationID string `json:"operation_id"`
	Error       string `json:"error"`
}

// EventType names the type on the bus.
func (*ProvisioningFailed) EventType() string { return "tenure.lifecycle.provisioning.failed.v1" }

// ProvisioningRetried begins the failed provisioning again.
type ProvisioningRetried struct {
	Change
	Operation OperationPlan `json:"operation"`
}

// EventType names the type on the bus.
func (*ProvisioningRetried) EventType() string { return "tenure.lifecycle.provisioning.retried.v1" }

// ProvisioningRolledBack says that a failed sign-up left nothing behind: resources released, money refunded, id freed last.
type ProvisioningRolledBack struct {
	Change
	OperationID string `json:"operation_id"`
}

// EventType names the type on the bus.
func (*ProvisioningRolledBack) EventType() string {
	return "tenure.lifecycle.provisioning.rolled_back.v1"
}

// TrialConverted turns a trial into a paid plan.
type TrialConverted struct {
	Change
	Plan string `json:"plan"`
}

// EventType names the type on the bus.
func (*TrialConverted) EventType() string { return "tenure.lifecycle.trial.converted.v1" }

// TrialExpired closes access after a trial without payment.
type TrialExpired struct {
	Change
	Blocks []Block `json:"blocks"`
}

// EventType names the type on the bus.
func (*TrialExpired) EventType() string { return "tenure.lifecycle.trial.expired.v1" }

// UpgradeStarted takes the lease and plans provision, bill, switch.
type UpgradeStarted struct {
	Change
	Operation OperationPlan `json:"operation"`
}

// EventType names the type on the bus.
func (*UpgradeStarted) EventType() string { return "tenure.lifecycle.upgrade.started.v1" }

// UpgradeCompleted says that the new plan is provisioned, billed and switched to.
type UpgradeCompleted struct {
	Change
	OperationID string `json:"operation_id"`
	FromPlan    string `json:"from_plan"`
	Plan        string `json:"plan"`
	// Blocks are those left after the change (an upgrade with room lifts over_limit).
	Blocks []Block `json:"blocks"`
}

// EventType names the type on the bus.
func (*UpgradeCompleted) EventType() string { return "tenure.lifecycle.upgrade.completed.v1" }

// UpgradeRolledBack says that resources and money are as they were before.
type UpgradeRolledBack struct {
	Change
	OperationID string `json:"operation_id"`
	Plan        string `json:"plan"`
	Error       string `json:"error,omitempty"`
}

// EventType names the type on the bus.
func (*UpgradeRolledBack) EventType() string { return "tenure.lifecycle.upgrade.rolled_back.v1" }

// UpgradeStuck says that even the way back failed: needs_operator.
type UpgradeStuck struct {
	Change
	OperationID string `json:"operation_id"`
	Error       string `json:"error"`
}

// EventType names the type on the bus.
func (*UpgradeStuck) EventType() string { return "tenure.lifecycle.upgrade.stuck.v1" }

// DowngradeScheduled sets the pending change.
type DowngradeScheduled struct {
	Change
	FromPlan   string    `json:"from_plan"`
	Plan       string    `json:"plan"`
	DueAt      time.Time `json:"due_at"`
	Resolution string    `json:"resolution"`
}

// EventType names the type on the bus.
func (*DowngradeScheduled) EventType() string { return "tenure.lifecycle.downgrade.scheduled.v1" }

// DowngradeCancelled clears the pending change before it fell due, or because it no longer fits.
type DowngradeCancelled struct {
	Change
	Plan string `json:"plan"`
}

// EventType names the type on the bus.
func (*DowngradeCancelled) EventType() string { return "tenure.lifecycle.downgrade.cancelled.v1" }

// DowngradeStarted takes the lease and plans the change to the lower plan.
type DowngradeStarted struct {
	Change
	Operation  OperationPlan `json:"operation"`
	Resolution string        `json:"resolution,omitempty"`
}

// EventType names the type on the bus.
func (*DowngradeStarted) EventType() string { return "tenure.lifecycle.downgrade.started.v1" }

// DowngradeCompleted says that the lower plan holds.
type DowngradeCompleted struct {
	Change
	OperationID string  `json:"operation_id"`
	FromPlan    string  `json:"from_plan"`
	Plan        string  `json:"plan"`
	Blocks      []Block `json:"blocks"`
}

// EventType names the type on the bus.
func (*DowngradeCompleted) EventType() string { return "tenure.lifecycle.downgrade.completed.v1" }

// DowngradeRolledBack says that the higher plan still holds.
type DowngradeRolledBack struct {
	Change
	OperationID string `json:"operation_id"`
	Plan        string `json:"plan"`
	Error       string `json:"error,omitempty"`
}

// EventType names the type on the bus.
func (*DowngradeRolledBack) EventType() string { return "tenure.lifecycle.downgrade.rolled_back.v1" }

// DowngradeStuck says that even the way back failed: needs_operator.
type DowngradeStuck struct {
	Change
	OperationID string `json:"operation_id"`
	Error       string `json:"error"`
}

// EventType names the type on the bus.
func (*DowngradeStuck) EventType() string { return "tenure.lifecycle.downgrade.stuck.v1" }

// PaymentPastDue starts the grace.
type PaymentPastDue struct {
	Change
	GraceEndsAt *time.Time `json:"grace_ends_at,omitempty"`
}

// EventType names the type on the bus.
func (*PaymentPastDue) EventType() string { return "tenure.lifecycle.payment.past_due.v1" }

// PaymentRecovered says that the live subscription is paid again.
type PaymentRecovered struct {
	Change
}

// EventType names the type on the bus.
func (*PaymentRecovered) EventType() string { return "tenure.lifecycle.payment.recovered.v1" }

// TenantSuspended closes access.
type TenantSuspended struct {
	Change
	Blocks []Block `json:"blocks"`
}

// EventType names the type on the bus.
func (*TenantSuspended) EventType() string { return "tenure.lifecycle.tenant.suspended.v1" }

// BlockAdded adds a reason why access is limited; the state stays.
type BlockAdded struct {
	Change
	Block  string  `json:"block"`
	Blocks []Block `json:"blocks"`
}

// EventType names the type on the bus.
func (*BlockAdded) EventType() string { return "tenure.lifecycle.block.added.v1" }

// BlockLifted takes a reason away; others may remain.
type BlockLifted struct {
	Change
	Block  string  `json:"block"`
	Blocks []Block `json:"blocks"`
}

// EventType names the type on the bus.
func (*BlockLifted) EventType() string { return "tenure.lifecycle.block.lifted.v1" }

// ReactivationStarted takes the lease to bring a tenant back.
type ReactivationStarted struct {
	Change
	Operation   OperationPlan `json:"operation"`
	RestoreData bool          `json:"restore_data"`
	Blocks      []Block       `json:"blocks"`
}

// EventType names the type on the bus.
func (*ReactivationStarted) EventType() string { return "tenure.lifecycle.reactivation.started.v1" }

// TenantReactivated says that the tenant works again; every timer of its leaving is disarmed.
type TenantReactivated struct {
	Change
	OperationID string  `json:"operation_id"`
	Plan        string  `json:"plan"`
	RestoreData bool    `json:"restore_data"`
	Blocks      []Block `json:"blocks"`
}

// EventType names the type on the bus.
func (*TenantReactivated) EventType() string { return "tenure.lifecycle.tenant.reactivated.v1" }

// ReactivationFailed puts the tenant back where it was, with the same deadline.
type ReactivationFailed struct {
	Change
	OperationID string  `json:"operation_id"`
	Error       string  `json:"error,omitempty"`
	Blocks      []Block `json:"blocks"`
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

// ExportRequested asks the export service for an archive.
type ExportRequested struct {
	Change
	ExportID string   `json:"export_id"`
	Plan     string   `json:"plan"`
	Since    string   `json:"since,omitempty"`
	Include  []string `json:"include,omitempty"`
}

// EventType names the type on the bus.
func (*ExportRequested) EventType() string { return "tenure.lifecycle.export.requested.v1" }

// ExportCompleted says that the archive was read back and verified.
type ExportCompleted struct {
	Change
	ExportID string `json:"export_id"`
	SHA256   string `json:"sha256"`
	Bytes    int64  `json:"bytes"`
}

// EventType names the type on the bus.
func (*ExportCompleted) EventType() string { return "tenure.lifecycle.export.completed.v1" }

// ExportFailed frees the tenant's export slot.
type ExportFailed struct {
	Change
	ExportID string `json:"export_id"`
	Error    string `json:"error,omitempty"`
}

// EventType names the type on the bus.
func (*ExportFailed) EventType() string { return "tenure.lifecycle.export.failed.v1" }

// ExportCancelled asks the export service to stop and frees the slot.
type ExportCancelled struct {
	Change
	ExportID string `json:"export_id"`
}

// EventType names the type on the bus.
func (*ExportCancelled) EventType() string { return "tenure.lifecycle.export.cancelled.v1" }

// DeletionRequested closes access and sets the deadline.
type DeletionRequested struct {
	Change
	RequestedAt   time.Time `json:"requested_at"`
	ScheduledFor  time.Time `json:"scheduled_for"`
	Latest        time.Time `json:"latest"`
	RetentionDays int       `json:"retention_days"`
	// PreviousState is where a cancelled deletion returns to.
	PreviousState string `json:"previous_state"`
}

// EventType names the type on the bus.
func (*DeletionRequested) EventType() string { return "tenure.lifecycle.deletion.requested.v1" }

// DeletionQueued asks for deletion while a change runs: the change is compensated first.
type DeletionQueued struct {
	Change
	RetentionDays int       `json:"retention_days"`
	RequestedAt   time.Time `json:"requested_at"`
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
	OperationID  string    `json:"operation_id"`
	Generation   int64     `json:"generation"`
	Certificate  string    `json:"certificate,omitempty"`
	ScheduledFor time.Time `json:"scheduled_for"`
}

// EventType names the type on the bus.
func (*TenantPurged) EventType() string { return "tenure.lifecycle.tenant.purged.v1" }

// ComplianceViolation records a broken promise: late, early, residue.
type ComplianceViolation struct {
	Change
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
}

// EventType names the type on the bus.
func (*StepErrored) EventType() string { return "tenure.lifecycle.step.errored.v1" }

// CommandRefused answers a command that the state machine did not allow. Its causationid is the command's id.
type CommandRefused struct {
	Change
	Command string   `json:"command"`
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Allowed []string `json:"allowed_commands,omitempty"`
}

// EventType names the type on the bus.
func (*CommandRefused) EventType() string { return "tenure.lifecycle.command.refused.v1" }

func init() {
	register[TenantRegistered]()
	register[PaymentConfirmed]()
	register[SignupAbandoned]()
	register[ProvisioningStarted]()
	register[TenantActivated]()
	register[ProvisioningFailed]()
	register[ProvisioningRetried]()
	register[ProvisioningRolledBack]()
	register[TrialConverted]()
	register[TrialExpired]()
	register[UpgradeStarted]()
	register[UpgradeCompleted]()
	register[UpgradeRolledBack]()
	register[UpgradeStuck]()
	register[DowngradeScheduled]()
	register[DowngradeCancelled]()
	register[DowngradeStarted]()
	register[DowngradeCompleted]()
	register[DowngradeRolledBack]()
	register[DowngradeStuck]()
	register[PaymentPastDue]()
	register[PaymentRecovered]()
	register[TenantSuspended]()
	register[BlockAdded]()
	register[BlockLifted]()
	register[ReactivationStarted]()
	register[TenantReactivated]()
	register[ReactivationFailed]()
	register[TenantReborn]()
	register[ExportRequested]()
	register[ExportCompleted]()
	register[ExportFailed]()
	register[ExportCancelled]()
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
	register[StepRequested]()
	register[StepDone]()
	register[StepErrored]()
	register[CommandRefused]()
}
