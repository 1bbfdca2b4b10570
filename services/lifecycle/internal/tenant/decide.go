package tenant

import (
	"time"

	"tenure/shared/events"
)

// Decide says which events follow from c. An error is a *Refusal, or a bug of this package.
func Decide(s State, c Command) ([]events.Payload, error) { return nil, nil }

// Evolve applies e, whose data p already is, to s.
func Evolve(s State, e events.Event, p events.Payload) State { return s }

// Timer is a deadline that the state arms.
type Timer struct {
	Kind       string
	Due        time.Time
	Generation int64
}

// Timers lists the deadlines that are armed.
func (s State) Timers() []Timer { return nil }

// AllowedCommands lists what may be asked of the tenant as it is.
func (s State) AllowedCommands() []string { return nil }
