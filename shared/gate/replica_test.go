package gate

import (
	"encoding/json"
	"reflect"
	"testing"

	"tenure/shared/events"
)

// lifecycleEvent makes an event as the lifecycle's log would publish it.
func lifecycleEvent(t testing.TB, tenant string, version int64, p events.Payload) events.Event {
	t.Helper()
	e, err := events.New(p, tenant)
	if err != nil {
		t.Fatal(err)
	}
	e.Sequence = version
	return e
}

func moved(to string) events.Change { return events.Change{To: to} }

func mustApply(t *testing.T, r *replica, e events.Event) {
	t.Helper()
	if _, err := r.apply(e); err != nil {
		t.Fatal(err)
	}
}

func TestReplicaFollowsStateBlocksAndPlan(t *testing.T) {
	r := newReplica()
	steps := []struct {
		p      events.Payload
		state  State
		blocks Blocks
		plan   string
	}{
		{&events.TenantRegistered{Change: moved("pending_payment"), Plan: "starter"}, PendingPayment, 0, "starter"},
		{&events.TenantActivated{Change: moved("active"), Plan: "starter"}, Active, 0, "starter"},
		{&events.BlockAdded{Change: moved("active"), Block: "over_limit", Blocks: []events.Block{{Kind: "over_limit"}}}, Active, BlockOverLimit, "starter"},
		{&events.UpgradeStarted{Change: moved("upgrading")}, Upgrading, BlockOverLimit, "starter"},
		{&events.UpgradeCompleted{Change: moved("active"), Plan: "professional"}, Active, 0, "professional"},
		{&events.DowngradeScheduled{Change: moved("active"), Plan: "free"}, Active, 0, "professional"},
		{&events.TenantSuspended{Change: moved("suspended"), Blocks: []events.Block{{Kind: "payment"}, {Kind: "admin"}}}, Suspended, BlockPayment | BlockAdmin, "professional"},
	}
	for i, step := range steps {
		mustApply(t, r, lifecycleEvent(t, "acme", int64(i+1), step.p))
		got := r.get("acme")
		if got.access != (Access{step.state, step.blocks}) || r.plans.name(got.plan) != step.plan {
			t.Fatalf("after %s: %s, blocks %b, plan %q", step.p.EventType(), got.access.State, got.access.Blocks, r.plans.name(got.plan))
		}
	}
}

// An event type that gets a field for blocks, or for the tenant's config, must be in the table: they would be lost without a word.
func TestReplicaKnowsEveryEventWithBlocksOrConfig(t *testing.T) {
	for _, eventType := range events.Types() {
		payload, _ := events.NewPayload(eventType)
		service, name := events.SplitType(eventType)
		carries := func(field string) bool {
			_, has := reflect.TypeOf(payload).Elem().FieldByName(field)
			return service == "lifecycle" && has
		}
		if carries("Blocks") && !states[name].blocks || carries("Config") && !states[name].config {
			t.Errorf("%s carries something that the replica ignores", eventType)
		}
	}
	for name := range states {
		if _, known := events.NewPayload("tenure.lifecycle." + name + ".v1"); !known {
			t.Errorf("no event is called %s", name)
		}
	}
}

func TestReplicaIgnoresOldEvents(t *testing.T) {
	r := newReplica()
	mustApply(t, r, lifecycleEvent(t, "acme", 7, &events.TenantSuspended{Change: moved("suspended"), Blocks: []events.Block{{Kind: "admin"}}}))
	mustApply(t, r, lifecycleEvent(t, "acme", 3, &events.TenantActivated{Change: moved("active"), Plan: "free"}))
	if got := r.get("acme"); got.access.State != Suspended {
		t.Errorf("a redelivered event let a suspended tenant in: %s", got.access.State)
	}
}

func TestReplicaLearnsNoTenantFromARefusal(t *testing.T) {
	r := newReplica()
	mustApply(t, r, lifecycleEvent(t, "ghost", 1, &events.CommandRefused{Command: "upgrade"}))
	if r.get("ghost").known() {
		t.Error("the refusal of a command made its tenant known")
	}
}

func TestReplicaReportsBrokenData(t *testing.T) {
	r := newReplica()
	for _, data := range []string{`[]`, `{"to_state":"active","blocks":7}`} {
		_, err := r.apply(events.Event{ID: "acme.1", Subject: "acme", Sequence: 1, Data: json.RawMessage(data)})
		if err == nil {
			t.Errorf("%s was applied", data)
		}
	}
	if r.get("acme").known() {
		t.Error("a broken event changed the replica")
	}
}
