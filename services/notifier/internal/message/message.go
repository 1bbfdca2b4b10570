// Package message decides which mails an event asks for and what they say. It is pure: no clock, no I/O, no addresses.
package message

import (
	"errors"
	"fmt"
	"time"

	"tenure/shared/events"
	"tenure/shared/plans"
)

// Template names one mail. It stands in events and in the database: never rename one.
type Template string

// The mails.
const (
	Welcome            Template = "welcome"
	ProvisioningFailed Template = "provisioning_failed"
	PlanChanged        Template = "plan_changed"
	DowngradeScheduled Template = "downgrade_scheduled"
	DowngradeDropped   Template = "downgrade_dropped"
	TrialEnded         Template = "trial_ended"
	PaymentFailed      Template = "payment_failed"
	PaymentReminder    Template = "payment_reminder"
	PaymentLastCall    Template = "payment_last_call"
	Suspended          Template = "suspended"
	Recovered          Template = "recovered"
	UsageAlert         Template = "usage_alert"
	ExportReady        Template = "export_ready"
	ExportExpiring     Template = "export_expiring"
	DeletionScheduled  Template = "deletion_scheduled"
	DeletionReminder   Template = "deletion_reminder"
	Deleted            Template = "deleted"
	Returned           Template = "returned"
	WebhookDisabled    Template = "webhook_disabled"
	// Campaign is a mail whose words are in the campaign file; it is none of Templates.
	Campaign Template = "campaign"
	// OperatorAlert is the one mail that goes to an operator.
	OperatorAlert Template = "operator_alert"
)

// Templates lists all mails.
func Templates() []Template {
	return []Template{
		Welcome, ProvisioningFailed, PlanChanged, DowngradeScheduled, DowngradeDropped, TrialEnded, PaymentFailed,
		PaymentReminder, PaymentLastCall, Suspended, Recovered, UsageAlert, ExportReady, ExportExpiring,
		DeletionScheduled, DeletionReminder, Deleted, Returned, WebhookDisabled, OperatorAlert,
	}
}

// Facts are what a mail tells, as far as the event knows it. No personal data: they are kept with the message.
type Facts struct {
	Plan     string `json:"plan,omitempty"`
	FromPlan string `json:"from_plan,omitempty"`
	// Cause of a suspension: payment or admin.
	Cause string `json:"cause,omitempty"`
	// Reason is why Tenure did what nobody had asked for.
	Reason string `json:"reason,omitempty"`
	// Until is the end of the grace, when a change falls due, when a deletion begins, when an archive expires, or by when
	// one has to be there.
	Until         time.Time `json:"until,omitzero"`
	RetentionDays int       `json:"retention_days,omitempty"`
	// Last: no reminder follows.
	Last        bool   `json:"last,omitempty"`
	ExportID    string `json:"export_id,omitempty"`
	Certificate string `json:"certificate,omitempty"`
	// Generation is the life of the tenant that Certificate is about.
	Generation int64 `json:"generation,omitempty"`
	// Difference is what the tenant has on Plan otherwise than on FromPlan; nil where that is nothing, or not known.
	Difference *Difference `json:"difference,omitempty"`
	// Exceeded are the limits of Plan that the tenant has outgrown.
	Exceeded []events.Violation `json:"exceeded,omitempty"`
	// Fresh: the tenant came back without its old data.
	Fresh bool `json:"fresh,omitempty"`

	// What is used up: Percent of the limit of a metric, in a calendar month (2026-08) or at all.
	Metric  string  `json:"metric,omitempty"`
	Percent int     `json:"percent,omitempty"`
	Usage   float64 `json:"usage,omitempty"`
	Limit   float64 `json:"limit,omitempty"`
	Period  string  `json:"period,omitempty"`

	// What an operator has to look into: the event's name, and the ids and words by which it is found.
	Event          string `json:"event,omitempty"`
	Kind           string `json:"kind,omitempty"`
	OperationID    string `json:"operation_id,omitempty"`
	SubscriptionID string `json:"subscription_id,omitempty"`
	LivePlan       string `json:"live_plan,omitempty"`

	// EndpointID is of a webhook.
	EndpointID string `json:"endpoint_id,omitempty"`

	// Campaign and Step name the words of a campaign's mail.
	Campaign string `json:"campaign,omitempty"`
	Step     string `json:"step,omitempty"`
}

// Draft is a mail that an event asks for.
type Draft struct {
	Template Template
	Facts    Facts
}

// Reminder is a mail that leaves later, unless an event takes it back before.
type Reminder struct {
	Draft
	// Rung tells the reminders of one template that one event asks for apart. It goes into the message's id: never
	// rename one.
	Rung string
	// At is when it is due. From Expires on it is too late for it: the next one is due, or what it warned of has come.
	At, Expires time.Time
}

// Life says that a life of the tenant begins or, when Ended, that its data begins to be destroyed.
type Life struct {
	Generation int64
	Ended      bool
}

// Reaction is all that an event asks of the notifier.
type Reaction struct {
	// Send is to be sent to the tenant now, Alert to the operator.
	Send, Alert []Draft
	// Schedule is to be sent to the tenant later.
	Schedule []Reminder
	// Hold is prepared, with its address, while the address is still known, and sent when a later event releases it.
	Hold []Draft
	// Release sends what was held, with the facts that are known by now.
	Release []Draft
	// Supersede takes back what has not left yet, because it is no longer true.
	Supersede []Template
	// HoldBack takes back what may come true again: a later event supersedes it, or lets it Resume at its old time.
	HoldBack, Resume []Template
	// Life is nil for an event within a life.
	Life *Life
}

// Rules are what the reactions depend on beside the event.
type Rules struct {
	// Day is the length of a period that is given in days.
	Day time.Duration
	// Plans tell what a change of plan changes.
	Plans plans.Catalogue
}

// Wants reports whether events of this type ask for anything.
func Wants(eventType string) bool { return reactions[eventType] != nil || alarms[eventType] != nil }

// ReactionTo tells what an event asks for. Types that this build does not know ask for nothing.
func (r Rules) ReactionTo(e events.Event) (Reaction, error) {
	if !Wants(e.Type) {
		return Reaction{}, nil
	}
	payload, err := e.Payload()
	if errors.Is(err, events.ErrUnknownType) {
		return Reaction{}, nil
	}
	if err != nil {
		return Reaction{}, fmt.Errorf("message: %w", err)
	}
	var reaction Reaction
	o := occasion{e.Time, e.Actor, r}
	if react := reactions[e.Type]; react != nil {
		reaction = react(o, payload)
	}
	if alarm := alarms[e.Type]; alarm != nil {
		reaction.Alert = alarm(o, payload).Alert
	}
	return reaction, nil
}
