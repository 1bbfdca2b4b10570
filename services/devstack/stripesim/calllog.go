package stripesim

import (
	"encoding/json"
	"net/url"
	"time"

	"tenure/services/devstack/stripesim/store"
)

const logCalls = "calls"

// loggedCall is what /_sim/log tells of a call.
type loggedCall struct {
	Time           time.Time      `json:"time"` // of the simulated clock
	RequestID      string         `json:"request_id"`
	Method         string         `json:"method"`
	Path           string         `json:"path"`
	IdempotencyKey string         `json:"idempotency_key"`
	Params         map[string]any `json:"params"` // as sent: "items[0][price]"
	Status         int            `json:"status"` // 0: the call was left hanging
	Replayed       bool           `json:"replayed"`
	Applied        bool           `json:"applied"` // the call changed something
}

func (t *tx) logCall(in *received, out answer) error {
	return t.Append(logCalls, loggedCall{
		Time: t.server.clock.now().UTC(), RequestID: in.id, Method: in.Method, Path: in.URL.Path,
		IdempotencyKey: in.key, Params: flat(in.values), Status: out.Status,
		Replayed: out.replayed, Applied: out.applied,
	})
}

func flat(values url.Values) map[string]any {
	params := make(map[string]any, len(values))
	for name, list := range values {
		if len(list) == 1 {
			params[name] = list[0]
		} else {
			params[name] = list
		}
	}
	return params
}

func (s *Server) calls() ([]json.RawMessage, error) {
	list := []json.RawMessage{}
	err := s.db.View(func(t *store.Tx) error {
		for entry := range t.Entries(logCalls) {
			list = append(list, append(json.RawMessage(nil), entry...))
		}
		return nil
	})
	return list, err
}
