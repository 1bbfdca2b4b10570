// Package message decides which mails an event asks for and what they say. It is pure: no clock, no I/O, no addresses.
package message

import (
	"errors"
	"fmt"
	"time"

	"tenure/shared/events"
)

// Template names one mail. It stands in events and in the database: never rename one.
type Template string

// The mails.
const (
	Welcome            Template = "welcome"
	ProvisioningFailed Template = "provisioning_failed"
	PlanChanged        Template = "plan_changed"
	DowngradeScheduled Template = "downgrade_scheduled"
	PaymentFailed      Template = "payment_failed"
	Suspended          Template = "suspended"
	Recovered          Template = "recovered"
	ExportReady        Template = "export_ready"
	DeletionScheduled  Template = "deletion_scheduled"
	Deleted            Template = "deleted"
	Returned           Template = "returned"
)

// Facts are what a mail tells, as far as the event knows it. No personal data: they are kept with the message.
type Facts struct {
	Plan     string `json:"plan,omitempty"`
	FromPlan string `json:"from_plan,omitempty"`
	// Cause of a suspension: payment, trial or admin.
	Cause string `json:"cause,omitempty"`
	// Until is the end of the grace, when a change falls due, or when a deletion begins.
	Until         time.Time `json:"until,omitzero"`
	RetentionDays int       `json:"retention_days,omitempty"`
	ExportID      string    `json:"export_id,omitempty"`
	Certificate   string    `json:"certificate,omitempty"`
	// Fresh: the tenant came back without its old data.
	Fresh bool `json:"fresh,omitempty"`
}

// Draft is a mail that an event asks for.
type Draft struct {
	Template Template
	Facts    Facts
}

// Reaction is all that an event asks of the notifier.
type Reaction struct {
	// Send is to be sent now.
	Send []Draft
	// Hold is prepared, with its address, while the address is still known, and sent when a later event releases it.
	Hold []Draft
	// Release sends what was held, with the facts that are known by now.
	Release []Draft
	// Supersede takes back what has not left yet, because it is no longer true.
	Supersede []Template
}

// Wants reports whether events of this type ask for anything.
func Wants(eventType string) bool { return reactions[eventType] != nil }

// ReactionTo tells what an event asks for. Types that this build does not know ask for nothing.
func ReactionTo(e events.Event) (Reaction, error) {
	react := reactions[e.Type]
	if react == nil {
		return Reaction{}, nil
	}
	payload, err := e.Payload()
	if errors.Is(err, events.ErrUnknownType) {
		return Reaction{}, nil
	}
	if err != nil {
		return Reaction{}, fmt.Errorf("message: %w", err)
	}
	return react(payload), nil
}
