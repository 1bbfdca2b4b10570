package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go"
)

// answered is what travels back: a value or why there is none.
type answered struct {
	Value json.RawMessage `json:"value,omitempty"`
	Error string          `json:"error,omitempty"`
}

// Ask sends a query to whoever answers the subject and reads the answer into out. It fails at once when nobody does, and
// when ctx ends; there is no retry, and nothing is kept.
func (b *Bus) Ask(ctx context.Context, subject string, question, out any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return fmt.Errorf("ask %s: %w", subject, err)
	}
	reply, err := b.nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return fmt.Errorf("ask %s: %w", subject, err)
	}
	var a answered
	if err := json.Unmarshal(reply.Data, &a); err != nil {
		return fmt.Errorf("ask %s: %w", subject, err)
	}
	if a.Error != "" {
		return fmt.Errorf("ask %s: %s", subject, a.Error)
	}
	return json.Unmarshal(a.Value, out)
}

// maxAnswers is how many queries one process works on at once; more wait their turn.
const maxAnswers = 16

// Answer answers queries until ctx ends, then lets those under way finish. One of all processes that answer a subject gets
// each query. What a query costs is the caller's to bound: fn gets a context that ends with ctx.
func (b *Bus) Answer(ctx context.Context, subject string, fn func(ctx context.Context, question []byte) (any, error)) error {
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxAnswers)
	queries := make(chan *nats.Msg, maxAnswers)
	sub, err := b.nc.ChanQueueSubscribe(subject, "tenure", queries)
	if err != nil {
		return fmt.Errorf("answer %s: %w", subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	for {
		var msg *nats.Msg
		select {
		case <-ctx.Done():
			return nil
		case msg = <-queries:
		}
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}:
		}
		running.Go(func() {
			defer func() { <-slots }()
			respond(ctx, msg, fn)
		})
	}
}

func respond(ctx context.Context, msg *nats.Msg, fn func(context.Context, []byte) (any, error)) {
	var a answered
	value, err := fn(ctx, msg.Data)
	if err == nil {
		a.Value, err = json.Marshal(value)
	}
	if err != nil {
		a = answered{Error: err.Error()}
	}
	body, _ := json.Marshal(a) // strings and valid JSON: it cannot fail
	if err := msg.Respond(body); err != nil && ctx.Err() == nil {
		slog.WarnContext(ctx, "a query has lost its asker", "subject", msg.Subject, "error", err)
	}
}
