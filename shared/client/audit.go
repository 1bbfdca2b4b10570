package client

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// LogEvent is one line of a tenant's timeline.
type LogEvent struct {
	Tenant        string          `json:"tenant"`
	Version       int64           `json:"version"`
	Type          string          `json:"event_type"`
	From          string          `json:"from_state"`
	To            string          `json:"to_state"`
	Time          time.Time       `json:"time"`
	Actor         string          `json:"actor"`
	Reason        string          `json:"reason"`
	CorrelationID string          `json:"correlation_id"`
	CausationID   string          `json:"causation_id"`
	Data          json.RawMessage `json:"data"`
	// Hash is the event's link in the chain, hexadecimal.
	Hash string `json:"hash"`
}

// Timeline lists a tenant's events, oldest first. An error comes once, as the last.
func (c *Client) Timeline(ctx context.Context, tenant string) iter.Seq2[LogEvent, error] {
	return pages[LogEvent](ctx, c, tenantPath(tenant, "/events"), nil)
}

// EventFilter narrows the log; empty fields do not.
type EventFilter struct{ Tenant, Type string }

// Events lists the whole log, oldest first. An error comes once, as the last.
func (c *Client) Events(ctx context.Context, f EventFilter) iter.Seq2[LogEvent, error] {
	return pages[LogEvent](ctx, c, "/v1/events", values("tenant", f.Tenant, "type", f.Type))
}

// Tail is Events that goes on: at the end of the log it waits for more, until ctx ends.
func (c *Client) Tail(ctx context.Context, f EventFilter) iter.Seq2[LogEvent, error] {
	return func(yield func(LogEvent, error) bool) {
		query, seen := values("tenant", f.Tenant, "type", f.Type), 0
		for {
			p, err := get[page[LogEvent]](ctx, c, "/v1/events", query)
			if err != nil {
				yield(LogEvent{}, err)
				return
			}
			for _, e := range p.Items[min(seen, len(p.Items)):] {
				if !yield(e, nil) {
					return
				}
			}
			if p.NextCursor != "" {
				query.Set("cursor", p.NextCursor)
				seen = 0
				continue
			}
			// The last page will be asked for again until it has grown full.
			seen = len(p.Items)
			select {
			case <-ctx.Done():
				yield(LogEvent{}, ctx.Err())
				return
			case <-time.After(pollInterval):
			}
		}
	}
}
