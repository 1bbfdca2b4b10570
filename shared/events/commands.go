package events

import "encoding/json"

// What commands say in words is bounded here, by their schemas: it comes back in events, once in the reason and once
// more in a refusal, and a command that was let in must never make an event too large for the bus.

// Register signs a tenant up. The one command with personal data.
type Register struct {
	Name  string `json:"name" jsonschema:"minLength=1,maxLength=200"`
	Email string `json:"email" jsonschema:"format=email,maxLength=320"`
	Plan  string `json:"plan" jsonschema:"minLength=1,maxLength=64"`
	// Region selects the retention policy and where data is kept.
	Region string `json:"region,omitempty" jsonschema:"maxLength=64"`
	// GDPR limits the retention after deletion to 30 days.
	GDPR bool `json:"gdpr,omitempty"`
	// TrialDays of 24 hours; 0 is no trial.
	TrialDays int `json:"trial_days,omitempty" jsonschema:"minimum=0"`
}

// EventType names the type on the bus.
func (*Register) EventType() string { return "tenure.command.register.v1" }

// ConfirmPayment asks to go on with a sign-up; it is refused until billing has seen the live subscription.
type ConfirmPayment struct{}

// EventType names the type on the bus.
func (*ConfirmPayment) EventType() string { return "tenure.command.confirm_payment.v1" }

// CancelSignup gives up a sign-up that was not paid for.
type CancelSignup struct {
	Reason string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
}

// EventType names the type on the bus.
func (*CancelSignup) EventType() string { return "tenure.command.cancel_signup.v1" }

// RetryProvisioning begins a failed provisioning again.
type RetryProvisioning struct{}

// EventType names the type on the bus.
func (*RetryProvisioning) EventType() string { return "tenure.command.retry_provisioning.v1" }

// Abandon gives up a failed provisioning: releases, refunds, frees the id.
type Abandon struct {
	Reason string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
}

// EventType names the type on the bus.
func (*Abandon) EventType() string { return "tenure.command.abandon.v1" }

// Upgrade asks for a higher plan.
type Upgrade struct {
	Plan   string `json:"plan" jsonschema:"minLength=1,maxLength=64"`
	Reason string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
	// PlanHash is what a preview answered; when the facts behind it have moved since, the command is refused (plan_changed).
	PlanHash string `json:"plan_hash,omitempty" jsonschema:"maxLength=64"`
}

// EventType names the type on the bus.
func (*Upgrade) EventType() string { return "tenure.command.upgrade.v1" }

// Downgrade asks for a lower plan.
type Downgrade struct {
	Plan string `json:"plan" jsonschema:"minLength=1,maxLength=64"`
	// At is period_end (default) or now.
	At string `json:"at,omitempty" jsonschema:"enum=period_end,enum=now"`
	// Resolution of data over the new limits: refuse (default), freeze or archive.
	Resolution string `json:"resolution,omitempty" jsonschema:"enum=refuse,enum=freeze,enum=archive"`
	Reason     string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
	// PlanHash is what a preview answered, as in Upgrade.
	PlanHash string `json:"plan_hash,omitempty" jsonschema:"maxLength=64"`
}

// EventType names the type on the bus.
func (*Downgrade) EventType() string { return "tenure.command.downgrade.v1" }

// CancelChange drops the pending change.
type CancelChange struct{}

// EventType names the type on the bus.
func (*CancelChange) EventType() string { return "tenure.command.cancel_change.v1" }

// ConvertTrial turns a trial into a paid plan; billing answers whether it is paid.
type ConvertTrial struct{}

// EventType names the type on the bus.
func (*ConvertTrial) EventType() string { return "tenure.command.convert_trial.v1" }

// Suspend closes access.
type Suspend struct {
	Reason string `json:"reason" jsonschema:"maxLength=1000"`
	// Block is admin (default) or abuse.
	Block string `json:"block,omitempty" jsonschema:"enum=admin,enum=abuse"`
}

// EventType names the type on the bus.
func (*Suspend) EventType() string { return "tenure.command.suspend.v1" }

// Resume lifts the admin and abuse blocks.
type Resume struct {
	Reason string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
}

// EventType names the type on the bus.
func (*Resume) EventType() string { return "tenure.command.resume.v1" }

// Export asks for an archive of everything.
type Export struct {
	// Since leaves out what did not change after this RFC 3339 time, or after the snapshot of the completed export of the
	// same tenant that it names by its id.
	Since string `json:"since,omitempty" jsonschema:"maxLength=64"`
	// Include names the kinds of data that are wanted; empty is all.
	Include []string `json:"include,omitempty" jsonschema:"maxItems=16,enum=documents,enum=vectors,enum=usage,enum=billing,enum=audit"`
	// EncryptTo is an age recipient (https://age-encryption.org/v1, "age1..."): whoever holds its identity, and nobody else,
	// can read the archive.
	EncryptTo string `json:"encrypt_to,omitempty" jsonschema:"maxLength=64"`
	// Parquet names the kinds that come as Parquet files and not as NDJSON.
	Parquet []string `json:"parquet,omitempty" jsonschema:"maxItems=16,enum=vectors,enum=usage"`
}

// EventType names the type on the bus.
func (*Export) EventType() string { return "tenure.command.export.v1" }

// CancelExport stops the running export.
type CancelExport struct {
	ExportID string `json:"export_id" jsonschema:"minLength=1,maxLength=64"`
}

// EventType names the type on the bus.
func (*CancelExport) EventType() string { return "tenure.command.cancel_export.v1" }

// Delete asks for deletion after the retention. Where the retention policy asks for it, and no tenant asks for its own, a second
// operator has to approve.
type Delete struct {
	// RetentionDays is a whole number of days of 24 hours. Absent is the policy's default. Whatever else is sent is refused,
	// never corrected, and by the decision alone: it knows the range that holds for the tenant, which no schema does.
	RetentionDays json.RawMessage `json:"retention_days,omitempty"`
	Reason        string          `json:"reason,omitempty" jsonschema:"maxLength=1000"`
	// Confirm is the tenant's name as it registered, or its id. A tenant that asks by its own token must type it; whoever else
	// sends it is held to it.
	Confirm string `json:"confirm,omitempty" jsonschema:"maxLength=200"`
	// PlanHash is what a preview answered, as in Upgrade.
	PlanHash string `json:"plan_hash,omitempty" jsonschema:"maxLength=64"`
}

// EventType names the type on the bus.
func (*Delete) EventType() string { return "tenure.command.delete.v1" }

// CancelDeletion brings a leaving tenant back as it was.
type CancelDeletion struct {
	Reason string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
}

// EventType names the type on the bus.
func (*CancelDeletion) EventType() string { return "tenure.command.cancel_deletion.v1" }

// Reactivate brings a suspended, leaving or deleted tenant back.
type Reactivate struct {
	Plan string `json:"plan,omitempty" jsonschema:"maxLength=64"`
	// RestoreData is true when it is absent.
	RestoreData *bool `json:"restore_data,omitempty"`
	// Coupon is the id of one at Stripe, for what the tenant comes back to. It is an offer of yours: a tenant cannot name one
	// by its own token.
	Coupon string `json:"coupon,omitempty" jsonschema:"maxLength=64"`
	Reason string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
	// PlanHash is what a preview answered, as in Upgrade.
	PlanHash string `json:"plan_hash,omitempty" jsonschema:"maxLength=64"`
}

// EventType names the type on the bus.
func (*Reactivate) EventType() string { return "tenure.command.reactivate.v1" }

// PlaceHold forbids destruction.
type PlaceHold struct {
	Reason string `json:"reason" jsonschema:"minLength=1,maxLength=1000"`
}

// EventType names the type on the bus.
func (*PlaceHold) EventType() string { return "tenure.command.place_hold.v1" }

// ReleaseHold lifts one legal hold, or all that are there when HoldID is empty. Where the retention policy asks for it, a
// second operator has to approve.
type ReleaseHold struct {
	HoldID string `json:"hold_id,omitempty" jsonschema:"maxLength=64"`
	Reason string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
}

// EventType names the type on the bus.
func (*ReleaseHold) EventType() string { return "tenure.command.release_hold.v1" }

// Configure sets what holds for one tenant beside its plan: all of it, so that what is not named is as the plan says. For
// operators.
type Configure struct {
	TenantConfig
	Reason string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
}

// EventType names the type on the bus.
func (*Configure) EventType() string { return "tenure.command.configure.v1" }

// Exempt lets a tenant owe money without losing its access. For operators.
type Exempt struct {
	Reason string `json:"reason" jsonschema:"minLength=1,maxLength=1000"`
}

// EventType names the type on the bus.
func (*Exempt) EventType() string { return "tenure.command.exempt.v1" }

// EndExemption takes Exempt back: a tenant that owes money gets its grace, from now on.
type EndExemption struct {
	Reason string `json:"reason,omitempty" jsonschema:"maxLength=1000"`
}

// EventType names the type on the bus.
func (*EndExemption) EventType() string { return "tenure.command.end_exemption.v1" }

func init() {
	register[Configure]()
	register[Exempt]()
	register[EndExemption]()
	register[Register]()
	register[ConfirmPayment]()
	register[CancelSignup]()
	register[RetryProvisioning]()
	register[Abandon]()
	register[Upgrade]()
	register[Downgrade]()
	register[CancelChange]()
	register[ConvertTrial]()
	register[Suspend]()
	register[Resume]()
	register[Export]()
	register[CancelExport]()
	register[Delete]()
	register[CancelDeletion]()
	register[Reactivate]()
	register[PlaceHold]()
	register[ReleaseHold]()
}
