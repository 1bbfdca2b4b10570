package events

import (
	"encoding/json"
	"fmt"
	"time"
)

// Change stands in every event of the lifecycle log: what people read in the timeline.
type Change struct {
	// From equals To where the state stays.
	From string `json:"from_state"`
	To   string `json:"to_state"`
	// Reason is what the actor gave, or why the system acted. People write it: show it, never branch on it.
	Reason string `json:"reason,omitempty"`
	// ReadOnlyUntil stands in every event while a step runs whose participant may not be written to: gates refuse writes
	// until an event comes without it, and never longer than until then. Each event says it anew, so that whoever knows
	// the newest one alone is not mistaken.
	ReadOnlyUntil *time.Time `json:"read_only_until,omitempty"`
}

// ChangeOf reads the Change out of an event's data; events of other services have none and give the zero value.
func ChangeOf(data json.RawMessage) (c Change) {
	_ = json.Unmarshal(data, &c)
	return c
}

// StateChange gives access to the change inside any event of the lifecycle log.
func (c *Change) StateChange() *Change { return c }

// States lists the words that from_state and to_state may hold: the tenant's states, "exporting" (what an active
// tenant shows while an export runs), and "" before the first event.
func States() []string {
	return []string{
		"", "pending_payment", "provisioning", "provisioning_failed", "abandoned", "trialing", "active", "exporting",
		"upgrading", "downgrading", "past_due", "suspended", "reactivating", "deleting", "purging", "deleted",
	}
}

// Block is a reason why access is limited. over_limit closes ingest alone, every other kind all access.
type Block struct {
	Kind   string    `json:"kind" jsonschema:"enum=payment,enum=trial,enum=admin,enum=abuse,enum=over_limit"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// CommandRefused answers a command that the state machine did not allow. Its causationid is the command's id.
type CommandRefused struct {
	Change
	Command string `json:"command"`
	// Code is stable and made for programs, Message for people.
	Code    string `json:"code"`
	Message string `json:"message"`
	// Allowed names the commands that the tenant's state allows.
	Allowed []string `json:"allowed_commands,omitempty"`
	// Violations are the limits that the tenant's usage does not fit.
	Violations []Violation `json:"violations,omitempty"`
	// RetryAt is when the same wish, as a new command, may be granted: set where only time stands against it.
	RetryAt *time.Time `json:"retry_at,omitempty"`
}

// Violation is one limit of a plan that the usage does not fit.
type Violation struct {
	Metric string  `json:"metric"`
	Usage  float64 `json:"usage"`
	Limit  float64 `json:"limit"`
}

func (v Violation) String() string { return fmt.Sprintf("%s %g of %g", v.Metric, v.Usage, v.Limit) }

// EventType names the type on the bus.
func (*CommandRefused) EventType() string { return "tenure.lifecycle.command.refused.v1" }

func init() {
	register[CommandRefused]()
}
