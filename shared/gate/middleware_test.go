package gate

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tenure/shared/events"
)

// saas is a handler behind the gate. A request's path is its tenant.
func saas(t *testing.T, tenants map[string]events.Payload, handler http.HandlerFunc) (*Gate, http.Handler) {
	g := New(Config{})
	g.ready.Store(true)
	for tenant, last := range tenants {
		mustApply(t, g.replica, lifecycleEvent(t, tenant, 1, last))
	}
	return g, Middleware(g, func(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/") }, nil)(handler)
}

func ask(t *testing.T, h http.Handler, method, tenant string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/"+tenant, nil))
	return w
}

func TestMiddleware(t *testing.T) {
	soon := time.Now().Add(time.Hour)
	_, h := saas(t, map[string]events.Payload{
		"active":    activated("free"),
		"unpaid":    suspended("payment"),
		"blocked":   suspended("abuse"),
		"full":      &events.BlockAdded{Change: moved("active"), Blocks: []events.Block{{Kind: "over_limit"}}},
		"gone":      &events.TenantPurged{Change: moved("deleted")},
		"preparing": &events.ProvisioningStarted{Change: moved("provisioning")},
		"moving":    &events.StepRequested{Change: events.Change{To: "upgrading", ReadOnlyUntil: &soon}},
	}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	for _, test := range []struct {
		method, tenant string
		status         int
		code, retry    string
	}{
		{"GET", "active", http.StatusTeapot, "", ""},
		{"POST", "active", http.StatusTeapot, "", ""},
		{"GET", "unpaid", http.StatusPaymentRequired, "suspended_payment", ""},
		{"GET", "blocked", http.StatusForbidden, "suspended_admin", ""},
		{"HEAD", "full", http.StatusTeapot, "", ""},
		{"DELETE", "full", http.StatusPaymentRequired, "over_limit", ""},
		{"GET", "gone", http.StatusGone, "gone", ""},
		{"GET", "preparing", http.StatusServiceUnavailable, "provisioning", "2"},
		{"GET", "moving", http.StatusTeapot, "", ""},
		{"PUT", "moving", http.StatusLocked, "read_only", "2"},
		{"GET", "stranger", http.StatusNotFound, "unknown_tenant", ""},
		{"GET", "", http.StatusNotFound, "unknown_tenant", ""},
	} {
		w := ask(t, h, test.method, test.tenant)
		if w.Code != test.status || w.Header().Get("Retry-After") != test.retry {
			t.Errorf("%s %q: %d, retry after %q; want %d, %q", test.method, test.tenant, w.Code, w.Header().Get("Retry-After"), test.status, test.retry)
		}
		if test.code == "" {
			continue
		}
		var problem struct {
			Title, Detail, Code string
			Status              int
		}
		err := json.Unmarshal(w.Body.Bytes(), &problem)
		if err != nil || problem.Code != test.code || problem.Status != test.status || problem.Title == "" || problem.Detail == "" {
			t.Errorf("%s %q answers %s, %v", test.method, test.tenant, w.Body, err)
		}
		if w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("content type %q", w.Header().Get("Content-Type"))
		}
	}
}

func TestDrainWaitsForRequestsThatRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, later := make(chan struct{}), make(chan struct{})
		g, h := saas(t, map[string]events.Payload{"acme": activated("free"), "beta": activated("free")},
			func(_ http.ResponseWriter, r *http.Request) {
				switch r.Method {
				case http.MethodGet:
					RequestOf(r.Context()).On("old")
					<-old
				case http.MethodPut: // has not found its way yet
					<-old
				default:
					RequestOf(r.Context()).On("new")
					<-later
				}
			})
		defer close(later)
		for _, request := range []struct{ method, tenant string }{{"GET", "acme"}, {"PUT", "acme"}, {"POST", "acme"}, {"GET", "beta"}} {
			go ask(t, h, request.method, request.tenant)
		}
		synctest.Wait()
		drain := func(ctx context.Context, place string) (waitedFor int64, err error) {
			err = g.Drain(ctx, "acme", place, func(_, total int64) { waitedFor = total })
			return waitedFor, err
		}

		bounded, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if n, err := drain(bounded, "old"); n != 2 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("two requests run, and the drain ends after waiting for %d: %v", n, err)
		}

		drained := make(chan error, 1)
		go func() {
			_, err := drain(t.Context(), "old")
			drained <- err
		}()
		synctest.Wait()
		go ask(t, h, "POST", "acme") // begins later, and goes on running
		synctest.Wait()
		close(old)
		if err := <-drained; err != nil {
			t.Errorf("drain: %v", err)
		}
	})
}

// A request that is refused is over, and must not hold up a drain.
func TestRefusedRequestsAreOver(t *testing.T) {
	g, h := saas(t, map[string]events.Payload{"acme": suspended("admin")}, nil)
	ask(t, h, "GET", "acme")
	if n := len(g.requests.at("acme", "")); n != 0 {
		t.Errorf("%d requests run", n)
	}
}
