package campaigns

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"tenure/services/notifier/internal/campaign"
	"tenure/shared/events"
	"tenure/shared/plans"
)

// Decision is what a campaign would have done about one tenant at one time.
type Decision struct {
	At       time.Time `json:"at"`
	Campaign string    `json:"campaign"`
	Tenant   string    `json:"tenant"`
	Trigger  string    `json:"trigger"`
	Variant  string    `json:"variant,omitempty"`
	// Action is enroll, send, skip or stop.
	Action string `json:"action"`
	Step   string `json:"step,omitempty"`
	Offer  string `json:"offer,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Line is how often something would have been decided.
type Line struct {
	Campaign, Action, What string
	Count                  int
}

// Simulate plays a campaign file over the events of a log, in the order of their times, up to a time: what would have been
// sent. Nobody is known to have opened or clicked anything. Days are as long as given.
func Simulate(content []byte, log []events.Event, catalogue plans.Catalogue, day time.Duration, until time.Time) ([]Decision, error) {
	f, err := Parse(content)
	if err != nil {
		return nil, err
	}
	log = slices.Clone(log)
	slices.SortStableFunc(log, func(a, b events.Event) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Sequence, b.Sequence))
	})
	sim := campaign.NewSimulation(f, catalogue, day, zones())
	for _, e := range log {
		if err := sim.Take(e); err != nil {
			return nil, err
		}
	}
	sim.Advance(until)
	decisions := make([]Decision, len(sim.Log))
	for i, l := range sim.Log {
		decisions[i] = Decision{
			At: l.At, Campaign: l.Enrollment.Campaign, Tenant: l.Enrollment.Tenant, Trigger: string(l.Enrollment.Trigger),
			Variant: l.Enrollment.Variant, Action: string(l.Verdict.Action), Step: l.Step, Offer: l.Verdict.Offer.Name, Reason: l.Verdict.Reason,
		}
	}
	return decisions, nil
}

// Sum counts decisions, sorted by campaign, action and what it was about.
func Sum(decisions []Decision) []Line {
	counts := map[Line]int{}
	for _, d := range decisions {
		counts[Line{Campaign: d.Campaign, Action: d.Action, What: strings.TrimSpace(d.Step + " " + d.Reason)}]++
	}
	lines := make([]Line, 0, len(counts))
	for line, n := range counts {
		line.Count = n
		lines = append(lines, line)
	}
	slices.SortFunc(lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.Campaign, b.Campaign), cmp.Compare(a.Action, b.Action), cmp.Compare(a.What, b.What))
	})
	return lines
}

// zones looks time zones up, each once. One that is unknown, from a tenant's own settings, is UTC.
func zones() func(string) *time.Location {
	known := map[string]*time.Location{}
	return func(name string) *time.Location {
		if known[name] == nil {
			zone, err := time.LoadLocation(name)
			if err != nil {
				zone = time.UTC
			}
			known[name] = zone
		}
		return known[name]
	}
}
