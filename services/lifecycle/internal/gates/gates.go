// Package gates watches the gates in front of the SaaS: which of them live, and which have taken a plan change in. A plan
// change counts as done when every live gate has the new plan, before the old plan's resources are released.
//
// All of it is in memory, in every replica of the service: gates say that they live every second, and a step that is not
// answered in time is asked for again.
package gates

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/gate"
)

const (
	// silence is after how long without a word a gate counts as gone: three times what a live one leaves.
	silence = 3 * gate.BeatPeriod
	// memory is how long a gate's word about a step is kept for a round that this process has not heard of yet.
	memory = time.Minute
)

// Step is what gates were asked to take in.
type Step struct {
	Tenant  string
	ID      string
	Attempt int
}

// Watch is safe for concurrent use.
type Watch struct {
	done func(context.Context, Step) error

	mu sync.Mutex
	// heard is when each gate was last heard of.
	heard map[string]time.Time
	// applied are the gates that have taken a step in, and when the first of them said so.
	applied map[string]*word
	rounds  map[string]Step
}

type word struct {
	since time.Time
	gates map[string]bool
}

// New returns a watch. done tells that all live gates have taken a step in; it may be told twice.
func New(done func(context.Context, Step) error) *Watch {
	return &Watch{done: done, heard: map[string]time.Time{}, applied: map[string]*word{}, rounds: map[string]Step{}}
}

// Run watches until ctx ends.
func (w *Watch) Run(ctx context.Context, b *bus.Bus) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		return b.Listen(ctx, gate.SignalSubject("*"), func(_ map[string][]string, data []byte) {
			var s gate.Signal
			if json.Unmarshal(data, &s) == nil && s.Gate != "" {
				w.hear(s, time.Now())
			}
		})
	})
	g.Go(func() error {
		requests := events.BusSubject((*events.StepRequested)(nil).EventType(), "*")
		return b.Listen(ctx, requests, func(header map[string][]string, data []byte) { w.request(header, data) })
	})
	g.Go(func() error { w.settle(ctx); return nil })
	return g.Wait()
}

// Alive reports whether any gate is there: plan changes that begin now wait for gates.
func (w *Watch) Alive() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.live(time.Now())) > 0
}

func (w *Watch) hear(s gate.Signal, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard[s.Gate] = now
	if s.Step == "" {
		return
	}
	if w.applied[s.Step] == nil {
		w.applied[s.Step] = &word{since: now, gates: map[string]bool{}}
	}
	w.applied[s.Step].gates[s.Gate] = true
}

// request opens a round when gates are asked for something. What cannot be read is others' to complain about.
func (w *Watch) request(header map[string][]string, data []byte) {
	e, err := events.Decode(header, data)
	if err != nil {
		return
	}
	p, err := e.Payload()
	if requested, ok := p.(*events.StepRequested); err == nil && ok && requested.Participant == tenant.Gates {
		w.ask(Step{Tenant: e.Subject, ID: requested.StepID, Attempt: requested.Attempt})
	}
}

func (w *Watch) ask(s Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rounds[s.ID] = s
}

// settlePeriod is how soon a round is seen to be over. Signals come by the hundred; one look serves them all.
const settlePeriod = 5 * time.Millisecond

// settle ends rounds that every live gate has answered. A round whose end cannot be told now stays open.
func (w *Watch) settle(ctx context.Context) {
	tick := time.NewTicker(settlePeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, s := range w.over(now) {
				if err := w.done(ctx, s); err != nil && ctx.Err() == nil {
					slog.WarnContext(ctx, "that all gates have a plan could not be told; it is tried again", "step", s.ID, "error", err)
					w.ask(s)
				}
			}
		}
	}
}

// over takes out the rounds that are.
func (w *Watch) over(now time.Time) (ended []Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	live := w.live(now)
	for id, s := range w.rounds {
		if w.answered(id, live) {
			ended = append(ended, s)
			delete(w.rounds, id)
		}
	}
	for id, said := range w.applied {
		if now.Sub(said.since) > memory {
			delete(w.applied, id)
		}
	}
	return ended
}

func (w *Watch) answered(step string, live []string) bool {
	said := w.applied[step]
	for _, id := range live {
		if said == nil || !said.gates[id] {
			return false
		}
	}
	return true
}

// live lists the gates that were heard of lately, and forgets the others.
func (w *Watch) live(now time.Time) (ids []string) {
	for id, at := range w.heard {
		if now.Sub(at) > silence {
			delete(w.heard, id)
			continue
		}
		ids = append(ids, id)
	}
	return ids
}
