// Package inflight knows which requests of each tenant run right now, so that a plan change can wait for those that
// began before it.
package inflight

import (
	"context"
	"fmt"
	"sync"
)

// Tracker is safe for concurrent use; its zero value is ready.
type Tracker struct {
	mu      sync.Mutex
	running map[string]map[chan struct{}]struct{}
}

// Begin notes a request; call the function it returns when the request has ended.
func (t *Tracker) Begin(tenant string) (end func()) {
	done := make(chan struct{})
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running == nil {
		t.running = map[string]map[chan struct{}]struct{}{}
	}
	if t.running[tenant] == nil {
		t.running[tenant] = map[chan struct{}]struct{}{}
	}
	t.running[tenant][done] = struct{}{}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		close(done)
		delete(t.running[tenant], done)
		if len(t.running[tenant]) == 0 {
			delete(t.running, tenant)
		}
	}
}

// Drain waits until every request of the tenant that has begun by now has ended. Requests that begin later are not
// waited for: a busy tenant would never be drained. progress is told how many of them have ended.
func (t *Tracker) Drain(ctx context.Context, tenant string, progress func(done, total int64)) error {
	waiting := t.snapshot(tenant)
	for i, done := range waiting {
		progress(int64(i), int64(len(waiting)))
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("drain %s: requests of the old capacity still run: %w", tenant, ctx.Err())
		}
	}
	return nil
}

func (t *Tracker) snapshot(tenant string) []chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := make([]chan struct{}, 0, len(t.running[tenant]))
	for done := range t.running[tenant] {
		waiting = append(waiting, done)
	}
	return waiting
}
