package jobs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/jobs"
)

var errBroken = errors.New("broken")

func TestWorkersTakeWhatThereIsAndWaitForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waiting, done atomic.Int64
		w := jobs.New(jobs.Config{Workers: 3, Poll: time.Minute}, func(context.Context) (*int64, error) {
			for n := waiting.Load(); n > 0; n = waiting.Load() {
				if waiting.CompareAndSwap(n, n-1) {
					return &n, nil
				}
			}
			return nil, nil
		}, func(context.Context, *int64) error { done.Add(1); return nil })
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()

		synctest.Wait() // idle
		waiting.Store(10)
		w.Wake()
		synctest.Wait()
		require.EqualValues(t, 10, done.Load(), "woken")

		waiting.Store(5)
		pass(time.Minute) // of the bubble's clock: another process stored these
		synctest.Wait()
		require.EqualValues(t, 15, done.Load(), "found by itself")

		stop()
		require.NoError(t, <-ended)
	})
}

func TestAFailingJobDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int64
		w := jobs.New(jobs.Config{Poll: time.Second}, func(context.Context) (*int, error) {
			tries.Add(1)
			return nil, errBroken
		}, nil)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		pass(10*time.Second + time.Millisecond)
		stop()
		require.NoError(t, <-ended)
		require.EqualValues(t, 11, tries.Load())
	})
}

func TestALeaseEndsForAReason(t *testing.T) {
	errUnwanted := errors.New("nobody wants it")
	for name, test := range map[string]struct {
		renew jobs.Renew
		want  error
		after time.Duration
	}{
		"extended":                {func(context.Context) (error, error) { return nil, nil }, nil, time.Hour},
		"unwanted":                {func(context.Context) (error, error) { return errUnwanted, nil }, errUnwanted, 2 * time.Second},
		"no database":             {func(context.Context) (error, error) { return nil, errBroken }, jobs.ErrLost, 10 * time.Second},
		"a database that hangs":   {func(ctx context.Context) (error, error) { <-ctx.Done(); return nil, ctx.Err() }, jobs.ErrLost, 10 * time.Second},
		"a database that is slow": {func(context.Context) (error, error) { pass(time.Second); return nil, nil }, nil, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := jobs.Hold(t.Context(), 10*time.Second, test.renew)
				defer l.Release()
				began := time.Now()
				select {
				case <-l.Context().Done():
					require.LessOrEqual(t, time.Since(began), test.after, "another worker may have begun")
				case <-time.After(test.after):
				}
				require.Equal(t, test.want, l.Reason(nilUnlessDone(l, errBroken)))
			})
		})
	}
}

// nilUnlessDone is what work under the lease returns.
func nilUnlessDone(l *jobs.Lease, err error) error {
	if l.Context().Err() != nil {
		return err
	}
	return nil
}

func TestAReleasedLeaseIsNotExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var beats int
		l := jobs.Hold(t.Context(), 10*time.Second, func(context.Context) (error, error) { beats++; return nil, nil })
		pass(3500 * time.Millisecond)
		l.Release()
		pass(time.Minute)
		require.Equal(t, 3, beats)
	})
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 6: 30 * time.Second, 1000: 30 * time.Second} {
		require.Equal(t, want, jobs.Backoff(failures))
	}
}

// pass lets the bubble's time go by.
func pass(d time.Duration) { <-time.After(d) }
