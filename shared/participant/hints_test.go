package participant_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"tenure/shared/events"
	"tenure/shared/participant"
	"tenure/shared/testkit"
)

// tell publishes a lifecycle event.
func (c *control) tell(tenant string, p events.Payload) {
	c.t.Helper()
	c.version[tenant]++
	e, err := events.New(p, tenant)
	if err != nil {
		c.t.Fatal(err)
	}
	e.Sequence = c.version[tenant]
	e.ID, e.Source, e.Time = tenant+"."+strconv.FormatInt(e.Sequence, 10), "tenure/lifecycle", time.Now()
	if err := c.bus.Publish(c.t.Context(), e); err != nil {
		c.t.Fatal(err)
	}
}

// hear runs a participant with these hints until stop is called.
func (c *control) hear(hints map[string]participant.Hint) (stop func()) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- participant.Run(ctx, participant.Config{
			Name: "index", Conn: c.bus.Conn(), Actions: map[string]participant.Handler{"erase": done}, Hints: hints,
		})
	}()
	c.waitForConsumer("hints_index")
	return func() {
		cancel()
		if err := testkit.Receive(c.t, soon, ended); err != nil {
			c.t.Errorf("run: %v", err)
		}
	}
}

func TestHintsAreHeardAndOthersPassedOver(t *testing.T) {
	c := newControl(t)
	heard := make(chan string, 10)
	hint := func(name string) participant.Hint {
		return func(_ context.Context, tenant string) error { heard <- name + " " + tenant; return nil }
	}
	stop := c.hear(map[string]participant.Hint{"tenant.cooled": hint("cooled"), "tenant.warmed": hint("warmed")})
	c.tell("acme", &events.TenantActivated{Change: events.Change{To: "active"}, Plan: "free"})
	c.tell("acme", &events.TenantCooled{Change: events.Change{To: "active"}})
	c.tell("acme", &events.TenantWarmed{Change: events.Change{To: "active"}})
	for _, want := range []string{"cooled acme", "warmed acme"} {
		if got := testkit.Receive(t, soon, heard); got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	}
	c.allAcked("hints_index")
	stop()

	// What is told while nobody listens is heard later.
	c.tell("other", &events.TenantCooled{Change: events.Change{To: "active"}})
	defer c.hear(map[string]participant.Hint{"tenant.cooled": hint("cooled")})()
	if got := testkit.Receive(t, soon, heard); got != "cooled other" {
		t.Errorf("heard %s", got)
	}
}

func TestAHintThatFailsComesAgainAndHoldsUpNobody(t *testing.T) {
	c := newControl(t)
	heard := make(chan string, 10)
	failed := false // hints run one after another
	defer c.hear(map[string]participant.Hint{"tenant.cooled": func(_ context.Context, tenant string) error {
		heard <- tenant
		if tenant == "acme" && !failed {
			failed = true
			return errors.New("the store is away")
		}
		return nil
	}})()
	c.tell("acme", &events.TenantCooled{Change: events.Change{To: "active"}})
	c.tell("other", &events.TenantCooled{Change: events.Change{To: "active"}})
	for _, want := range []string{"acme", "other", "acme"} {
		if got := testkit.Receive(t, soon, heard); got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
	}
	c.allAcked("hints_index")
}
