package client

import (
	"context"
	"iter"
	"net/url"
)

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
	return watch[Operation](ctx, c, operationPath(id))
}
