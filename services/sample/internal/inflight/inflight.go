// Package inflight knows which requests of each tenant run right now and on which of its capacities, so that a plan
// change can wait for those that run on the one that it empties.
package inflight

import (
	"context"
	"fmt"
	"sync"
)

// Tracker is safe for concurrent use; its zero value is ready.
type Tracker struct {
	mu      sync.Mutex
	running map[string]map[*Request]struct{}
}

// Request is one that runs.
type Request struct {
	tracker  *Tracker
	tenant   string
	capacity string // empty until the request has found its way; guarded by the tracker
	done     chan struct{}
}

// Begin notes a request. End it.
func (t *Tracker) Begin(tenant string) *Request {
	r := &Request{tracker: t, tenant: tenant, done: make(chan struct{})}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running == nil {
		t.running = map[string]map[*Request]struct{}{}
	}
	if t.running[tenant] == nil {
		t.running[tenant] = map[*Request]struct{}{}
	}
	t.running[tenant][r] = struct{}{}
	return r
}

// On tells on which capacity the request runs.
func (r *Request) On(capacity string) {
	r.tracker.mu.Lock()
	defer r.tracker.mu.Unlock()
	r.capacity = capacity
}

// End must be called once, when the request has ended.
func (r *Request) End() {
	t := r.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	close(r.done)
	delete(t.running[r.tenant], r)
	if len(t.running[r.tenant]) == 0 {
		delete(t.running, r.tenant)
	}
}

// Drain waits until every request of the tenant has ended that has begun by now and runs on the capacity, or may yet.
// Requests that begin later are not waited for: a busy tenant would never be drained. Neither are those on another
// capacity: the way back from a drain that took too long would wait for the very request that was in the way.
// progress is told how many of them have ended.
func (t *Tracker) Drain(ctx context.Context, tenant, capacity string, progress func(done, total int64)) error {
	waiting := t.on(tenant, capacity)
	for i, r := range waiting {
		progress(int64(i), int64(len(waiting)))
		select {
		case <-r.done:
		case <-ctx.Done():
			return fmt.Errorf("drain %s: requests still run on its capacity for %s: %w", tenant, capacity, ctx.Err())
		}
	}
	return nil
}

func (t *Tracker) on(tenant, capacity string) (requests []*Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for r := range t.running[tenant] {
		if r.capacity == capacity || r.capacity == "" {
			requests = append(requests, r)
		}
	}
	return requests
}
