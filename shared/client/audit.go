package client

import (
	"context"
	"encoding/json"
	"iter"
	"time"
)

// LogEvent is one line of a tenant's timeline.
type LogEvent struct {
	ID            string          `json:"id"`
	Tenant        string          `json:"tenant"`
	Version       int64           `json:"version"`
	Type          string          `json:"event_type"`
	From          string          `json:"from_state"`
	To            string          `json:"to_state"`
	Time          time.Time       `json:"time"`
	Actor         string          `json:"actor"`
	Reason        string          `json:"reason"`
	CorrelationID string          `json:"correlationid"`
	CausationID   string          `json:"causationid"`
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
		query := values("tenant", f.Tenant, "type", f.Type)
		// The last page is asked for again until it is full. What came meanwhile may stand anywhere in it, for the log is
		// kept in parts, each in an order of its own: hence the ids.
		seen := map[string]bool{}
		for {
			p, err := get[page[LogEvent]](ctx, c, "/v1/events", query)
			if err != nil {
				yield(LogEvent{}, err)
				return
			}
			for _, e := range p.Items {
				if !seen[e.ID] && !yield(e, nil) {
					return
				}
				seen[e.ID] = true
			}
			if p.NextCursor != "" {
				query.Set("cursor", p.NextCursor)
				for _, e := range p.Items {
					delete(seen, e.ID) // it does not come again
				}
				continue
			}
			select {
			case <-ctx.Done():
				yield(LogEvent{}, ctx.Err())
				return
			case <-time.After(pollInterval):
			}
		}
	}
}

// Key is a public key that signs deletion certificates.
type Key struct {
	ID        string `json:"key_id"`
	Algorithm string `json:"algorithm"`
	// PublicKey is in base64.
	PublicKey string `json:"public_key"`
}

// Keys lists the keys that have signed. An error comes once, as the last.
func (c *Client) Keys(ctx context.Context) iter.Seq2[Key, error] {
	return pages[Key](ctx, c, "/v1/keys", nil)
}
