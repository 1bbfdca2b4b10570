package gate

import (
	"testing"
	"testing/synctest"
	"time"

	"tenure/shared/events"
)

// A gate takes a plan in as soon as it is asked to, and says so; one that does not hear the bus is silent, so that no plan
// change waits for it.
func TestAGateSaysWhatItHasTakenIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		g := New(Config{})
		b.publish("acme", 1, activated("starter"))
		b.feed(g)
		pass(3 * BeatPeriod)
		if b.beats < 3 {
			t.Errorf("%d beats in three periods", b.beats)
		}

		ask := func(version int64, participant, step, plan string) {
			b.publish("acme", version, &events.StepRequested{Change: moved("upgrading"), StepRequest: events.StepRequest{
				StepID: step, Participant: participant, Action: "apply", ToPlan: plan,
			}})
			synctest.Wait()
		}
		ask(2, "sample", "op-1", "professional")
		if got := g.Limits("acme").Of(Queries); got != 10_000 || len(b.signals) != 0 {
			t.Errorf("another's step: %v queries, signals %v", got, b.signals)
		}
		ask(3, "gates", "op-2", "professional")
		if got := g.Limits("acme").Of(Queries); got != 100_000 {
			t.Errorf("asked to take professional in, it lets %v queries through", got)
		}
		ask(4, "gates", "op-2-undo", "starter") // the way back
		if got := g.Limits("acme").Of(Queries); got != 10_000 {
			t.Errorf("on the way back, it lets %v queries through", got)
		}
		want := []Signal{{Gate: g.id, Step: "op-2"}, {Gate: g.id, Step: "op-2-undo"}}
		if len(b.signals) != 2 || b.signals[0] != want[0] || b.signals[1] != want[1] {
			t.Errorf("signals %v, want %v", b.signals, want)
		}

		b.set(func() { b.away = true })
		before := b.beats
		pass(time.Minute)
		b.set(func() { b.away = false })
		if b.beats != before {
			t.Error("it says that it lives while it hears nothing")
		}
	})
}
