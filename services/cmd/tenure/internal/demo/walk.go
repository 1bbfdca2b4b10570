package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"tenure/services/devstack"
	"tenure/shared/client"
)

// pollInterval is how often the walk looks whether something has happened.
const pollInterval = 25 * time.Millisecond

// walk is what the steps of one life share.
type walk struct {
	client *client.Client
	at     devstack.Addresses
	tenant string
	email  string

	documents int       // that the tenant has
	upgrade   string    // the operation under way
	load      *load     // the requests under way
	charges   []charge  // as they were when last looked at
	deletedAt time.Time // when the second deletion is due
}

func newWalk(a devstack.Addresses, tenant string) *walk {
	return &walk{client: client.New(a.HTTP, a.OperatorToken), at: a, tenant: tenant, email: tenant + "@example.com"}
}

func (w *walk) close() {
	if w.load != nil {
		w.load.stop()
	}
}

// state is what stands on the step's line.
func (w *walk) state(ctx context.Context) string {
	t, err := w.client.Tenant(ctx, w.tenant)
	if err != nil {
		return "?"
	}
	return t.Status
}

// until waits for the tenant to be in a state.
func (w *walk) until(ctx context.Context, state string) (client.Tenant, error) {
	for {
		t, err := w.client.Tenant(ctx, w.tenant)
		if err != nil {
			return t, err
		}
		if t.State == state {
			return t, nil
		}
		if err := pause(ctx); err != nil {
			return t, fmt.Errorf("the tenant is %s, not %s: %w", t.State, state, err)
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pollInterval):
		return nil
	}
}

// follow waits for the end of an operation, which must be a success.
func (w *walk) follow(ctx context.Context, id string) (client.Operation, error) {
	var last client.Operation
	for op, err := range w.client.Watch(ctx, id) {
		if err != nil {
			return op, err
		}
		last = op
	}
	if last.Status != client.StatusSucceeded {
		return last, fmt.Errorf("the %s ended as %s: %s", last.Kind, last.Status, last.Error)
	}
	return last, nil
}

// sample calls the sample SaaS for the tenant.
func (w *walk) sample(ctx context.Context, method, path string, in, out any) (status int, err error) {
	return call(ctx, method, w.at.HTTP+"/sample/"+w.tenant+path, in, out)
}

// expectAccess asks the sample for a query and wants this status.
func (w *walk) expectAccess(ctx context.Context, want int) error {
	// The gate learns of a change from the bus, some milliseconds after the API shows it.
	for {
		got, err := w.sample(ctx, http.MethodPost, "/query", map[string]any{"q": "tenure"}, nil)
		if err != nil {
			return err
		}
		if got == want {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("a query answers %d, not %d: %w", got, want, err)
		}
	}
}

// sim calls the Stripe simulator's control, which must succeed.
func (w *walk) sim(ctx context.Context, method, path string, in, out any) error {
	status, err := call(ctx, method, w.at.Stripe+"/_sim"+path, in, out)
	if err == nil && status >= 300 {
		err = fmt.Errorf("the Stripe simulator answers %s %s with %d", method, path, status)
	}
	return err
}

// call sends JSON and reads JSON into out, unless that is nil or the status is no success.
func call(ctx context.Context, method, url string, in, out any) (status int, err error) {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return 0, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, &body)
	if err != nil {
		return 0, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil || out == nil || res.StatusCode >= 300 {
		return res.StatusCode, err
	}
	if err := json.Unmarshal(content, out); err != nil {
		return res.StatusCode, fmt.Errorf("%s %s: %w", method, url, err)
	}
	return res.StatusCode, nil
}
