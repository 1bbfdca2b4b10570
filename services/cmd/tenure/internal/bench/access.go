package bench

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

const crowd = 100

// Access measures on a whole `tenure dev` how soon tenants get in and out, and what a tenant notices of a plan change that
// moves its data.
func Access(ctx context.Context, o Options) error {
	if o.MoveGB <= 0 || o.MoveGB > mostGB {
		return fmt.Errorf("--move-gb is %v: it must be above 0, and %v at most, for the lower plan has room for no more", o.MoveGB, mostGB)
	}
	return onSystem(ctx, o.Out, nil, func(s *system) []measure {
		a := &access{s}
		return []measure{a.signUps, a.suspensions, func(ctx context.Context) error { return a.moves(ctx, int64(o.MoveGB*1e9)) }}
	})
}

type access struct{ *system }

// signUps measures from the call to the event that tells that the tenant is active: paid, and provisioned everywhere.
func (a *access) signUps(ctx context.Context) error {
	say(a.out, "")
	say(a.out, "Sign-up, from the call to active:")
	for _, plan := range []string{"starter", "free"} {
		alone, _, err := a.signUp(ctx, plan+"-alone", plan, 1)
		if err != nil {
			return err
		}
		a.print(plan+", one by one", alone, "")
		together, rate, err := a.signUp(ctx, plan+"-crowd", plan, crowd)
		if err != nil {
			return err
		}
		a.print(fmt.Sprintf("%s, %d at once", plan, crowd), together,
			fmt.Sprintf("%.0f/s   p95 = %.1f x one by one", rate, ratio(together.at(0.95), alone.at(0.95))))
	}
	return nil
}

// signUp signs a crowd up, so many at a time, and tells how long each took and how many there were per second.
func (a *access) signUp(ctx context.Context, prefix, plan string, atOnce int) (took latencies, rate float64, err error) {
	took = make(latencies, crowd)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	start := time.Now()
	for i := range took {
		group.Go(func() (err error) {
			took[i], err = a.activate(ctx, fmt.Sprintf("%s-%d", prefix, i), plan)
			return err
		})
	}
	err = group.Wait()
	return took, crowd / time.Since(start).Seconds(), err
}

// activate signs a tenant up and tells how long it took until it was active.
func (a *access) activate(ctx context.Context, id, plan string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	news, err := a.nc.SubscribeSync("tenure.events.lifecycle." + id + ".tenant.activated")
	if err != nil {
		return 0, err
	}
	defer func() { _ = news.Unsubscribe() }()
	if err := a.nc.FlushWithContext(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := a.register(ctx, id, plan); err != nil {
		return 0, err
	}
	if _, err := news.NextMsgWithContext(ctx); err != nil {
		return 0, fmt.Errorf("wait for %s to be active: %w", id, err)
	}
	return time.Since(began), nil
}

// suspensions measures from the call to a gate's first refusal. The gate is in this process and hears of it on the bus.
func (a *access) suspensions(ctx context.Context) error {
	answered, refused := make(latencies, crowd), make(latencies, crowd)
	for i := range crowd {
		id, began := fmt.Sprintf("starter-crowd-%d", i), time.Now()
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error {
			seen, err := a.until(ctx, []string{id}, http.StatusForbidden)
			refused[i] = seen[id].Sub(began)
			return err
		})
		group.Go(func() error {
			err := a.api.Suspend(ctx, id, "bench")
			answered[i] = time.Since(began)
			return err
		})
		if err := group.Wait(); err != nil {
			return err
		}
	}
	say(a.out, "")
	say(a.out, "Suspension of %d tenants, one by one, from the call:", crowd)
	a.print("answered, so it is committed", answered, "")
	a.print("403 at the gate", refused, fmt.Sprintf("p99 = %.1f x answered", ratio(refused.at(0.99), answered.at(0.99))))
	return nil
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }
