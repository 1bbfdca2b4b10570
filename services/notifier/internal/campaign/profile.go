package campaign

import (
	"slices"
	"time"

	"tenure/shared/events"
	"tenure/shared/plans"
)

// Profile is what campaigns know of a tenant: ids and states, no person.
type Profile struct {
	Tenant     string    `json:"tenant"`
	Generation int64     `json:"generation"`
	BornAt     time.Time `json:"born_at"`
	Plan       string    `json:"plan"`
	Region     string    `json:"region,omitempty"`
	GDPR       bool      `json:"gdpr,omitempty"`
	State      string    `json:"state"`
	// Locale and Zone are as the tenant's settings have them (values "locale" and "time_zone"); "" is not set.
	Locale string `json:"locale,omitempty"`
	Zone   string `json:"zone,omitempty"`
	// Holds are legal holds: who is in court with a tenant sends it no advertisements.
	Holds []string `json:"holds,omitempty"`
	// Until is when a leaving tenant's data will be destroyed; the zero time when it is not leaving.
	Until time.Time `json:"until,omitzero"`
}

// The states of the lifecycle that matter here.
const (
	stateSuspended = "suspended"
	stateDeleting  = "deleting"
	statePurging   = "purging"
	stateDeleted   = "deleted"
	stateAbandoned = "abandoned"
)

// Gone reports that the tenant's data is being destroyed, or is: whoever it was is not to be reached any more.
func (p Profile) Gone() bool {
	return p.State == statePurging || p.State == stateDeleted || p.State == stateAbandoned || p.State == ""
}

// Lost reports whether the tenant still is about to be lost by this trigger. Everything else is a return.
func (p Profile) Lost(t Trigger, catalogue plans.Catalogue) bool {
	switch t {
	case Cancelled:
		plan, known := catalogue.Find(p.Plan)
		return !p.Gone() && known && plan.Free()
	case SuspendedForNonPayment, TrialExpired:
		return p.State == stateSuspended || p.State == stateDeleting
	case DeletionRequested:
		return p.State == stateDeleting
	}
	return false
}

// heard are the events that Evolve looks at, and those that show that a tenant is not lost any more.
var heard = func() map[string]bool {
	types := map[string]bool{}
	for _, p := range []events.Payload{
		&events.TenantRegistered{}, &events.TenantReborn{}, &events.TenantActivated{}, &events.SignupAbandoned{}, &events.ProvisioningRolledBack{},
		&events.TrialConverted{}, &events.TrialExpired{}, &events.UpgradeCompleted{}, &events.DowngradeCompleted{},
		&events.TenantSuspended{}, &events.ReactivationStarted{}, &events.TenantReactivated{}, &events.ReactivationFailed{},
		&events.DeletionRequested{}, &events.DeletionCancelled{}, &events.PurgeStarted{}, &events.TenantPurged{},
		&events.HoldPlaced{}, &events.HoldReleased{}, &events.ConfigChanged{},
	} {
		types[p.EventType()] = true
	}
	return types
}()

// Wants reports whether events of this type can change a profile.
func Wants(eventType string) bool { return heard[eventType] }

// Evolve makes of a profile what an event of the lifecycle makes of it, and names the trigger that the event is, or "".
func Evolve(p Profile, e events.Event, payload events.Payload, catalogue plans.Catalogue) (Profile, Trigger) {
	before := p
	if change := events.ChangeOf(e.Data); change.To != "" {
		p.State = change.To
	}
	switch m := payload.(type) {
	case *events.TenantRegistered:
		p = Profile{Tenant: e.Subject, Generation: m.Generation, BornAt: e.Time, Plan: m.Plan, Region: m.Region, GDPR: m.GDPR, State: p.State}
	case *events.TenantReborn:
		p = Profile{Tenant: e.Subject, Generation: m.Generation, BornAt: e.Time, Plan: m.Plan, Region: before.Region, GDPR: before.GDPR, State: p.State}
	case *events.TenantActivated:
		p.Plan = m.Plan
	case *events.UpgradeCompleted:
		p.Plan = m.Plan
	case *events.TenantReactivated:
		p.Plan, p.Until = m.Plan, time.Time{}
	case *events.ConfigChanged:
		p.Locale, p.Zone = m.Config.Values["locale"], m.Config.Values["time_zone"]
	case *events.HoldPlaced:
		p.Holds = append(slices.Clone(p.Holds), m.HoldID)
	case *events.HoldReleased:
		p.Holds = slices.DeleteFunc(slices.Clone(p.Holds), func(id string) bool { return id == m.HoldID })
	case *events.DowngradeCompleted:
		p.Plan = m.Plan
		if to, known := catalogue.Find(m.Plan); known && to.Free() {
			return p, Cancelled
		}
	case *events.TenantSuspended:
		if before.State != stateSuspended && has(m.Blocks, "payment") && !imposed(m.Blocks) {
			return p, SuspendedForNonPayment
		}
	case *events.TrialExpired:
		if !imposed(m.Blocks) {
			return p, TrialExpired
		}
	case *events.DeletionRequested:
		p.Until = m.ScheduledFor
		return p, DeletionRequested
	}
	return p, ""
}

func has(blocks []events.Block, kind string) bool {
	return slices.ContainsFunc(blocks, func(b events.Block) bool { return b.Kind == kind })
}

// imposed reports whether an operator has closed the tenant: who is shut out for abuse is not asked to come back.
func imposed(blocks []events.Block) bool { return has(blocks, "admin") || has(blocks, "abuse") }
