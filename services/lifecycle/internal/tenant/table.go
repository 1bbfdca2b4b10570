package tenant

import "slices"

// Transition is one row of the state machine: in state From, Command may lead to state To with Event, while Guard
// holds. A row without an event says that the command is taken note of and changes nothing.
type Transition struct {
	From    StateName
	Command string
	Guard   string
	To      StateName
	Event   string
}

// Commands that nobody sends: Decide issues them to itself when the steps of an operation are answered, when a timer
// fires, and when what waited for the end of an operation is caught up on.
const (
	cmdExpire               = "expire"
	cmdBeginProvisioning    = "begin_provisioning"
	cmdCompleteProvisioning = "complete_provisioning"
	cmdFailProvisioning     = "fail_provisioning"
	cmdEndTrial             = "end_trial"
	cmdCompleteUpgrade      = "complete_upgrade"
	cmdFailUpgrade          = "fail_upgrade"
	cmdBeginDowngrade       = "begin_downgrade"
	cmdDropChange           = "drop_change"
	cmdCompleteDowngrade    = "complete_downgrade"
	cmdFailDowngrade        = "fail_downgrade"
	cmdEndGrace             = "end_grace"
	cmdApplyBlocks          = "apply_blocks"
	cmdBeginReactivation    = "begin_reactivation"
	cmdCompleteReactivation = "complete_reactivation"
	cmdFailReactivation     = "fail_reactivation"
	cmdBeginDeletion        = "begin_deletion"
	cmdRestoreChange        = "restore_change"
	cmdExpireApproval       = "expire_approval"
	cmdBeginPurge           = "begin_purge"
	cmdFailStore            = "fail_store"
	cmdCompletePurge        = "complete_purge"
)

// states are the From or To of a rule; rows are made of all their pairs.
type states = []StateName

var (
	// open states give access; leased ones belong to an operation that excludes others.
	open   = states{Trialing, Active, PastDue}
	leased = states{Provisioning, Upgrading, Downgrading, Reactivating}
	// exportable states may begin an export. The change of a plan does not close it: only leases exclude each other.
	exportable = states{Trialing, Active, PastDue, Suspended, Deleting, Upgrading, Downgrading}
	// exemptable states are those of a tenant that signed up and does not leave for good. While one returns it is open which
	// of its blocks it still has.
	exemptable = states{
		Provisioning, ProvisioningFailed, Trialing, Active, Upgrading, Downgrading, PastDue, Suspended, Deleting,
	}
	// configurable states are those of a tenant that was set up and does not leave for good.
	configurable = states{Trialing, Active, Upgrading, Downgrading, PastDue, Suspended, Reactivating, Deleting}
	living       = states{
		PendingPayment, Provisioning, ProvisioningFailed, Trialing, Active, Upgrading, Downgrading,
		PastDue, Suspended, Reactivating, Deleting, Purging,
	}
)

// rule is how transitions are written down. No to: the state stays.
type rule struct {
	from    states
	command string
	guard   string
	to      states
	event   string
}

// rules is the whole state machine. What is not here is refused.
var rules = []rule{
	// Sign-up.
	{states{None, Abandoned}, CmdRegister, planKnown, states{PendingPayment, Provisioning}, "tenant.registered"},
	{states{PendingPayment}, CmdConfirmPayment, billingSaw, states{Provisioning}, "payment.confirmed"},
	{states{PendingPayment}, CmdCancelSignup, "", states{Abandoned}, "signup.abandoned"},
	{states{PendingPayment}, cmdExpire, "", states{Abandoned}, "signup.abandoned"},
	{states{PendingPayment}, CmdPaymentFailed, "", nil, ""},
	{states{PendingPayment}, CmdPaymentRecovered, "", nil, ""},
	{states{Provisioning}, cmdBeginProvisioning, "", nil, "provisioning.started"},
	{states{Provisioning}, cmdCompleteProvisioning, stepsDone, states{Trialing, Active}, "tenant.activated"},
	{states{Provisioning}, cmdFailProvisioning, triesSpent, states{ProvisioningFailed}, "provisioning.failed"},
	{states{Provisioning}, cmdFailProvisioning, stepsUndone, nil, "provisioning.rolled_back"},
	{states{ProvisioningFailed}, CmdRetryProvisioning, notAbandoning, states{Provisioning}, "provisioning.retried"},
	{states{ProvisioningFailed}, CmdAbandon, notAbandoning, nil, "step.requested"},
	{states{ProvisioningFailed}, cmdFailProvisioning, stepsUndone, states{Abandoned}, "provisioning.rolled_back"},

	// Trial.
	{states{Trialing}, CmdConvertTrial, billingSaw, states{Active}, "trial.converted"},
	{states{Trialing}, cmdEndTrial, "", states{Suspended}, "trial.expired"},
	{states{Trialing}, cmdEndTrial, exempt, states{PastDue}, "payment.past_due"},
	{states{Trialing}, CmdPaymentFailed, trialOver, states{Suspended}, "trial.expired"},

	// Plan changes.
	{states{Trialing, Active}, CmdUpgrade, planHigher, states{Upgrading}, "upgrade.started"},
	{states{Upgrading}, cmdCompleteUpgrade, stepsDone, states{Trialing, Active}, "upgrade.completed"},
	{states{Upgrading}, cmdFailUpgrade, stepsUndone, states{Trialing, Active}, "upgrade.rolled_back"},
	{states{Upgrading}, cmdFailUpgrade, triesSpent, nil, "upgrade.stuck"},
	{states{Active}, CmdDowngrade, planLowerFits, nil, "downgrade.scheduled"},
	{states{Active}, CmdDowngrade, planLowerFits, states{Downgrading}, "downgrade.started"},
	{states{Active}, CmdCancelChange, changePending, nil, "downgrade.cancelled"},
	{states{Active, PastDue, Suspended, Reactivating}, cmdDropChange, changePending, nil, "downgrade.cancelled"},
	{states{Active, PastDue}, cmdBeginDowngrade, fitsStill, states{Downgrading}, "downgrade.started"},
	{states{Suspended, Reactivating}, CmdChangeDue, changePending, nil, "downgrade.due"},
	{states{Downgrading}, cmdCompleteDowngrade, stepsDone, states{Active, PastDue}, "downgrade.completed"},
	{states{Downgrading}, cmdFailDowngrade, stepsUndone, states{Active, PastDue}, "downgrade.rolled_back"},
	{states{Downgrading}, cmdFailDowngrade, triesSpent, nil, "downgrade.stuck"},
	{states{Upgrading, Downgrading, Reactivating, Provisioning, ProvisioningFailed}, CmdRetryOperation, isStuck, nil, "step.requested"},

	// Payment.
	{states{Trialing, Active}, CmdPaymentFailed, "", states{PastDue}, "payment.past_due"},
	{states{Trialing, Active}, CmdPaymentFailed, noGrace, states{Suspended}, "tenant.suspended"},
	{states{Trialing, Active}, CmdPaymentRecovered, "", nil, ""},
	{states{PastDue}, CmdPaymentFailed, "", nil, ""},
	{states{PastDue}, CmdPaymentRecovered, "", states{Active}, "payment.recovered"},
	{states{PastDue}, cmdEndGrace, "", states{Suspended}, "tenant.suspended"},
	{states{Suspended}, cmdEndGrace, "", nil, "block.added"},

	// Blocks. During an operation they wait for its end.
	{open, CmdSuspend, "", states{Suspended}, "tenant.suspended"},
	{slices.Concat(states{Suspended}, leased), CmdSuspend, "", nil, "block.added"},
	{slices.Concat(states{Suspended, Deleting, ProvisioningFailed}, leased), CmdPaymentFailed, "", nil, "block.added"},
	{slices.Concat(states{Suspended, Deleting, ProvisioningFailed}, leased), CmdPaymentFailed, exempt, nil, "payment.past_due"},
	{slices.Concat(states{Suspended, Deleting, ProvisioningFailed}, leased), CmdPaymentRecovered, "", nil, "block.lifted"},
	{slices.Concat(states{Suspended, Deleting, ProvisioningFailed}, leased), CmdPaymentRecovered, "", nil, "payment.recovered"},
	{slices.Concat(states{Suspended, Deleting, ProvisioningFailed}, leased), CmdResume, barred, nil, "block.lifted"},
	{states{Provisioning, ProvisioningFailed, Upgrading, Reactivating, Suspended, Deleting}, CmdPaymentRecovered, billingSaw, nil, "trial.converted"},
	{states{Suspended}, CmdPaymentRecovered, nothingCloses, states{Reactivating}, "reactivation.started"},
	{states{Suspended}, CmdResume, barred, states{Reactivating}, "reactivation.started"},
	{slices.Concat(states{Suspended}, open), CmdCheckUsage, "", nil, "block.added"},
	{slices.Concat(states{Suspended}, open), CmdCheckUsage, "", nil, "block.lifted"},
	{slices.Concat(states{Suspended}, open), CmdCheckUsage, "", nil, "milestone.reached"},
	{slices.Concat(states{Suspended}, open), CmdCheckUsage, "", nil, "tenant.warmed"},
	{open, CmdCool, notCold, nil, "tenant.cooled"},
	{configurable, CmdConfigure, "", nil, "config.changed"},
	{open, cmdApplyBlocks, "", states{Suspended}, "tenant.suspended"},
	{states{Trialing, Active}, cmdApplyBlocks, "", states{PastDue}, "payment.past_due"},
	{exemptable, CmdExempt, notExempt, nil, "tenant.exempted"},
	{exemptable, CmdEndExemption, exempt, nil, "exemption.ended"},
	{states{Suspended}, cmdBeginReactivation, nothingCloses, states{Reactivating}, "reactivation.started"},

	// Exports stand beside the state.
	{exportable, CmdExport, noExport, nil, "export.requested"},
	{slices.Concat(states{Reactivating}, exportable), CmdCompleteExport, exportRuns, nil, "export.completed"},
	{slices.Concat(states{Reactivating}, exportable), CmdFailExport, exportRuns, nil, "export.failed"},
	{slices.Concat(states{Reactivating}, exportable), CmdCancelExport, exportRuns, nil, "export.cancelled"},

	// Leaving.
	{slices.Concat(states{Suspended}, open), CmdDelete, retentionFits, states{Deleting}, "deletion.requested"},
	{leased, CmdDelete, notQueued, nil, "deletion.queued"},
	{slices.Concat(states{Suspended}, open), CmdDelete, secondMust, nil, "deletion.approval_requested"},
	{leased, CmdDelete, notQueued, nil, "deletion.approval_requested"},
	{states{Provisioning, Trialing, Active, PastDue, Suspended, Deleting}, cmdBeginDeletion, "", states{Deleting}, "deletion.requested"},
	{states{Deleting}, cmdBeginPurge, purgeDue, states{Purging}, "purge.started"},
	{states{Deleting}, cmdBeginPurge, overdue, nil, "compliance.violation"},
	{states{Deleting}, cmdBeginPurge, heldBack, nil, "purge.deferred"},
	{states{Purging}, cmdBeginPurge, heldBack, nil, "purge.deferred"},
	{states{Purging}, cmdFailStore, triesSpent, nil, "purge.step_failed"},
	{states{Purging}, cmdCompletePurge, stepsDone, states{Deleted}, "tenant.purged"},
	{states{Deleted}, cmdCompletePurge, late, nil, "compliance.violation"},
	{states{Deleted}, CmdReportResidue, "", nil, "compliance.violation"},
	{slices.Concat(living, states{Abandoned, Deleted}), CmdReportEarly, "", nil, "compliance.violation"},
	{living, CmdPlaceHold, "", nil, "hold.placed"},
	{living, CmdReleaseHold, isHeld, nil, "hold.released"},
	{living, CmdReleaseHold, isHeld, nil, "hold.release_requested"},
	{living, CmdApprove, approvalAsked, nil, "approval.granted"},
	{living, CmdReject, approvalAsked, nil, "approval.rejected"},
	{living, cmdExpireApproval, approvalAsked, nil, "approval.expired"},

	// Coming back.
	{states{Deleting}, CmdCancelDeletion, notDue, states{Reactivating}, "deletion.cancelled"},
	{states{Deleting}, CmdReactivate, notDue, states{Reactivating}, "deletion.cancelled"},
	{states{Reactivating}, cmdBeginReactivation, "", nil, "reactivation.started"},
	{states{Suspended}, CmdReactivate, "", states{Reactivating}, "reactivation.started"},
	{states{Reactivating}, cmdCompleteReactivation, stepsDone, states{Trialing, Active, PastDue, Suspended}, "tenant.reactivated"},
	{states{Active, PastDue, Suspended}, cmdRestoreChange, "", nil, "downgrade.scheduled"},
	{states{Reactivating}, cmdFailReactivation, stepsUndone, states{Suspended, Deleting}, "reactivation.failed"},
	{states{Deleted}, CmdReactivate, freshOnly, states{Provisioning}, "tenant.reborn"},
}

// Guards, in words. Those in the map below depend on the state alone and are checked here, which makes them part of
// AllowedCommands too; the others need the command or the facts and are checked where the command is decided.
const (
	planKnown     = "plan known"
	billingSaw    = "billing fetched the live subscription"
	stepsDone     = "every step done"
	stepsUndone   = "every step undone"
	triesSpent    = "tries spent"
	planHigher    = "plan is higher"
	planLowerFits = "plan is lower; usage fits, or freeze or archive"
	fitsStill     = "usage fits still"
	noGrace       = "no grace"
	trialOver     = "the trial has ended"
	nothingCloses = "no access-closing block left"
	retentionFits = "retention fits the policy"
	purgeDue      = "due, no hold, no export"
	heldBack      = "hold or export"
	overdue       = "more than a minute after it was due"
	late          = "after the window"
	notDue        = "not yet due"
	secondMust    = "a second operator must approve"
	freshOnly     = "restore_data is false"

	changePending = "change pending"
	exempt        = "exempt"
	notExempt     = "not exempt"
	notAbandoning = "not being abandoned"
	isStuck       = "stuck"
	barred        = "admin or abuse block"
	noExport      = "no export runs"
	exportRuns    = "export runs"
	notQueued     = "no deletion queued"
	isHeld        = "hold placed"
	notCold       = "idle, not cold yet"
	approvalAsked = "approval asked for"
)

// guard is a condition on the state. code answers a command that it stops.
type guard struct {
	holds func(State) bool
	code  string
}

var guards = map[string]guard{
	changePending: {func(s State) bool { return s.Pending != nil }, CodeInvalidTransition},
	exempt:        {func(s State) bool { return s.Exempt != nil }, CodeInvalidTransition},
	notExempt:     {func(s State) bool { return s.Exempt == nil }, CodeInvalidTransition},
	notAbandoning: {func(s State) bool { return s.Lease == nil || s.Lease.Status == LeaseFailed }, CodeOperationInProgress},
	isStuck:       {State.NeedsOperator, CodeInvalidTransition},
	barred:        {func(s State) bool { return s.Blocked(BlockAdmin) || s.Blocked(BlockAbuse) }, CodeInvalidTransition},
	noExport:      {func(s State) bool { return s.Export == nil }, CodeOperationInProgress},
	exportRuns:    {func(s State) bool { return s.Export != nil }, CodeInvalidTransition},
	notQueued:     {func(s State) bool { return s.QueuedDeletion == nil }, CodeOperationInProgress},
	notCold:       {func(s State) bool { return !s.Cold() }, CodeInvalidTransition},
	approvalAsked: {func(s State) bool { return len(s.Approvals) > 0 }, CodeUnknownApproval},
	isHeld:        {func(s State) bool { return len(s.Holds) > 0 }, CodeInvalidTransition},
}

// public are the commands of AllowedCommands, sorted. confirm_payment and convert_trial are not among them: whoever
// sends them, billing alone can say that there was a payment.
var public = []string{
	CmdAbandon, CmdApprove, CmdCancelChange, CmdCancelDeletion, CmdCancelExport, CmdCancelSignup, CmdConfigure, CmdDelete, CmdDowngrade,
	CmdEndExemption, CmdExempt, CmdExport, CmdPlaceHold, CmdReactivate, CmdRegister, CmdReject, CmdReleaseHold, CmdResume, CmdRetryOperation, CmdRetryProvisioning,
	CmdSuspend, CmdUpgrade,
}

// operatorOnly are the commands that no tenant may send about itself.
var operatorOnly = map[string]bool{
	CmdAbandon: true, CmdApprove: true, CmdReject: true, CmdConfigure: true, CmdEndExemption: true, CmdExempt: true, CmdPlaceHold: true, CmdReleaseHold: true, CmdResume: true, CmdRetryOperation: true,
	CmdRetryProvisioning: true, CmdSuspend: true,
}

// answers name the step, timer, export or plan they are about and so fit whatever state the tenant is in: what they name is
// either still waited for, or they decide to nothing.
var answers = map[string]bool{
	CmdCompleteStep: true, CmdFailStep: true, CmdFireTimer: true, CmdCompleteExport: true, CmdFailExport: true,
	CmdChangeDue: true, CmdCheckUsage: true, CmdCool: true,
}

// exclusive are the commands that want the lease: while it is taken they are told so.
var exclusive = map[string]bool{
	CmdUpgrade: true, CmdDowngrade: true, CmdReactivate: true, CmdCancelDeletion: true, CmdExempt: true, CmdEndExemption: true,
}

// cell is one field of the table of states and commands.
type cell struct {
	from    StateName
	command string
}

var (
	transitions = expand(rules)
	table       = index(transitions)
)

// Transitions lists every row, in the order of the rules.
func Transitions() []Transition { return slices.Clone(transitions) }

func expand(rules []rule) []Transition {
	var out []Transition
	for _, r := range rules {
		for _, from := range r.from {
			to := r.to
			if to == nil {
				to = states{from}
			}
			for _, t := range to {
				out = append(out, Transition{From: from, Command: r.command, Guard: r.guard, To: t, Event: r.event})
			}
		}
	}
	return out
}

func index(rows []Transition) map[cell][]Transition {
	out := map[cell][]Transition{}
	for _, t := range rows {
		if t.Event != "" {
			t.Event = "tenure.lifecycle." + t.Event + ".v1"
		}
		at := cell{t.From, t.Command}
		out[at] = append(out[at], t)
	}
	return out
}

// allows reports whether a row lets command begin in s. Otherwise code says what stands against it.
func allows(s State, command string) (ok bool, code string) {
	code = CodeInvalidTransition
	if exclusive[command] && slices.Contains(leased, s.Name) {
		code = CodeOperationInProgress
	}
	for _, t := range table[cell{s.Name, command}] {
		g, checked := guards[t.Guard]
		if !checked || g.holds(s) {
			return true, ""
		}
		code = g.code
	}
	return false, code
}

// leads reports whether a row leads from one state to the other by this command with this event.
func leads(from StateName, command string, to StateName, eventType string) bool {
	for _, t := range table[cell{from, command}] {
		if t.To == to && t.Event == eventType {
			return true
		}
	}
	return false
}

// AllowedCommands lists what may be asked of the tenant as it is, sorted. Facts may still stand against it: a plan
// that is not higher, a usage that does not fit.
func (s State) AllowedCommands() []string {
	var out []string
	for _, c := range public {
		if ok, _ := allows(s, c); ok {
			out = append(out, c)
		}
	}
	return out
}
