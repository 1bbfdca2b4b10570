package events

import "time"

// Idleness in the lifecycle's log: hints for stores that can put a tenant's data somewhere cheaper.

// TenantCooled says that nobody has used the tenant for a long time. Access is what it was.
type TenantCooled struct {
	Change
	// IdleSince is the last use, or when the tenant signed up if there was none.
	IdleSince time.Time `json:"idle_since"`
}

// EventType names the type on the bus.
func (*TenantCooled) EventType() string { return "tenure.lifecycle.tenant.cooled.v1" }

// TenantWarmed says that a cold tenant is used again. It comes behind the first use, which must not wait for it.
type TenantWarmed struct{ Change }

// EventType names the type on the bus.
func (*TenantWarmed) EventType() string { return "tenure.lifecycle.tenant.warmed.v1" }

func init() {
	register[TenantCooled]()
	register[TenantWarmed]()
}
