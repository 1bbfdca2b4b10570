package tenant

import (
	"fmt"
	"strings"
	"time"

	"tenure/shared/events"
)

// Kind groups refusals for callers that translate them, for example into HTTP statuses.
type Kind string

// The kinds of refusals.
const (
	Conflict  Kind = "conflict"  // not in this state, or not now
	Invalid   Kind = "invalid"   // wrong in itself
	Limit     Kind = "limit"     // too many
	Forbidden Kind = "forbidden" // not for this actor
	NotFound  Kind = "not_found"
)

// The codes of refusals. They are part of the contract: programs branch on them.
const (
	CodeInvalidTransition   = "invalid_transition"
	CodeOperationInProgress = "operation_in_progress"
	CodePaymentUnverified   = "payment_unverified"
	CodePlanChanged         = "plan_changed"
	CodeOnHold              = "on_hold"
	CodeDataDeleted         = "data_deleted"
	CodeApprovalPending     = "approval_pending"

	CodeUnknownPlan         = "unknown_plan"
	CodeNotAnUpgrade        = "not_an_upgrade"
	CodeNotADowngrade       = "not_a_downgrade"
	CodeUsageOverLimit      = "usage_over_limit"
	CodeRetentionOutOfRange = "retention_out_of_range"
	CodeConfirmRequired     = "confirmation_required"
	CodeConfirmMismatch     = "confirmation_mismatch"
	CodeInvalidArgument     = "invalid_argument"
	CodeUnknownCommand      = "unknown_command"
	CodeWrongPayload        = "wrong_payload"

	CodeExportLimit   = "export_limit"
	CodeForbidden     = "forbidden"
	CodeSamePerson    = "same_person"
	CodeUnknownTenant = "unknown_tenant"
	CodeUnknownExport = "unknown_export"
	CodeUnknownHold   = "unknown_hold"

	CodeUnknownApproval = "unknown_approval"
)

// kindOf is the kind of every code; those that are not named are Invalid.
var kindOf = map[string]Kind{
	CodeInvalidTransition:   Conflict,
	CodeOperationInProgress: Conflict,
	CodePaymentUnverified:   Conflict,
	CodePlanChanged:         Conflict,
	CodeOnHold:              Conflict,
	CodeDataDeleted:         Conflict,
	CodeApprovalPending:     Conflict,
	CodeExportLimit:         Limit,
	CodeForbidden:           Forbidden,
	CodeSamePerson:          Forbidden,
	CodeUnknownTenant:       NotFound,
	CodeUnknownHold:         NotFound,
	CodeUnknownApproval:     NotFound,
}

func kind(code string) Kind {
	if k, ok := kindOf[code]; ok {
		return k
	}
	return Invalid
}

// Refusal is the error of a command that the state machine does not allow.
type Refusal struct {
	Kind    Kind
	Code    string
	Message string
	// Allowed are the commands that the tenant's state does allow.
	Allowed []string
	// Violations are the limits that the tenant's usage does not fit.
	Violations []events.Violation
	// RetryAt is when the same wish may be granted; zero where time alone changes nothing.
	RetryAt time.Time
}

func (r *Refusal) Error() string { return r.Message }

// Event records the refusal in the tenant's log.
func (r *Refusal) Event(s State, command string) *events.CommandRefused {
	return &events.CommandRefused{
		Change:  events.Change{From: s.Status(), To: s.Status(), Reason: r.Message, ReadOnlyUntil: moment(s.ReadOnlyUntil())},
		Command: command, Code: r.Code, Message: r.Message, Allowed: r.Allowed, Violations: r.Violations,
		RetryAt: moment(r.RetryAt),
	}
}

// RefusalOf is the refusal that an event recorded, for the answer to a repeated command.
func RefusalOf(p *events.CommandRefused) *Refusal {
	r := &Refusal{Kind: kind(p.Code), Code: p.Code, Message: p.Message, Allowed: p.Allowed, Violations: p.Violations}
	if p.RetryAt != nil {
		r.RetryAt = *p.RetryAt
	}
	return r
}

// refuse makes the answer to a command that is not allowed. What it tells to do instead is the tenant's state's.
func (d *decision) refuse(code, format string, args ...any) *Refusal {
	r := &Refusal{Kind: kind(code), Code: code, Message: fmt.Sprintf(format, args...), Allowed: d.state.AllowedCommands()}
	if r.Kind == Conflict {
		r.Message += "; possible now: " + strings.Join(r.Allowed, ", ")
	}
	return r
}

func (d *decision) forbid(what string) *Refusal {
	return d.refuse(CodeForbidden, "%s is for operators alone", what)
}

func (d *decision) unfit(plan, advice string, v []events.Violation) *Refusal {
	r := d.refuse(CodeUsageOverLimit, "%s; %s", misfit(plan, v), advice)
	r.Violations = v
	return r
}

// misfit lists what a plan has no room for.
func misfit(plan string, over []events.Violation) string {
	said := make([]string, len(over))
	for i := range over {
		said[i] = over[i].String()
	}
	return fmt.Sprintf("the usage does not fit %s: %s", plan, strings.Join(said, ", "))
}
