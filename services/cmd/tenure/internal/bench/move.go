package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"tenure/services/sample/load"
	"tenure/shared/client"
	"tenure/shared/events"
)

const (
	// The load is far from what the sample can take: what a change does to it shows as itself, not as a queue.
	moveRate    = 100 // requests per second
	moveWorkers = 16
	// calm is how long the load runs without a change, for comparison.
	calm = 15 * time.Second
	// mostGB fits into the lower plan, with room for what the load writes.
	mostGB = 1.4
	// The plans between which the data moves.
	lower, higher = "professional", "enterprise"
	mover         = "mover"
)

// moves measures the sample's requests before and during plan changes that move a tenant's data, there and back. A request
// that fails, or a document that is lost or doubled, fails the benchmark.
func (a *access) moves(ctx context.Context, bytes int64) error {
	if err := a.admit(ctx, mover, lower); err != nil {
		return err
	}
	l := load.New(load.Config{URL: a.at.HTTP, Tenant: mover, Workers: moveWorkers, Rate: moveRate})
	say(a.out, "")
	say(a.out, "Plan change under load, %d requests/s that write, search and read documents:", moveRate)
	written := a.tenths("written")
	if err := l.Fill(ctx, bytes, func(done int64) { written(done, bytes) }); err != nil {
		return err
	}
	if err := l.Start(ctx); err != nil {
		return err
	}
	defer l.Stop()
	select {
	case <-time.After(calm):
	case <-ctx.Done():
		return ctx.Err()
	}
	before := l.Report()
	a.print("before", before.Took, fmt.Sprintf("%d of %d failed", before.Failed, len(before.Took)))
	failed := before.First
	for _, to := range []string{higher, lower} {
		took, err := a.change(ctx, to)
		if err != nil {
			return err
		}
		during := l.Report()
		a.print("to "+to, during.Took, fmt.Sprintf("%d of %d failed   p99 = %.1f x before   %.2g GB moved in %.1f s",
			during.Failed, len(during.Took), ratio(latencies(during.Took).at(0.99), latencies(before.Took).at(0.99)),
			float64(bytes)/1e9, took.Seconds()))
		if failed == nil {
			failed = during.First
		}
	}
	l.Stop()
	if failed != nil {
		return fmt.Errorf("a request failed: %w", failed)
	}
	if err := l.Check(ctx); err != nil {
		return err
	}
	say(a.out, "  %d documents were written meanwhile; each is there once", l.Written())
	return nil
}

// change moves the tenant to a plan and tells how long that took.
func (a *access) change(ctx context.Context, to string) (time.Duration, error) {
	moved := a.tenths("rows moved")
	news, err := a.nc.Subscribe("tenure.events.sample."+mover+"."+events.StepProgressedName, func(m *nats.Msg) {
		var e struct {
			Data events.StepAnswer `json:"data"`
		}
		if json.Unmarshal(m.Data, &e) == nil {
			moved(e.Data.Done, e.Data.Total)
		}
	})
	if err != nil {
		return 0, err
	}
	defer func() { _ = news.Unsubscribe() }()
	began := time.Now()
	var op client.Operation
	if to == higher {
		op, err = a.api.Upgrade(ctx, mover, client.Upgrade{Plan: to})
	} else {
		op, err = a.api.Downgrade(ctx, mover, client.Downgrade{Plan: to, At: "now"})
	}
	if err != nil {
		return 0, err
	}
	for op, err = range a.api.Watch(ctx, op.ID) {
		if err != nil {
			return 0, err
		}
	}
	if op.Status != client.StatusSucceeded {
		return 0, fmt.Errorf("the change to %s is %s: %s", to, op.Status, op.Error)
	}
	return time.Since(began), nil
}

// tenths returns what prints how far something is, at each tenth of it.
func (a *access) tenths(what string) func(done, all int64) {
	var printed int64
	return func(done, all int64) {
		if all == 0 || done*10/all <= printed {
			return
		}
		printed = done * 10 / all
		say(a.out, "    %3d %% %s", printed*10, what)
	}
}
