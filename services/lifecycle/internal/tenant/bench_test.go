package tenant

import (
	"encoding/json"
	"testing"

	"tenure/shared/events"
)

// BenchmarkTransition is the share of this package in one transition of the hot path: decide, evolve, snapshot.
func BenchmarkTransition(b *testing.B) {
	w := active(b)
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range []Command{
			{Name: CmdSuspend, Payload: &events.Suspend{Reason: "audit"}},
			{Name: CmdResume, Payload: &events.Resume{}},
		} {
			c.NewID, c.Now, c.Facts = "op", w.now, w.facts
			s := w.state
			out, err := Decide(s, c)
			if err != nil {
				b.Fatal(err)
			}
			for _, p := range out {
				s = Evolve(s, events.Event{Subject: s.ID, Sequence: s.Version + 1, Time: w.now}, p)
			}
			if _, err := json.Marshal(s); err != nil {
				b.Fatal(err)
			}
			w.state = s
		}
	}
}
