package gate

import (
	"fmt"
	"time"

	"tenure/shared/events"
)

// State is a tenant's state, as small as a replica of many tenants needs it. The zero value is a state that this
// build does not know, and closed.
type State uint8

// The states of the state machine.
const (
	Unknown State = iota
	PendingPayment
	Provisioning
	ProvisioningFailed
	Trialing
	Active
	PastDue
	Upgrading
	Downgrading
	Suspended
	Reactivating
	Deleting
	Purging
	Deleted
	Abandoned
	stateCount
)

var stateNames = [stateCount]string{
	"unknown", "pending_payment", "provisioning", "provisioning_failed", "trialing", "active", "past_due",
	"upgrading", "downgrading", "suspended", "reactivating", "deleting", "purging", "deleted", "abandoned",
}

// String is the state's name in events and answers.
func (s State) String() string {
	if s >= stateCount {
		s = Unknown
	}
	return stateNames[s]
}

// ParseState reads a state's name. A name of a newer state machine is Unknown: what is not understood stays closed.
func ParseState(name string) State {
	for s := PendingPayment; s < stateCount; s++ {
		if stateNames[s] == name {
			return s
		}
	}
	return Unknown
}

// Blocks is the set of reasons why access is limited.
type Blocks uint8

// The kinds of blocks.
const (
	BlockPayment Blocks = 1 << iota
	BlockTrial
	BlockAdmin
	BlockAbuse
	// BlockOverLimit closes ingest alone and leaves the state as it is.
	BlockOverLimit
	// BlockReadOnly closes ingest alone, for the time of a plan change's step that asked for it. No event lists it: it
	// stands for Change.ReadOnlyUntil.
	BlockReadOnly
)

var blockNames = map[string]Blocks{
	"payment": BlockPayment, "trial": BlockTrial, "admin": BlockAdmin, "abuse": BlockAbuse, "over_limit": BlockOverLimit,
}

// BlocksOf makes the set of the blocks in an event. A kind of a newer state machine counts as admin: the strictest.
func BlocksOf(blocks []events.Block) Blocks {
	var set Blocks
	for _, b := range blocks {
		set |= blockOf(b.Kind)
	}
	return set
}

func blocksNamed(kinds []string) Blocks {
	var set Blocks
	for _, kind := range kinds {
		set |= blockOf(kind)
	}
	return set
}

func blockOf(kind string) Blocks {
	if b, known := blockNames[kind]; known {
		return b
	}
	return BlockAdmin
}

// Has reports whether any block of other is in the set.
func (b Blocks) Has(other Blocks) bool { return b&other != 0 }

// Capability is what somebody wants to do.
type Capability uint8

// The capabilities that the gate tells apart.
const (
	Query Capability = iota
	Ingest
	Export
	// ExportByOperator is an export that an operator asks for: open also while an admin block closes the tenant's own.
	ExportByOperator
	ChangePlan
	BillingPortal
	capabilityCount
)

var capabilityNames = [capabilityCount]string{
	"query", "ingest", "export", "export_by_operator", "change_plan", "billing_portal",
}

// String is the capability's name in requests.
func (c Capability) String() string {
	if c >= capabilityCount {
		return fmt.Sprintf("capability(%d)", uint8(c))
	}
	return capabilityNames[c]
}

// ParseCapability reads a capability's name.
func ParseCapability(name string) (Capability, error) {
	for c, known := range capabilityNames {
		if known == name {
			return Capability(c), nil
		}
	}
	return 0, fmt.Errorf("unknown capability %q: ask for one of %v", name, capabilityNames)
}

// Access is all that decides who may do what: the tenant's state and its blocks.
type Access struct {
	State  State
	Blocks Blocks
}

// Verdict is the gate's answer, in the words of HTTP.
type Verdict struct {
	Allowed bool
	// Status is 200 when allowed, else the answer to give: 402, 403, 404, 409, 410, 423, 429 or 503.
	Status int
	// Code is stable and meant for programs, Reason is a sentence for people.
	Code   string
	Reason string
	// RetryAfter is set when waiting alone may help.
	RetryAfter time.Duration
}
