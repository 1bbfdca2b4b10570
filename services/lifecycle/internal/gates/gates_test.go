package gates

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/gate"
)

func TestAStepIsOverWhenEveryLiveGateHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan Step, 10)
		fail := errors.New("no database")
		w := New(func(_ context.Context, s Step) error {
			told <- s
			err := fail
			fail = nil // the second time it works
			return err
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.settle(ctx); close(ended) }()
		defer func() { stop(); <-ended }()
		beat := func(gates ...string) {
			for _, g := range gates {
				w.hear(gate.Signal{Gate: g}, time.Now())
			}
		}
		require.False(t, w.Alive())
		beat("a", "b", "dying")
		require.True(t, w.Alive())

		step := Step{Tenant: "acme", ID: "op-4", Attempt: 1}
		w.hear(gate.Signal{Gate: "a", Step: step.ID}, time.Now()) // faster than the request
		w.ask(step)
		w.hear(gate.Signal{Gate: "b", Step: step.ID}, time.Now())
		for range 3 {
			pass(time.Second)
			beat("a", "b")
			synctest.Wait()
			require.Empty(t, told, "one gate has not said anything, and may still live")
		}
		pass(time.Second)
		synctest.Wait()
		require.Len(t, told, 2, "told until it is stored")
		require.Equal(t, step, <-told)

		// Without any gate there is nobody to wait for.
		pass(time.Minute)
		require.False(t, w.Alive())
		w.ask(Step{Tenant: "acme", ID: "op-5"})
		pass(2 * settlePeriod)
		synctest.Wait()
		require.Len(t, told, 2)
		pass(2 * memory)
		synctest.Wait()
		require.Empty(t, w.applied, "old words are forgotten")
	})
}

// pass lets the bubble's time go by.
func pass(d time.Duration) { <-time.After(d) }
