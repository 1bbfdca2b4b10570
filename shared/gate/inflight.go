package gate

import (
	"context"
	"fmt"
	"sync"
)

// tracker knows which requests of each tenant run right now. Its zero value is ready.
type tracker struct {
	mu      sync.Mutex
	running map[string]map[*Request]struct{}
}

// Request is one that runs in this process.
type Request struct {
	tracker *tracker
	tenant  string
	place   string // empty until the request has found its way; guarded by the tracker
	done    chan struct{}
}

// Begin notes that a request of the tenant runs. End it. Begin before anything is looked up: Drain must not miss a request
// that has read where the tenant's data was.
func (g *Gate) Begin(tenant string) *Request {
	t := &g.requests
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

// On tells where the request runs, in a SaaS's own words: on which of the tenant's capacities.
func (r *Request) On(place string) {
	r.tracker.mu.Lock()
	defer r.tracker.mu.Unlock()
	r.place = place
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

// Drain waits until every request of the tenant has ended that has begun by now and runs at the place, or may yet: one that
// has not told where it runs. Requests that begin later are not waited for: a busy tenant would never be drained. So send
// new requests elsewhere first, and then drain. Neither are those at another place: the way back from a drain that took
// too long would wait for the very request that was in the way.
//
// The error is ctx's: give it the step's deadline. progress is told how many of the requests have ended.
//
// Other processes have requests of their own: with several instances of a SaaS, each has to drain.
func (g *Gate) Drain(ctx context.Context, tenant, place string, progress func(done, total int64)) error {
	waiting := g.requests.at(tenant, place)
	for i, r := range waiting {
		progress(int64(i), int64(len(waiting)))
		select {
		case <-r.done:
		case <-ctx.Done():
			return fmt.Errorf("drain %s: requests still run at %q: %w", tenant, place, ctx.Err())
		}
	}
	return nil
}

func (t *tracker) at(tenant, place string) (requests []*Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for r := range t.running[tenant] {
		if r.place == place || r.place == "" {
			requests = append(requests, r)
		}
	}
	return requests
}

type requestKey struct{}

// RequestOf is the request that Middleware has begun, for its handler to tell where it runs; nil without Middleware.
func RequestOf(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}
