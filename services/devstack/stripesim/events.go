package stripesim

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"tenure/services/devstack/stripesim/store"
)

// event tells what happened to an object, with the object as it was then.
type event struct {
	ID              string    `json:"id"`
	Object          string    `json:"object"`
	APIVersion      string    `json:"api_version"`
	Created         int64     `json:"created"`
	Data            eventData `json:"data"`
	Livemode        bool      `json:"livemode"`
	PendingWebhooks int       `json:"pending_webhooks"`
	Request         cause     `json:"request"`
	Type            string    `json:"type"`
}

type eventData struct {
	Object   map[string]any `json:"object"`
	Previous map[string]any `json:"previous_attributes,omitempty"`
}

func (e *event) Key() string  { return e.ID }
func (e *event) Kind() string { return "event" }

// Index leads from a customer to all that happened to it and its objects.
func (e *event) Index() []string {
	id, _ := e.Data.Object["customer"].(string)
	if e.Data.Object["object"] == "customer" {
		id, _ = e.Data.Object["id"].(string)
	}
	if id == "" {
		return nil
	}
	return []string{"customer=" + id}
}

// emit records an event and leaves it for delivery. before is the object's former
// rendering: an update that changed nothing is no event. nil means that the
// event is not about a change.
func (t *tx) emit(kind string, object any, before map[string]any) error {
	rendered, err := render(object)
	if err != nil {
		return err
	}
	e := &event{
		ID: newID("evt"), Object: "event", APIVersion: apiVersion, Created: t.now,
		Data: eventData{Object: rendered}, PendingWebhooks: 1, Request: t.cause, Type: kind,
	}
	if before != nil {
		if e.Data.Previous = changes(before, rendered); len(e.Data.Previous) == 0 {
			return nil
		}
	}
	if err := store.Put(t.Tx, e); err != nil {
		return err
	}
	return t.Enqueue(queueWebhooks, t.now, delivery{EventID: e.ID})
}

// changes are the former values of the fields that differ.
func changes(before, after map[string]any) map[string]any {
	previous := map[string]any{}
	for field, value := range before {
		if !reflect.DeepEqual(value, after[field]) {
			previous[field] = value
		}
	}
	return previous
}

// eventLife is how long events can be listed, in seconds.
const eventLife = 30 * day

func listEvents(c *call) (any, error) {
	kinds := c.Strings("types")
	if kind := c.String("type"); kind != "" {
		kinds = append(kinds, kind)
	}
	if len(kinds) > 20 {
		c.Complain("types", "You can list at most 20 types.")
	}
	created := c.within("created")
	delivered := c.Bool("delivery_success")
	return list(c, "", func(e *event) bool {
		if delivered != nil && *delivered != (e.PendingWebhooks == 0) {
			return false
		}
		return e.Created > c.now-eventLife && created(e.Created) && matchesAny(e.Type, kinds)
	})
}

// matchesAny takes patterns as Stripe does: "invoice.*".
func matchesAny(kind string, patterns []string) bool {
	for _, pattern := range patterns {
		if pattern == kind {
			return true
		}
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(kind, prefix) {
			return true
		}
	}
	return len(patterns) == 0
}

// eventPayload is the event as a webhook carries it.
func (s *Server) eventPayload(id string) (payload json.RawMessage, err error) {
	err = s.db.View(func(t *store.Tx) error {
		e, err := store.Get[event](t, id)
		if err != nil {
			return fmt.Errorf("event %s: %w", id, err)
		}
		rendered, err := render(e)
		if err != nil {
			return err
		}
		payload, err = encode(rendered)
		return err
	})
	return payload, err
}
