package webhook_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tenure/services/notifier/internal/webhook"
	"tenure/shared/events"
)

const upgraded = "tenure.lifecycle.upgrade.completed.v1"

func TestFilter(t *testing.T) {
	for _, test := range []struct {
		filter  webhook.Filter
		matches bool
	}{
		{nil, true},
		{webhook.Filter{upgraded}, true},
		{webhook.Filter{"tenure.lifecycle.upgrade.*"}, true},
		{webhook.Filter{"*"}, true},
		{webhook.Filter{"tenure.lifecycle.export.*"}, false},
		{webhook.Filter{"tenure.lifecycle.export.*", upgraded}, true},
	} {
		if err := test.filter.Check(); err != nil {
			t.Errorf("%v: %v", test.filter, err)
		}
		if test.filter.Matches(upgraded) != test.matches {
			t.Errorf("%v matches: %v", test.filter, !test.matches)
		}
		if !test.filter.Matches("tenure.notifier.webhook.tested.v1") {
			t.Errorf("%v does not let a test through", test.filter)
		}
	}
	for _, misspelt := range []string{"", "upgrade.completed", "tenure.lifecycle.step.requested.v1", "tenure.lifecycle.upgrades.*", "tenure.lifecycle.compliance.*"} {
		if err := (webhook.Filter{upgraded, misspelt}).Check(); err == nil {
			t.Errorf("%q is taken", misspelt)
		}
	}
}

// Every event that may go out is one that exists, and none tells how an operation is carried out.
func TestBody(t *testing.T) {
	at := time.Date(2026, 8, 3, 14, 30, 0, 0, time.UTC)
	for _, name := range webhook.Types() {
		if _, known := events.NewPayload(name); !known {
			t.Errorf("%s is no event", name)
		}
	}
	started := &events.UpgradeStarted{Operation: events.OperationPlan{ID: "op-1", Steps: []events.StepPlan{{Participant: "inner-system"}}}}
	e, err := events.New(started, "acme")
	if err != nil {
		t.Fatal(err)
	}
	e.ID, e.Time, e.Sequence = "acme.7", at, 7
	body, err := webhook.Body(e)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Type, Tenant string
		Timestamp    time.Time
		EventID      string `json:"event_id"`
		Sequence     int64
		Data         map[string]any
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Type != e.Type || got.Tenant != "acme" || got.EventID != "acme.7" || got.Sequence != 7 || !got.Timestamp.Equal(at) || got.Data == nil {
		t.Errorf("the body is %s", body)
	}
	if strings.Contains(string(body), "inner-system") {
		t.Errorf("the body tells how: %s", body)
	}
}

func TestTriesGoOnForThreeDays(t *testing.T) {
	var all time.Duration
	last := time.Duration(0)
	tries := 0
	for n := 1; ; n++ {
		wait, more := webhook.Next(n, 24*time.Hour)
		if !more {
			break
		}
		if wait <= last {
			t.Errorf("the wait behind failure %d is %v, not longer than %v", n, wait, last)
		}
		all, last, tries = all+wait, wait, n
	}
	if all < 70*time.Hour || all > 72*time.Hour || tries < 8 {
		t.Errorf("%d tries in %v", tries, all)
	}
	if wait, _ := webhook.Next(1, time.Second); wait >= time.Millisecond {
		t.Errorf("with days of a second the first wait is %v", wait)
	}
}
