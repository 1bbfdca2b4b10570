// Package tenant is the tenant's state machine: Decide says which events a command leads to, Evolve what an event
// makes of a state. Transitions are data (table.go); sagas with their steps, retries and compensation are decided
// here as well, so that one tenant's whole life is serialised by one log.
//
// The package is pure: no clock, no randomness, no I/O. Time, ids and looked-up facts arrive in the Command. All of
// its functions may be called from many goroutines at once; none changes what it is given.
package tenant

import (
	"slices"
	"time"

	"tenure/shared/events"
)

// StateName is the one state a tenant is in. What stands beside it (a running export, blocks, holds) is not part
// of the name.
type StateName string

// The states. None is a tenant of whom the log knows nothing.
const (
	None               StateName = ""
	PendingPayment     StateName = "pending_payment"
	Provisioning       StateName = "provisioning"
	ProvisioningFailed StateName = "provisioning_failed"
	Abandoned          StateName = "abandoned"
	Trialing           StateName = "trialing"
	Active             StateName = "active"
	Upgrading          StateName = "upgrading"
	Downgrading        StateName = "downgrading"
	PastDue            StateName = "past_due"
	Suspended          StateName = "suspended"
	Reactivating       StateName = "reactivating"
	Deleting           StateName = "deleting"
	Purging            StateName = "purging"
	Deleted            StateName = "deleted"
)

// Exporting is what an active tenant shows while an export runs. It is a status for people, never a state.
const Exporting = "exporting"

// The kinds of events.Block. All but BlockOverLimit close access.
const (
	BlockPayment   = "payment"
	BlockTrial     = "trial"
	BlockAdmin     = "admin"
	BlockAbuse     = "abuse"
	BlockOverLimit = "over_limit"
)

// State is all that the log of one tenant says about it, folded by Evolve. It is stored as JSON with every
// transition, so that everything absent is left out.
type State struct {
	ID      string    `json:"id,omitempty"`
	Name    StateName `json:"state,omitempty"`
	Version int64     `json:"version,omitempty"` // the sequence of the last event
	Plan    string    `json:"plan,omitempty"`
	Region  string    `json:"region,omitempty"`
	GDPR    bool      `json:"gdpr,omitempty"`
	// Generation counts the lives of this id, from 1.
	Generation int64     `json:"generation,omitempty"`
	CreatedAt  time.Time `json:"created_at,omitzero"`

	Blocks []events.Block `json:"blocks,omitempty"`
	Holds  []Hold         `json:"holds,omitempty"`

	// SignupExpiresAt ends a sign-up that was not paid for.
	SignupExpiresAt time.Time `json:"signup_expires_at,omitzero"`
	// TrialEndsAt is when the first payment falls due. What became of it billing knows moments later: access closes when
	// it has said nothing for as long as TrialSettle.
	TrialEndsAt time.Time     `json:"trial_ends_at,omitzero"`
	TrialSettle time.Duration `json:"trial_settle,omitempty"`
	// Grace is there while something is unpaid and access stays open all the same.
	Grace *Grace `json:"grace,omitempty"`
	// Exempt: access stays open whatever is owed.
	Exempt *Exemption `json:"exempt,omitempty"`

	Pending        *PendingChange  `json:"pending,omitempty"`
	Deletion       *Deletion       `json:"deletion,omitempty"`
	QueuedDeletion *QueuedDeletion `json:"queued_deletion,omitempty"`
	// Approvals are what operators asked for and others have not approved yet.
	Approvals []Approval `json:"approvals,omitempty"`

	// Config is what is set for this tenant beside its plan, ConfigVersion the version that changed it or the plan last.
	Config        events.TenantConfig `json:"config,omitzero"`
	ConfigVersion int64               `json:"config_version,omitempty"`
	// IdleSince is there while the tenant is cold: nobody has used it since then.
	IdleSince time.Time `json:"idle_since,omitzero"`
	// Reached are the milestones of this life.
	Reached []string `json:"reached,omitempty"`

	// Lease is the one operation that excludes others; Export the one running export, which excludes only a second.
	Lease  *Operation `json:"lease,omitempty"`
	Export *Export    `json:"export,omitempty"`
	// RecentExports are the times of the exports that count for the daily limit.
	RecentExports []time.Time `json:"recent_exports,omitempty"`
}

// Hold is a legal hold: nothing is destroyed while one is there.
type Hold struct {
	ID     string    `json:"id"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// Grace is the time between an unpaid invoice and the suspension. A zero EndsAt never ends: the tenant is exempt.
type Grace struct {
	EndsAt time.Time `json:"ends_at,omitzero"`
}

// Exemption is an operator's word that the tenant may owe money.
type Exemption struct {
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// PendingChange is a downgrade that waits for the end of the paid period. From DueAt on it begins as soon as the state has
// room for it, and can neither be cancelled nor replaced: billing may charge for the lower plan already.
type PendingChange struct {
	OperationID string    `json:"operation_id,omitempty"`
	Command     string    `json:"command"`
	Plan        string    `json:"plan"`
	DueAt       time.Time `json:"due_at"`
	Resolution  string    `json:"resolution,omitempty"`
}

// Deletion is a promise with a window: not before ScheduledFor, verified by Latest. It stays while the tenant is
// being reactivated, so that a failed reactivation falls back on the same deadline.
type Deletion struct {
	RequestedAt   time.Time `json:"requested_at"`
	ScheduledFor  time.Time `json:"scheduled_for"`
	Latest        time.Time `json:"latest"`
	RetentionDays int       `json:"retention_days"`
	// Policy is the retention policy as it was when the deletion was asked for.
	Policy        events.RetentionPolicy `json:"policy,omitzero"`
	PreviousState StateName              `json:"previous_state"`
	// Pending is the change of plan that made way, to come back with a tenant that stays after all.
	Pending *PendingChange `json:"pending,omitempty"`
	// DeferredBy names the holds and the export that keep a due purge from beginning. While it is set the timer is
	// disarmed: the end of a hold or of the export takes the purge up again.
	DeferredBy []string `json:"deferred_by,omitempty"`
}

// QueuedDeletion waits until the running change is undone.
type QueuedDeletion struct {
	RequestedAt   time.Time              `json:"requested_at"`
	RetentionDays int                    `json:"retention_days"`
	Policy        events.RetentionPolicy `json:"policy,omitzero"`
	Reason        string                 `json:"reason,omitempty"`
}

// Export is the running export.
type Export struct {
	ID          string    `json:"id"`
	RequestedAt time.Time `json:"requested_at"`
	// Since and Include are what participants are told of the wish.
	Since   time.Time `json:"since,omitzero"`
	Include []string  `json:"include,omitempty"`
	// Steps ask participants for files. They are nobody's but the export's: no lease begins, waits for or ends with them.
	Steps []Step `json:"steps,omitempty"`
}

// Status is the one word for people: the state, except that an active tenant with a running export is exporting.
func (s State) Status() string {
	if s.Name == Active && s.Export != nil {
		return Exporting
	}
	return string(s.Name)
}

// Cold reports whether nobody has used the tenant for so long that its data may be kept somewhere slower.
func (s State) Cold() bool { return !s.IdleSince.IsZero() }

// Ended reports that there is no life, or no more.
func (s State) Ended() bool { return s.Name == None || s.Name == Abandoned || s.Name == Deleted }

// NeedsOperator reports whether an operation can go neither forward nor back by itself.
func (s State) NeedsOperator() bool { return s.Lease != nil && s.Lease.Status == LeaseStuck }

// ReadOnlyUntil is when a step that allows no writes is over at the latest; zero when none is under way. Between two tries
// of it the tenant stays read-only: the data is half-way.
func (s State) ReadOnlyUntil() (until time.Time) {
	if s.Lease == nil {
		return until
	}
	for _, st := range s.Lease.Steps {
		underWay := st.Status == StepRunning || st.Status == StepWaiting
		if st.ReadOnly && underWay && st.Deadline.After(until) {
			until = st.Deadline
		}
	}
	return until
}

// GatePlan is the plan that gates go by: while a plan change waits for them, the one that they were asked to take in.
func (s State) GatePlan() string {
	if s.Lease == nil {
		return s.Plan
	}
	i := slices.IndexFunc(s.Lease.Steps, func(st Step) bool { return st.Action == actionApply })
	switch {
	case i < 0 || !s.Lease.Steps[i].asked():
		return s.Plan
	case s.Lease.Steps[i].Undo:
		return s.Lease.FromPlan
	}
	return s.Lease.ToPlan
}

// Blocked reports whether a block of this kind is there.
func (s State) Blocked(kind string) bool {
	return slices.ContainsFunc(s.Blocks, func(b events.Block) bool { return b.Kind == kind })
}

// trialOver reports whether the first payment has fallen due, and nobody has seen it yet.
func (s State) trialOver(now time.Time) bool {
	return !s.TrialEndsAt.IsZero() && !now.Before(s.TrialEndsAt)
}

// changeDue reports whether the pending change waits for nothing but the state.
func (s State) changeDue(now time.Time) bool { return s.Pending.due(now) }

// due reports whether there is a change and its time has come.
func (p *PendingChange) due(now time.Time) bool { return p != nil && !now.Before(p.DueAt) }
