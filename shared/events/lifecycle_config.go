package events

import (
	"maps"
	"slices"
)

// Configuration in the lifecycle's log: what holds for one tenant beside its plan.

// TenantConfig is what is set for one tenant. The zero value leaves everything to the plan.
type TenantConfig struct {
	// Limits overrule those of the plan, by metric; 0 is unlimited, as in a plan.
	Limits map[string]float64 `json:"limits,omitempty"`
	// Features that the plan lacks (true), or that are taken away from it (false).
	Features map[string]bool `json:"features,omitempty"`
	// Values are the SaaS's own, such as the name of a model: Tenure passes them on. Never personal data.
	Values map[string]string `json:"values,omitempty"`
}

// IsZero reports whether nothing is set.
func (c TenantConfig) IsZero() bool { return len(c.Limits)+len(c.Features)+len(c.Values) == 0 }

// FeaturesWith are those of a plan, but for what is set for the tenant, sorted.
func (c TenantConfig) FeaturesWith(plan []string) []string {
	has := map[string]bool{}
	for _, feature := range plan {
		has[feature] = true
	}
	maps.Copy(has, c.Features)
	maps.DeleteFunc(has, func(_ string, on bool) bool { return !on })
	return slices.Sorted(maps.Keys(has))
}

// ConfigChanged says what is set for the tenant from now on: all of it, so that what it does not name is as the plan says.
type ConfigChanged struct {
	Change
	Config TenantConfig `json:"config"`
}

// EventType names the type on the bus.
func (*ConfigChanged) EventType() string { return "tenure.lifecycle.config.changed.v1" }

func init() {
	register[ConfigChanged]()
}
