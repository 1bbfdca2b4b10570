// Package client calls Tenure's HTTP API: it sends commands, reads tenants and their history, and follows operations
// to their end.
//
//	c := client.New("https://tenure.internal", token)
//	op, err := c.Upgrade(ctx, "acme", client.Upgrade{Plan: "professional"})
//	...
//	for op, err := range c.Watch(ctx, op.ID) { ... }
//
// Every command carries an idempotency key. A call that got no answer is sent again with the same key, so that it takes
// effect once.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// maxAnswer bounds what is read of one answer, in bytes. Archives are not read through this package.
const maxAnswer = 64 << 20

// Client calls one Tenure. Its methods may be called by many goroutines; set the fields before the first call.
type Client struct {
	// HTTP sends the requests. It has no timeout of its own, for Watch stays connected: bound calls by their context.
	HTTP *http.Client
	// RetryFor is how long a call is tried again when there is no answer, or 502, 503 or 504. 0: it is tried once.
	RetryFor time.Duration

	base  string
	token string
}

// New makes a client of the API at baseURL ("http://127.0.0.1:8080") that shows token with every call.
func New(baseURL, token string) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 30 * time.Second
	return &Client{
		HTTP:     &http.Client{Transport: transport},
		RetryFor: 10 * time.Second,
		base:     strings.TrimRight(baseURL, "/"),
		token:    token,
	}
}

// Option changes one call.
type Option func(*http.Request)

// WithIdempotencyKey makes the command take effect once for all calls with this key. Without it each call has a key of
// its own.
func WithIdempotencyKey(key string) Option {
	return func(r *http.Request) { r.Header.Set("Idempotency-Key", key) }
}

// get reads path.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	var out T
	err := c.call(ctx, http.MethodGet, path, nil, &out)
	return out, err
}

// post sends a command.
func post[T any](ctx context.Context, c *Client, path string, body any, opts []Option) (T, error) {
	var out T
	err := c.call(ctx, http.MethodPost, path, body, &out, keyed(opts)...)
	return out, err
}

// keyed gives a command a key of its own, unless the caller has one for it.
func keyed(opts []Option) []Option {
	return append([]Option{WithIdempotencyKey(rand.Text())}, opts...)
}

// ignored stands for an answer that nobody reads.
type ignored struct{}

// call sends one request, again and again as long as RetryFor allows, and reads the answer into out: a *[]byte takes
// it as it is, an *ignored not at all, anything else as JSON.
func (c *Client) call(ctx context.Context, method, path string, body, out any, opts ...Option) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
	}
	send := func() ([]byte, error) {
		req, err := c.request(ctx, method, path, content, opts)
		if err != nil {
			return nil, backoff.Permanent(err)
		}
		return c.send(req)
	}
	answer, err := backoff.Retry(ctx, send, c.patience()...)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	switch out := out.(type) {
	case *ignored:
		return nil
	case *[]byte:
		*out = answer
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	return nil
}

// patience says how often and how long to try.
func (c *Client) patience() []backoff.RetryOption {
	if c.RetryFor <= 0 {
		return []backoff.RetryOption{backoff.WithMaxTries(1)}
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 2*time.Second
	return []backoff.RetryOption{backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(c.RetryFor)}
}

func (c *Client) request(ctx context.Context, method, path string, content []byte, opts []Option) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, opt := range opts {
		opt(req)
	}
	return req, nil
}

// send returns the answer of a request that succeeded. Errors that a retry cannot mend are backoff.Permanent.
func (c *Client) send(req *http.Request) ([]byte, error) {
	res, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 300 {
		return answer, nil
	}
	problem := readProblem(res, answer)
	if problem.temporary() {
		return nil, problem
	}
	return nil, backoff.Permanent(problem)
}

// tenantPath is a path below one tenant.
func tenantPath(id, rest string) string { return "/v1/tenants/" + url.PathEscape(id) + rest }
