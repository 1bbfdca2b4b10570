package events

import "time"

// Sign-up in the lifecycle's log: from the first request to a working tenant.

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
	// TrialSettlesAt is when a trial without a word from billing counts as unpaid, a little after its end.
	TrialSettlesAt *time.Time `json:"trial_settles_at,omitempty"`
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
	Blocks []Block `json:"blocks,omitempty"`
}

// EventType names the type on the bus.
func (*TrialExpired) EventType() string { return "tenure.lifecycle.trial.expired.v1" }

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
}
