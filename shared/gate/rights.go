package gate

import (
	"net/http"
	"time"
)

// row is what one state answers to every capability.
type row [capabilityCount]Verdict

var allow = Verdict{Allowed: true, Status: http.StatusOK, Code: "allowed"}

func deny(status int, code, reason string) Verdict {
	return Verdict{Status: status, Code: code, Reason: reason}
}

func retry(code, reason string, after time.Duration) Verdict {
	return Verdict{Status: http.StatusServiceUnavailable, Code: code, Reason: reason, RetryAfter: after}
}

// readOnlyRetry is when to try a write again. A window ends with the step that asked for it, usually long before its
// deadline, so that the deadline would be a bad answer.
const readOnlyRetry = 2 * time.Second

// The refusals. Codes are part of the contract with the programs that read them.
var (
	unpaid     = deny(http.StatusPaymentRequired, "payment_pending", "the sign-up is not paid yet")
	preparing  = retry("provisioning", "the tenant is being set up", 2*time.Second)
	setupFails = retry("provisioning_failed", "the tenant could not be set up; an operator has been called", time.Minute)
	owing      = deny(http.StatusPaymentRequired, "payment_past_due", "a payment is overdue: pay it, then change the plan")
	changing   = Verdict{
		Status: http.StatusConflict, Code: "operation_in_progress", Reason: "another change of the tenant is running",
		RetryAfter: 5 * time.Second,
	}
	full     = deny(http.StatusPaymentRequired, "over_limit", "the plan's limits are used up: upgrade, or remove data")
	readOnly = Verdict{
		Status: http.StatusLocked, Code: "read_only", Reason: "the tenant's data is being moved: reading goes on, writing in a moment",
		RetryAfter: readOnlyRetry,
	}
	nonPaying = deny(http.StatusPaymentRequired, "suspended_payment", "the tenant is suspended until its invoice is paid")
	trialOver = deny(http.StatusPaymentRequired, "suspended_trial", "the trial has ended: choose a plan to go on")
	locked    = deny(http.StatusForbidden, "suspended_admin", "an operator has suspended the tenant")
	leaving   = deny(http.StatusForbidden, "deleting", "the tenant's deletion is scheduled: cancel it to go on")
	returning = retry("reactivating", "the tenant is being brought back", 2*time.Second)
	gone      = deny(http.StatusGone, "gone", "the tenant no longer exists")
	uncertain = retry("unknown_state", "the tenant is in a state that this program does not know: update it", time.Minute)
)

// rights is "who may do what in each state", read by Decide.
var rights = [stateCount]row{
	//                   query       ingest      export      by operator  change plan  billing portal
	Unknown:            {uncertain, uncertain, uncertain, uncertain, uncertain, uncertain},
	PendingPayment:     {unpaid, unpaid, unpaid, unpaid, unpaid, allow},
	Provisioning:       {preparing, preparing, preparing, preparing, preparing, allow},
	ProvisioningFailed: {setupFails, setupFails, setupFails, setupFails, setupFails, allow},
	Trialing:           {allow, allow, allow, allow, allow, allow},
	Active:             {allow, allow, allow, allow, allow, allow},
	PastDue:            {allow, allow, allow, allow, owing, allow},
	Upgrading:          {allow, allow, allow, allow, changing, allow},
	Downgrading:        {allow, allow, allow, allow, changing, allow},
	Suspended:          {locked, locked, locked, allow, locked, allow},
	Reactivating:       {returning, returning, returning, returning, returning, allow},
	Deleting:           {leaving, leaving, allow, allow, leaving, leaving},
	Purging:            {gone, gone, gone, gone, gone, gone},
	Deleted:            {gone, gone, gone, gone, gone, gone},
	Abandoned:          {gone, gone, gone, gone, gone, gone},
}

// A suspension for money leaves the tenant its data; the strictest block decides, so that these rows hold only
// while no operator's block is there.
var (
	suspendedPayment = row{nonPaying, nonPaying, allow, allow, nonPaying, allow}
	suspendedTrial   = row{trialOver, trialOver, allow, allow, trialOver, allow}
)

// Decide answers whether a tenant with this access may use the capability. It is pure and allocates nothing.
func Decide(a Access, c Capability) Verdict { return *decide(a, c) }

// decide points to the verdict: copying it through several calls would take longer than finding it.
func decide(a Access, c Capability) *Verdict {
	if a.State >= stateCount || c >= capabilityCount {
		return &uncertain
	}
	verdict := &rowOf(a)[c]
	if !verdict.Allowed || c != Ingest {
		return verdict
	}
	switch {
	case a.Blocks.Has(BlockOverLimit): // waiting would not help
		return &full
	case a.Blocks.Has(BlockReadOnly):
		return &readOnly
	}
	return verdict
}

func rowOf(a Access) *row {
	if a.State != Suspended || a.Blocks.Has(BlockAdmin|BlockAbuse) {
		return &rights[a.State]
	}
	switch {
	case a.Blocks.Has(BlockPayment):
		return &suspendedPayment
	case a.Blocks.Has(BlockTrial):
		return &suspendedTrial
	}
	return &rights[Suspended]
}
