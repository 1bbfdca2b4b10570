package events

import "time"

// Change stands in every event of the lifecycle log: what people read in the timeline.
type Change struct {
	From   string `json:"from_state"`
	To     string `json:"to_state"`
	Reason string `json:"reason,omitempty"`
}

// Block is a reason why access is limited: payment, trial, admin, abuse or over_limit.
type Block struct {
	Kind   string    `json:"kind"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// CommandRefused answers a command that the state machine did not allow. Its causationid is the command's id.
type CommandRefused struct {
	Change
	Command string   `json:"command"`
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Allowed []string `json:"allowed_commands,omitempty"`
}

// EventType names the type on the bus.
func (*CommandRefused) EventType() string { return "tenure.lifecycle.command.refused.v1" }

func init() {
	register[CommandRefused]()
}
