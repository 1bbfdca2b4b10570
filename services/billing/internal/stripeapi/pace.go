package stripeapi

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How long to leave Stripe alone after a failure.
const (
	leastDelay   = time.Second
	longestDelay = time.Minute
	refusedDelay = 30 * time.Second // our key is not let in: a person has to act
)

// paced keeps to a rate of calls, so that work in bulk does not take the account's limit from payments ("Rate limits" in
// Stripe's docs: 100 calls a second in live mode, 25 in test mode), and tells patience of every answer.
type paced struct {
	next     http.RoundTripper
	limiter  *rate.Limiter
	patience *patience
}

func newPaced(next http.RoundTripper, perSecond float64, p *patience) *paced {
	limit := rate.Inf
	if perSecond > 0 {
		limit = rate.Limit(perSecond)
	}
	return &paced{next: next, limiter: rate.NewLimiter(limit, 1), patience: p}
}

// RoundTrip implements http.RoundTripper. A call whose turn would come after its deadline fails at once.
func (p *paced) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.limiter.Wait(r.Context()); err != nil {
		return nil, err
	}
	answer, err := p.next.RoundTrip(r)
	if err == nil {
		p.patience.answered(answer)
	}
	return answer, err
}

// patience decides how long to wait before a call is tried again: as long again as the trouble has lasted, so that the
// time doubles from one try to the next however many calls fail side by side, and with jitter, so that those do not come
// back all at once ("Rate limits" and "Advanced error handling" in Stripe's docs). It is safe for concurrent use.
type patience struct {
	now func() time.Time

	mu    sync.Mutex
	since time.Time // of the first failure in a row; zero: all is well
	until time.Time // Stripe asked to be left alone until then
}

// answered ends the trouble when the answer is no sign of it.
func (p *patience) answered(answer *http.Response) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if answer.StatusCode < http.StatusInternalServerError && answer.StatusCode != http.StatusTooManyRequests {
		p.since = time.Time{}
		return
	}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil {
		p.until = p.now().Add(time.Duration(seconds) * time.Second)
	}
}

// failed returns how long to wait after a failure.
func (p *patience) failed() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.since.IsZero() {
		p.since = now
	}
	delay := min(max(now.Sub(p.since), leastDelay), longestDelay)
	delay = delay/2 + rand.N(delay/2) //nolint:gosec // nobody gains by guessing it
	return max(delay, p.until.Sub(now))
}
