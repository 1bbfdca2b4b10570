package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// pollInterval is how often Watch asks where the server does not stream.
const pollInterval = 250 * time.Millisecond

// The statuses of an Operation.
const (
	StatusPending    = "pending"
	StatusRunning    = "running"
	StatusSucceeded  = "succeeded"
	StatusFailed     = "failed"
	StatusRolledBack = "rolled_back"
	StatusCancelled  = "cancelled"
)

// Operation is a change under way, or one that has ended.
type Operation struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	Kind   string `json:"kind"`
	Status string `json:"status"`
	// Step is the action that runs now.
	Step  string `json:"step"`
	Steps []Step `json:"steps"`
	// Progress is between 0 and 1.
	Progress float64 `json:"progress"`
	Error    string  `json:"error"`
	// NeedsOperator: it can go neither forward nor back by itself.
	NeedsOperator bool `json:"needs_operator"`
}

// Step is one action of one participant.
type Step struct {
	ID          string `json:"id"`
	Participant string `json:"participant"`
	Action      string `json:"action"`
	Phase       int    `json:"phase"`
	Status      string `json:"status"`
	Compensate  bool   `json:"compensate"`
	Attempt     int    `json:"attempt"`
	Error       string `json:"error"`
}

// Ended reports whether nothing more will happen.
func (op Operation) Ended() bool {
	switch op.Status {
	case StatusSucceeded, StatusFailed, StatusRolledBack, StatusCancelled:
		return true
	}
	return false
}

// Operation reads one operation.
func (c *Client) Operation(ctx context.Context, id string) (Operation, error) {
	return get[Operation](ctx, c, operationPath(id), nil)
}

func operationPath(id string) string { return "/v1/operations/" + url.PathEscape(id) }

// Watch follows an operation: it yields each change until the operation has ended, or ctx has. When the connection is
// lost it goes on with a new one. An error comes once, as the last; it tells about the watching alone, how the
// operation ended stands in its Status and Error.
func (c *Client) Watch(ctx context.Context, id string) iter.Seq2[Operation, error] {
	return func(yield func(Operation, error) bool) {
		for {
			op, more := c.stream(ctx, id, yield)
			if !more || op.Ended() {
				return
			}
			// The stream ended early, or there is none: ask, which also tells whether the server is there at all.
			op, err := c.Operation(ctx, id)
			if !yield(op, err) || err != nil || op.Ended() {
				return
			}
			select {
			case <-ctx.Done():
				yield(op, ctx.Err())
				return
			case <-time.After(pollInterval):
			}
		}
	}
}

// stream yields what the server sends, and returns the last of it and whether the caller wants more.
func (c *Client) stream(ctx context.Context, id string, yield func(Operation, error) bool) (op Operation, more bool) {
	req, err := c.request(ctx, http.MethodGet, operationPath(id), nil, nil)
	if err != nil {
		yield(op, err)
		return op, false
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := c.HTTP.Do(req)
	if err != nil {
		return op, true
	}
	defer res.Body.Close()
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); res.StatusCode != http.StatusOK || kind != "text/event-stream" {
		return op, true
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(data), &op); err != nil {
			yield(op, fmt.Errorf("read operation %s: %w", id, err))
			return op, false
		}
		if !yield(op, nil) {
			return op, false
		}
	}
	return op, true
}
