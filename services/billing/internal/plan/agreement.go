package plan

import "tenure/shared/events"

// State is how far an agreement has come.
type State string

// The states of an agreement.
const (
	Joining State = "joining" // a sign-up that nobody has paid for yet
	Live    State = "live"    // to be charged, unless the plan is free
	Leaving State = "leaving" // its deletion is scheduled: what is paid for runs out
	Ended   State = "ended"   // nothing may be charged any more
)

// Agreement is what a tenant should be paying, by the lifecycle's log alone: what is live at Stripe is held against it.
// The zero value is a tenant that the log does not know.
type Agreement struct {
	Tenant     string
	Generation int64
	Plan       string
	State      State
	// PendingPlan is what the plan goes down to at the end of the period; empty: it stays.
	PendingPlan string
	// Operation is the id of the one that is changing all this; empty: none is. Until it ends, Stripe may show either side.
	Operation string
	// Version is that of the event in the lifecycle's log that changed the agreement last.
	Version int64
}

// Of is what the agreement says of one of the tenant's lives: an earlier one is over.
func (a Agreement) Of(generation int64) Agreement {
	if generation < a.Generation {
		return Agreement{Tenant: a.Tenant, Generation: generation, Plan: a.Plan, State: Ended, Version: a.Version}
	}
	return a
}

// AgreementEvents are the types of events that Agree knows.
var AgreementEvents = eventTypes(
	&events.TenantRegistered{}, &events.TenantReborn{}, &events.PaymentConfirmed{}, &events.SignupAbandoned{},
	&events.ProvisioningStarted{}, &events.ProvisioningRetried{}, &events.ProvisioningRolledBack{}, &events.TenantActivated{},
	&events.UpgradeStarted{}, &events.UpgradeCompleted{}, &events.UpgradeRolledBack{},
	&events.DowngradeScheduled{}, &events.DowngradeCancelled{},
	&events.DowngradeStarted{}, &events.DowngradeCompleted{}, &events.DowngradeRolledBack{},
	&events.ReactivationStarted{}, &events.ReactivationFailed{}, &events.TenantReactivated{},
	&events.DeletionRequested{}, &events.PurgeStarted{}, &events.TenantPurged{},
)

func eventTypes(payloads ...events.Payload) []string {
	out := make([]string, len(payloads))
	for i, p := range payloads {
		out[i] = p.EventType()
	}
	return out
}

// Agree returns the agreement after an event of the tenant's log; events that are not about money change nothing. Agree
// what follows in the log's order. The caller sets the Version.
func Agree(a Agreement, p events.Payload) Agreement {
	switch p := p.(type) {
	case *events.TenantRegistered:
		begun := Agreement{Tenant: a.Tenant, Generation: p.Generation, Plan: p.Plan, State: Live}
		if p.RequiresPayment {
			begun.State = Joining
		}
		return begun
	case *events.TenantReborn:
		return Agreement{Tenant: a.Tenant, Generation: p.Generation, Plan: p.Plan, State: Live}
	}
	if a.Plan == "" {
		return a // how this life began is not known: nothing can be said of it
	}
	switch p := p.(type) {
	case *events.PaymentConfirmed:
		a.State = Live
	case *events.SignupAbandoned, *events.ProvisioningRolledBack, *events.TenantPurged:
		a.State, a.PendingPlan, a.Operation = Ended, "", ""

	case *events.ProvisioningStarted:
		a.Operation = p.Operation.ID
	case *events.ProvisioningRetried:
		a.Operation = p.Operation.ID
	case *events.UpgradeStarted:
		a.Operation = p.Operation.ID
	case *events.DowngradeStarted:
		a.Operation, a.PendingPlan = p.Operation.ID, ""
	case *events.ReactivationStarted:
		a.Operation = p.Operation.ID
	case *events.PurgeStarted:
		a.Operation = p.Operation.ID

	// A failed reactivation leaves the tenant where it was: one that was leaving still is.
	case *events.TenantActivated, *events.UpgradeRolledBack, *events.DowngradeRolledBack, *events.ReactivationFailed:
		a.Operation = ""
	case *events.UpgradeCompleted:
		a.Plan, a.Operation = p.Plan, ""
	case *events.DowngradeCompleted:
		a.Plan, a.Operation = p.Plan, ""
	case *events.TenantReactivated:
		a.Plan, a.State, a.Operation = p.Plan, Live, ""

	case *events.DowngradeScheduled:
		a.PendingPlan = p.Plan
	case *events.DowngradeCancelled:
		a.PendingPlan = ""
	case *events.DeletionRequested:
		a.State, a.PendingPlan = Leaving, ""
	}
	return a
}
