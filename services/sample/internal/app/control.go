package app

import (
	"errors"
	"sync"
	"time"

	"tenure/shared/fault"
	"tenure/shared/participant"
)

// Shape is how the next plan change should go, for demos and tests.
type Shape struct {
	// NeverDrain leaves the drain waiting until its time is out.
	NeverDrain bool
	// SwitchTakes is how long the switch lasts.
	SwitchTakes time.Duration
	// FailNext is the action (provision or switch) that fails for good; empty: none.
	FailNext string
}

// control hands a shape to one plan change: the first operation that asks keeps it through all of its steps and
// retries, so that a change under test does not shape the one after it.
type control struct {
	mu     sync.Mutex
	next   Shape
	holder string // the operation that has taken it
	taken  Shape
}

// Shape changes how the next plan change goes, and returns the shape it will have.
func (a *App) Shape(change func(next *Shape)) Shape {
	a.control.mu.Lock()
	defer a.control.mu.Unlock()
	change(&a.control.next)
	return a.control.next
}

// of returns the shape of the step's operation. A pending shape goes to the first plan change, or to the first operation
// that comes to the action that is to fail: a sign-up in between must not use up what was meant for an upgrade.
func (c *control) of(s participant.Step) Shape {
	c.mu.Lock()
	defer c.mu.Unlock()
	planChange := s.Operation == "upgrade" || s.Operation == "downgrade"
	if c.next != (Shape{}) && s.OperationID != c.holder && (planChange || s.Action == c.next.FailNext) {
		c.holder, c.taken, c.next = s.OperationID, c.next, Shape{}
	}
	if s.OperationID != c.holder {
		return Shape{}
	}
	return c.taken
}

// fail is the failure that was ordered for this step, if any. The way back is never made to fail, and neither is the
// action when somebody asks for it again.
func (c *control) fail(s participant.Step) error {
	if s.Compensate || c.of(s).FailNext != s.Action {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken.FailNext = ""
	return fault.Permanent(errors.New("the sample was told to fail this " + s.Action))
}
