package app

import (
	"maps"
	"slices"
	"testing"
	"time"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/events"
	"tenure/shared/plans"
)

// situation is all that a plan hash is made of.
type situation struct {
	state   tenant.State
	payload events.Payload
	facts   tenant.Facts
	usage   []plans.UsagePrice
	now     time.Time
}

func (s situation) hash() string {
	return (&Engine{cfg: Config{Usage: s.usage}}).planHash(s.state, s.payload, s.facts, s.now)
}

func agreed() situation {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	return situation{
		now:     now,
		payload: &events.Downgrade{Plan: "starter", Resolution: "freeze"},
		state: tenant.State{
			ID: "acme", Name: tenant.Active, Plan: "professional", Generation: 1, Version: 7,
			Pending: &tenant.PendingChange{OperationID: "op1", Plan: "free", DueAt: now.AddDate(0, 0, 3), Resolution: "refuse"},
		},
		facts: tenant.Facts{
			Plans: plans.Default(), Policy: tenant.DefaultPolicy(), PeriodEnd: now.AddDate(0, 0, 3),
			Usage: tenant.Usage{Documents: 5_001, Queries: 10, StorageGB: 1},
		},
		usage: []plans.UsagePrice{{Metric: "embeddings", Cents: 0.05}},
	}
}

func TestFactsThatMoveMakeAnotherPlanHash(t *testing.T) {
	for name, move := range map[string]func(*situation){
		"state":                    func(s *situation) { s.state.Name = tenant.PastDue },
		"generation":               func(s *situation) { s.state.Generation = 2 },
		"plan":                     func(s *situation) { s.state.Plan = "enterprise" },
		"wanted plan":              func(s *situation) { s.payload = &events.Downgrade{Plan: "free"} },
		"command":                  func(s *situation) { s.payload = &events.Upgrade{Plan: "starter"} },
		"price now":                func(s *situation) { s.facts.Plans[2].Cents++ },
		"price then":               func(s *situation) { s.facts.Plans[1].Cents++ },
		"limit":                    func(s *situation) { s.facts.Plans[1].Limits.Documents-- },
		"feature":                  func(s *situation) { s.facts.Plans[1].Features = []string{"mail support"} },
		"included amount":          func(s *situation) { s.facts.Plans[1].Included = map[string]float64{"embeddings": 1} },
		"grace":                    func(s *situation) { s.facts.Plans[1].Grace = new(time.Duration) },
		"price of usage":           func(s *situation) { s.usage[0].Cents = 0.06 },
		"one more broken limit":    func(s *situation) { s.facts.Usage.StorageGB = 6 },
		"one broken limit less":    func(s *situation) { s.facts.Usage.Documents = 5_000 },
		"no pending change":        func(s *situation) { s.state.Pending = nil },
		"another pending change":   func(s *situation) { s.state.Pending.Plan = "starter" },
		"the pending change's due": func(s *situation) { s.state.Pending.DueAt = s.now },
		"its resolution":           func(s *situation) { s.state.Pending.Resolution = "archive" },
		"no paid period":           func(s *situation) { s.facts.PeriodEnd = time.Time{} },
		"the period's end":         func(s *situation) { s.now = s.facts.PeriodEnd },
		"a block":                  func(s *situation) { s.state.Blocks = []events.Block{{Kind: tenant.BlockPayment}} },
	} {
		s := agreed()
		move(&s)
		if s.hash() == agreed().hash() {
			t.Errorf("%s moved, and the hash did not", name)
		}
	}
}

func TestWhatMovesByItselfLeavesThePlanHash(t *testing.T) {
	for name, move := range map[string]func(*situation){
		"time":            func(s *situation) { s.now = s.now.Add(time.Hour) },
		"queries":         func(s *situation) { s.facts.Usage.Queries++ },
		"documents":       func(s *situation) { s.facts.Usage.Documents++ },
		"storage":         func(s *situation) { s.facts.Usage.StorageGB = 2 },
		"version":         func(s *situation) { s.state.Version++ },
		"export":          func(s *situation) { s.state.Export = &tenant.Export{ID: "x"} },
		"hold":            func(s *situation) { s.state.Holds = []tenant.Hold{{ID: "h"}} },
		"ingest's block":  func(s *situation) { s.state.Blocks = []events.Block{{Kind: tenant.BlockOverLimit}} },
		"a plan aside":    func(s *situation) { s.facts.Plans[3].Cents++ },
		"a later renewal": func(s *situation) { s.facts.PeriodEnd = s.facts.PeriodEnd.AddDate(0, 1, 0) },
		"participants":    func(s *situation) { s.facts.Participants = []tenant.Participant{{Name: "store"}} },
		"reason and hash": func(s *situation) {
			s.payload = &events.Downgrade{Plan: "starter", Resolution: "freeze", Reason: "dear", PlanHash: "abc"}
		},
	} {
		s := agreed()
		move(&s)
		if s.hash() != agreed().hash() {
			t.Errorf("%s moved the hash", name)
		}
	}
}

func TestCommandsWithAPlanHash(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range []events.Payload{
		&events.Upgrade{Plan: "enterprise"}, &events.Downgrade{Plan: "starter"}, &events.Reactivate{}, &events.Delete{}, &events.Suspend{}, &events.Export{},
	} {
		s := agreed()
		s.payload = p
		seen[s.hash()] = true
	}
	if hashes := slices.Collect(maps.Keys(seen)); len(hashes) != 5 || !seen[""] {
		t.Errorf("hashes %q", hashes)
	}
}
