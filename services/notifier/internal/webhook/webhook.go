// Package webhook decides what a tenant's own endpoints are told, and when a call that failed is made again, by the
// Standard Webhooks specification (https://www.standardwebhooks.com). It is pure: no clock, no randomness, no I/O.
package webhook

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"tenure/shared/events"
)

// public are the events that tenants may be told. What is left out is of no use to them (steps, retries) or none of
// their business (drift, operators' affairs).
var public = []events.Payload{
	&events.TenantRegistered{}, &events.PaymentConfirmed{}, &events.TenantActivated{}, &events.ProvisioningFailed{},
	&events.SignupAbandoned{}, &events.TrialConverted{}, &events.TrialExpired{},
	&events.UpgradeStarted{}, &events.UpgradeCompleted{}, &events.UpgradeRolledBack{},
	&events.DowngradeScheduled{}, &events.DowngradeCancelled{}, &events.DowngradeStarted{}, &events.DowngradeCompleted{}, &events.DowngradeRolledBack{},
	&events.PaymentPastDue{}, &events.PaymentRecovered{}, &events.TenantSuspended{},
	&events.ReactivationStarted{}, &events.TenantReactivated{}, &events.ReactivationFailed{}, &events.TenantReborn{},
	&events.ExportRequested{}, &events.ExportCompleted{}, &events.ExportFailed{}, &events.ExportCancelled{},
	&events.DeletionRequested{}, &events.DeletionCancelled{}, &events.PurgeStarted{}, &events.TenantPurged{},
	&events.UsageThresholdReached{},
	&events.WebhookTested{},
}

// Types lists the types of events that endpoints may be told, sorted.
func Types() []string {
	types := make([]string, len(public))
	for i, p := range public {
		types[i] = p.EventType()
	}
	slices.Sort(types)
	return types
}

var isPublic = func() map[string]bool {
	set := map[string]bool{}
	for _, t := range Types() {
		set[t] = true
	}
	return set
}()

// Wants reports whether events of this type may go to endpoints.
func Wants(eventType string) bool { return isPublic[eventType] }

// Filter picks events by type: each pattern is a type, or the beginning of types with "*" behind it. An empty filter
// picks all.
type Filter []string

// Check names the first pattern that no event would ever match: most likely it is misspelt, and its endpoint would wait
// for ever.
func (f Filter) Check() error {
	for _, pattern := range f {
		if !slices.ContainsFunc(Types(), func(t string) bool { return picks(pattern, t) }) {
			return fmt.Errorf("no event is called %q; an event is, for example, %s, and tenure.lifecycle.upgrade.* are several", pattern, public[0].EventType())
		}
	}
	return nil
}

// Matches reports whether the filter picks events of a type. A test reaches every endpoint.
func (f Filter) Matches(eventType string) bool {
	if len(f) == 0 || eventType == (*events.WebhookTested)(nil).EventType() {
		return true
	}
	return slices.ContainsFunc(f, func(pattern string) bool { return picks(pattern, eventType) })
}

func picks(pattern, eventType string) bool {
	if begin, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(eventType, begin)
	}
	return pattern == eventType
}

// message is the body of a call: type, timestamp and data as the specification has them, and what names the event.
type message struct {
	Type      string                     `json:"type"`
	Timestamp time.Time                  `json:"timestamp"`
	Tenant    string                     `json:"tenant"`
	EventID   string                     `json:"event_id"`
	Sequence  int64                      `json:"sequence,omitempty"`
	Data      map[string]json.RawMessage `json:"data"`
}

// Body is what a call about an event says. How an operation is carried out stays in the house.
func Body(e events.Event) ([]byte, error) {
	m := message{Type: e.Type, Timestamp: e.Time.UTC(), Tenant: e.Subject, EventID: e.ID, Sequence: e.Sequence}
	if err := json.Unmarshal(e.Data, &m.Data); err != nil {
		return nil, fmt.Errorf("data of %s: %w", e.ID, err)
	}
	delete(m.Data, "operation")
	return json.Marshal(m)
}

// waits are those behind each failed call: some tries within minutes for a restart, the rest for an outage over a
// weekend. With them a message is tried for three days.
var waits = []time.Duration{
	5 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute,
	2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 18 * time.Hour, 22 * time.Hour,
}

// Next is how long to wait behind the n-th failed call, from 1, as long as a day is 24 hours; false when that was the last.
func Next(failures int, day time.Duration) (time.Duration, bool) {
	if failures > len(waits) {
		return 0, false
	}
	return time.Duration(float64(waits[failures-1]) / 24 / float64(time.Hour) * float64(day)), true
}
