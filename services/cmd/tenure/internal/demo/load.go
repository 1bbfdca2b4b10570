package demo

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
)

const (
	loadWorkers = 4
	// holdMS is how long each query runs: there are always some that began before a change and end after it.
	holdMS = 20
)

// load sends queries without a pause and counts those that fail.
type load struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	sent   atomic.Int64
	failed atomic.Int64
	first  atomic.Pointer[string] // what the first failure was
}

func startLoad(ctx context.Context, w *walk) *load {
	// The load goes on beyond the step that starts it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &load{cancel: cancel}
	for range loadWorkers {
		l.wg.Go(func() {
			for ctx.Err() == nil {
				l.query(ctx, w)
			}
		})
	}
	return l
}

// query is not interrupted by the end of the load: a request that was broken off would look like a failed one.
func (l *load) query(ctx context.Context, w *walk) {
	status, err := w.sample(context.WithoutCancel(ctx), http.MethodPost, "/query", map[string]any{"q": "tenure", "hold_ms": holdMS}, nil)
	l.sent.Add(1)
	if err == nil && status == http.StatusOK {
		return
	}
	l.failed.Add(1)
	what := fmt.Sprintf("status %d, %v", status, err)
	l.first.CompareAndSwap(nil, &what)
}

// stop waits for the queries under way. It may be called twice.
func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

// result is an error when a query failed.
func (l *load) result() (string, error) {
	if n := l.failed.Load(); n > 0 {
		return "", fmt.Errorf("%d of %d queries failed meanwhile, the first with %s", n, l.sent.Load(), *l.first.Load())
	}
	return fmt.Sprintf("%d queries meanwhile, 0 failed", l.sent.Load()), nil
}
