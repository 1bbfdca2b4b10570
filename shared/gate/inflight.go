package gate

import (
	"context"
	"fmt"
	"sync"
)

// tracker knows which requests of each tenant run right now. Its zero value is ready.
type tracker struct {
	mu      sync.Mutex
	running map[string]map[chan struct{}]struct{}
}

// Begin notes that a request of the tenant runs in this process; call the function it returns when the request has ended.
// Begin before anything is looked up: Drain must not miss a request that has read where the tenant's data was.
func (g *Gate) Begin(tenant string) (end func()) {
	return g.requests.begin(tenant)
}

// Drain waits until every request of the tenant that has begun by now in this process has ended. Requests that begin later
// are not waited for: a busy tenant would never be drained. So let new requests find the new place first, and then drain.
//
// The error is ctx's: give it the step's deadline. progress is told how many of the requests have ended.
//
// Other processes have requests of their own. With several instances of a SaaS, each has to drain.
func (g *Gate) Drain(ctx context.Context, tenant string, progress func(done, total int64)) error {
	waiting := g.requests.snapshot(tenant)
	for i, done := range waiting {
		progress(int64(i), int64(len(waiting)))
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("drain %s: %d requests still run: %w", tenant, len(waiting)-i, ctx.Err())
		}
	}
	return nil
}

func (t *tracker) begin(tenant string) (end func()) {
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

func (t *tracker) snapshot(tenant string) []chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := make([]chan struct{}, 0, len(t.running[tenant]))
	for done := range t.running[tenant] {
		waiting = append(waiting, done)
	}
	return waiting
}
