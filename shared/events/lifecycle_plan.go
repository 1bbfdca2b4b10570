package events

import "time"

// Plan changes in the lifecycle's log.

// UpgradeStarted takes the lease and plans provision, bill, switch.
type UpgradeStarted struct {
	Change
	Operation OperationPlan `json:"operation"`
}

// EventType names the type on the bus.
func (*UpgradeStarted) EventType() string { return "tenure.lifecycle.upgrade.started.v1" }

// UpgradeCompleted says that the new plan is provisioned, billed and switched to.
type UpgradeCompleted struct {
	Change
	OperationID string `json:"operation_id"`
	FromPlan    string `json:"from_plan"`
	Plan        string `json:"plan"`
	// Blocks are those left after the change (an upgrade with room lifts over_limit).
	Blocks []Block `json:"blocks,omitempty"`
}

// EventType names the type on the bus.
func (*UpgradeCompleted) EventType() string { return "tenure.lifecycle.upgrade.completed.v1" }

// UpgradeRolledBack says that resources and money are as they were before.
type UpgradeRolledBack struct {
	Change
	OperationID string `json:"operation_id"`
	Plan        string `json:"plan"`
	Error       string `json:"error,omitempty"`
}

// EventType names the type on the bus.
func (*UpgradeRolledBack) EventType() string { return "tenure.lifecycle.upgrade.rolled_back.v1" }

// UpgradeStuck says that even the way back failed: needs_operator.
type UpgradeStuck struct {
	Change
	OperationID string `json:"operation_id"`
	Error       string `json:"error"`
}

// EventType names the type on the bus.
func (*UpgradeStuck) EventType() string { return "tenure.lifecycle.upgrade.stuck.v1" }

// DowngradeScheduled sets the pending change.
type DowngradeScheduled struct {
	Change
	OperationID string    `json:"operation_id,omitempty"`
	FromPlan    string    `json:"from_plan"`
	Plan        string    `json:"plan"`
	DueAt       time.Time `json:"due_at"`
	Resolution  string    `json:"resolution" jsonschema:"enum=refuse,enum=freeze,enum=archive"`
}

// EventType names the type on the bus.
func (*DowngradeScheduled) EventType() string { return "tenure.lifecycle.downgrade.scheduled.v1" }

// DowngradeDue says that billing charges for the lower plan already, while the tenant's state has no room for the change:
// it begins as soon as it has.
type DowngradeDue struct {
	Change
	OperationID string `json:"operation_id,omitempty"`
	Plan        string `json:"plan"`
}

// EventType names the type on the bus.
func (*DowngradeDue) EventType() string { return "tenure.lifecycle.downgrade.due.v1" }

// DowngradeCancelled clears the pending change before it began.
type DowngradeCancelled struct {
	Change
	OperationID string `json:"operation_id,omitempty"`
	Plan        string `json:"plan"`
	// Violations are the limits of Plan that the usage had outgrown when the change fell due.
	Violations []Violation `json:"violations,omitempty"`
	// Superseded: the tenant does not stay on the plan that it had - it leaves, goes down at once or has come back on
	// another one - so that a price that Stripe has lowered already is not to be raised again.
	Superseded bool `json:"superseded,omitempty"`
}

// EventType names the type on the bus.
func (*DowngradeCancelled) EventType() string { return "tenure.lifecycle.downgrade.cancelled.v1" }

// DowngradeStarted takes the lease and plans the change to the lower plan.
type DowngradeStarted struct {
	Change
	Operation  OperationPlan `json:"operation"`
	Resolution string        `json:"resolution,omitempty" jsonschema:"enum=refuse,enum=freeze,enum=archive"`
}

// EventType names the type on the bus.
func (*DowngradeStarted) EventType() string { return "tenure.lifecycle.downgrade.started.v1" }

// DowngradeCompleted says that the lower plan holds.
type DowngradeCompleted struct {
	Change
	OperationID string  `json:"operation_id"`
	FromPlan    string  `json:"from_plan"`
	Plan        string  `json:"plan"`
	Blocks      []Block `json:"blocks,omitempty"`
}

// EventType names the type on the bus.
func (*DowngradeCompleted) EventType() string { return "tenure.lifecycle.downgrade.completed.v1" }

// DowngradeRolledBack says that the higher plan still holds.
type DowngradeRolledBack struct {
	Change
	OperationID string `json:"operation_id"`
	Plan        string `json:"plan"`
	Error       string `json:"error,omitempty"`
}

// EventType names the type on the bus.
func (*DowngradeRolledBack) EventType() string { return "tenure.lifecycle.downgrade.rolled_back.v1" }

// DowngradeStuck says that even the way back failed: needs_operator.
type DowngradeStuck struct {
	Change
	OperationID string `json:"operation_id"`
	Error       string `json:"error"`
}

// EventType names the type on the bus.
func (*DowngradeStuck) EventType() string { return "tenure.lifecycle.downgrade.stuck.v1" }

func init() {
	register[UpgradeStarted]()
	register[UpgradeCompleted]()
	register[UpgradeRolledBack]()
	register[UpgradeStuck]()
	register[DowngradeScheduled]()
	register[DowngradeDue]()
	register[DowngradeCancelled]()
	register[DowngradeStarted]()
	register[DowngradeCompleted]()
	register[DowngradeRolledBack]()
	register[DowngradeStuck]()
}
