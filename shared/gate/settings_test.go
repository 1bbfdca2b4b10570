package gate

import (
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/shared/events"
	"tenure/shared/plans"
)

func TestSettingsFollowPlanAndConfig(t *testing.T) {
	g := New(Config{Plans: plans.Catalogue{
		{Name: "free", Limits: plans.Limits{Queries: 10, Documents: 5}, Features: []string{"search"}},
		{Name: "team", Limits: plans.Limits{Queries: 100, Documents: 50}, Features: []string{"search", "sso"}},
	}})
	apply := func(version int64, p events.Payload) {
		t.Helper()
		mustApply(t, g.replica, lifecycleEvent(t, "acme", version, p))
	}
	want := func(s Settings) {
		t.Helper()
		got, known := g.Settings("acme")
		if diff := cmp.Diff(s, got); !known || diff != "" {
			t.Errorf("known %t (-want +got): %s", known, diff)
		}
	}
	apply(1, &events.TenantActivated{Change: moved("active"), Plan: "free"})
	want(Settings{Version: 1, Plan: "free", Limits: Limits{Queries: 10, Documents: 5}, Features: []string{"search"}})

	own := events.TenantConfig{
		Limits: map[string]float64{"documents": 70, "queries": 0, "seats": 3}, Features: map[string]bool{"audit": true, "search": false},
		Values: map[string]string{"model": "large-2"},
	}
	apply(2, &events.ConfigChanged{Change: moved("active"), Config: own})
	apply(3, &events.UpgradeStarted{Change: moved("upgrading")})
	apply(4, &events.UpgradeCompleted{Change: moved("active"), Plan: "team"})
	want(Settings{
		Version: 4, Plan: "team", Limits: Limits{Documents: 70, "seats": 3}, Features: []string{"audit", "sso"}, Values: own.Values,
	})
	if limit := g.Limits("acme").Of(Queries); !math.IsInf(limit, 1) {
		t.Errorf("a limit that is taken away is %v", limit)
	}
	if limits, _ := g.PlanLimits("team"); limits.Of(Documents) != 50 {
		t.Errorf("one tenant's limits have changed the plan's: %v", limits)
	}

	apply(1, &events.ConfigChanged{Change: moved("active"), Config: events.TenantConfig{Features: map[string]bool{"old": true}}})
	apply(5, &events.ConfigChanged{Change: moved("active")})
	want(Settings{Version: 5, Plan: "team", Limits: Limits{Queries: 100, Documents: 50}, Features: []string{"search", "sso"}})
}

func TestALifeThatEndedLeavesNoSettings(t *testing.T) {
	g := New(Config{})
	for version, p := range []events.Payload{
		&events.TenantActivated{Change: moved("active"), Plan: "starter"},
		&events.ConfigChanged{Change: moved("active"), Config: events.TenantConfig{Values: map[string]string{"model": "large-2"}}},
		&events.TenantReborn{Change: moved("provisioning"), Plan: "free", Generation: 2},
	} {
		mustApply(t, g.replica, lifecycleEvent(t, "acme", int64(version+1), p))
	}
	if got, _ := g.Settings("acme"); got.Plan != "free" || len(got.Values) > 0 {
		t.Errorf("the new life has %+v", got)
	}
}

func TestNobodysLimitIsNothing(t *testing.T) {
	g := New(Config{})
	if _, known := g.Settings("nobody"); known || g.Limits("nobody").Of(Queries) != 0 {
		t.Errorf("nobody may use %v", g.Limits("nobody"))
	}
}

func TestReadOnlyWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Config{})
		g.ready.Store(true)
		version := int64(0)
		apply := func(p events.Payload) {
			t.Helper()
			version++
			mustApply(t, g.replica, lifecycleEvent(t, "acme", version, p))
		}
		window := func(d time.Duration) events.Change {
			until := time.Now().Add(d)
			return events.Change{To: "upgrading", ReadOnlyUntil: &until}
		}
		apply(activated("starter"))
		apply(&events.StepRequested{Change: window(time.Minute)})
		wantStatus(t, g, "acme", Ingest, http.StatusLocked)
		wantStatus(t, g, "acme", Query, http.StatusOK)
		if v := g.Check("acme", Ingest); v.Code != "read_only" || v.RetryAfterSeconds() != "2" {
			t.Errorf("the refusal is %+v", v)
		}
		apply(&events.BlockAdded{Change: window(time.Minute), Blocks: []events.Block{{Kind: "payment"}}})
		wantStatus(t, g, "acme", Ingest, http.StatusLocked) // blocks that are said anew leave the window open

		apply(&events.StepDone{Change: moved("upgrading")})
		wantStatus(t, g, "acme", Ingest, http.StatusOK)

		apply(&events.StepRequested{Change: window(time.Minute)})
		pass(59 * time.Second)
		wantStatus(t, g, "acme", Ingest, http.StatusLocked)
		pass(2 * time.Second) // the end of the window is lost: nobody is locked out for longer than the step could last
		wantStatus(t, g, "acme", Ingest, http.StatusOK)
	})
}

// A publisher that tries one event again may have let a later one through first.
func TestReplicaTakesPartsFromALateEvent(t *testing.T) {
	r := newReplica()
	mustApply(t, r, lifecycleEvent(t, "acme", 1, activated("starter")))
	mustApply(t, r, lifecycleEvent(t, "acme", 3, &events.ExportRequested{Change: moved("suspended")}))
	mustApply(t, r, lifecycleEvent(t, "acme", 2, suspended("abuse")))
	if got := r.get("acme").access; got != (Access{Suspended, BlockAbuse}) {
		t.Errorf("access is %+v", got)
	}
}
