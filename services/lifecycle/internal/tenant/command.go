package tenant

import (
	"encoding/json"
	"time"

	"tenure/shared/events"
)

// Names of the commands that anybody may send; their payloads are in shared/events.
const (
	CmdRegister          = "register"
	CmdConfirmPayment    = "confirm_payment"
	CmdCancelSignup      = "cancel_signup"
	CmdRetryProvisioning = "retry_provisioning"
	CmdAbandon           = "abandon"
	CmdUpgrade           = "upgrade"
	CmdDowngrade         = "downgrade"
	CmdCancelChange      = "cancel_change"
	CmdConvertTrial      = "convert_trial"
	CmdConfigure         = "configure"
	CmdSuspend           = "suspend"
	CmdResume            = "resume"
	CmdExport            = "export"
	CmdCancelExport      = "cancel_export"
	CmdDelete            = "delete"
	CmdCancelDeletion    = "cancel_deletion"
	CmdReactivate        = "reactivate"
	CmdPlaceHold         = "place_hold"
	CmdReleaseHold       = "release_hold"
	CmdApprove           = "approve"
	CmdReject            = "reject"
	CmdExempt            = "exempt"
	CmdEndExemption      = "end_exemption"
)

// Names of the commands that Tenure's own services send; their payloads are below. No bus message decodes to them.
const (
	CmdCompleteStep     = "complete_step"
	CmdFailStep         = "fail_step"
	CmdRetryOperation   = "retry_operation"
	CmdPaymentFailed    = "payment_failed"
	CmdPaymentRecovered = "payment_recovered"
	CmdChangeDue        = "change_due"
	CmdCheckUsage       = "check_usage"
	CmdCool             = "cool"
	CmdCompleteExport   = "complete_export"
	CmdFailExport       = "fail_export"
	CmdReportResidue    = "report_residue"
	CmdReportEarly      = "report_early"
	CmdFireTimer        = "fire_timer"
)

// Command is a wish, with everything Decide may look at besides the state.
type Command struct {
	Name string
	// ID is the idempotency key; it becomes the causation id of the events.
	ID string
	// NewID names the operation, export or hold that this command opens; its steps are NewID + "-" + n.
	NewID string
	// Now is the database's clock.
	Now time.Time
	// Actor is "operator:…", "tenant:…", "link:…", "system:…" or "service:…". Only "tenant:" and "link:" are restricted here.
	Actor   string
	Payload events.Payload
	Facts   Facts
}

// CompleteStep is a participant's success. The answer of another participant than the one that was asked is none.
type CompleteStep struct {
	StepID      string
	Participant string
	Result      json.RawMessage
}

// EventType names the command; it is not registered, so that it cannot come from outside.
func (*CompleteStep) EventType() string { return events.CommandType(CmdCompleteStep) }

// FailStep is a participant's failure. Permanent: trying again is of no use.
type FailStep struct {
	StepID      string
	Participant string
	Error       string
	Permanent   bool
}

// EventType names the command.
func (*FailStep) EventType() string { return events.CommandType(CmdFailStep) }

// RetryOperation lets an operator try again what got stuck.
type RetryOperation struct {
	Reason string `json:"reason,omitempty"`
}

// EventType names the command.
func (*RetryOperation) EventType() string { return events.CommandType(CmdRetryOperation) }

// ConfirmPayment is billing's word that it fetched the live subscription and saw it paid or in its trial. It is sent
// as CmdConfirmPayment; the public payload of that name is refused.
type ConfirmPayment struct {
	Generation     int64 // of the life that it is about; 0: of this one
	SubscriptionID string
	Status         string // Stripe's: "active", "trialing", …
}

// EventType names the command.
func (*ConfirmPayment) EventType() string { return events.CommandType(CmdConfirmPayment) }

// PaymentFailed is billing's word that the live subscription is unpaid.
type PaymentFailed struct {
	Generation     int64 // of the life that it is about; 0: of this one
	SubscriptionID string
	InvoiceID      string
	Status         string
}

// EventType names the command.
func (*PaymentFailed) EventType() string { return events.CommandType(CmdPaymentFailed) }

// PaymentRecovered is billing's word that the live subscription is paid again.
type PaymentRecovered struct {
	Generation     int64 // of the life that it is about; 0: of this one
	SubscriptionID string
	Status         string
}

// EventType names the command.
func (*PaymentRecovered) EventType() string { return events.CommandType(CmdPaymentRecovered) }

// ChangeDue is billing's word that the tenant's subscription is on another plan, whoever put it there: a pending change to
// that plan is due. Plan is empty when nothing is charged any more, as on a free plan.
type ChangeDue struct {
	Generation     int64 // of the life that it is about; 0: of this one
	SubscriptionID string
	Plan           string
}

// EventType names the command.
func (*ChangeDue) EventType() string { return events.CommandType(CmdChangeDue) }

// CheckUsage says that there are new figures of usage. They are held against the plan's limits: the over_limit block comes
// and goes with them. A cold tenant that was used is cold no more.
type CheckUsage struct{}

// EventType names the command.
func (*CheckUsage) EventType() string { return events.CommandType(CmdCheckUsage) }

// Cool asks whether the tenant has been idle for so long that it counts as cold.
type Cool struct{}

// EventType names the command.
func (*Cool) EventType() string { return events.CommandType(CmdCool) }

// CompleteExport is the export service's success.
type CompleteExport struct {
	ExportID string
	SHA256   string
	Bytes    int64
}

// EventType names the command.
func (*CompleteExport) EventType() string { return events.CommandType(CmdCompleteExport) }

// FailExport is the export service's failure.
type FailExport struct {
	ExportID string
	Error    string
}

// EventType names the command.
func (*FailExport) EventType() string { return events.CommandType(CmdFailExport) }

// ReportResidue says that a sweep found data of a deleted tenant.
type ReportResidue struct {
	Store      string
	Rows       int64
	Generation int64
}

// EventType names the command.
func (*ReportResidue) EventType() string { return events.CommandType(CmdReportResidue) }

// ReportEarly says that the monitor found in the log a purge that began before it was due.
type ReportEarly struct {
	Version int64 // of the event that began it
	Began   time.Time
	Due     *time.Time // nil: no deletion had been asked for
}

// EventType names the command.
func (*ReportEarly) EventType() string { return events.CommandType(CmdReportEarly) }

// FireTimer says that a timer of State.Timers fell due. A timer that the state no longer arms decides to nothing.
type FireTimer struct {
	Kind       string
	Due        time.Time
	Generation int64
}

// EventType names the command.
func (*FireTimer) EventType() string { return events.CommandType(CmdFireTimer) }
