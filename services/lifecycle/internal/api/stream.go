package api

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// writeJSON answers v from a route that can stream as well.
func writeJSON(v any) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/json")
		_ = json.NewEncoder(hc.BodyWriter()).Encode(v) // the client is gone
	}}
}

// eventStream writes text/event-stream (WHATWG HTML, server-sent events).
type eventStream struct {
	hc      huma.Context
	flusher *http.ResponseController
}

func startStream(hc huma.Context) *eventStream {
	hc.SetHeader("Content-Type", "text/event-stream")
	hc.SetHeader("Cache-Control", "no-store")
	_, w := humago.Unwrap(hc)
	return &eventStream{hc: hc, flusher: http.NewResponseController(w)}
}

func (s *eventStream) encode(v any) string {
	body, err := json.Marshal(v)
	if err != nil {
		return "{}"
	}
	return string(body)
}

func (s *eventStream) send(body string) error {
	if _, err := fmt.Fprintf(s.hc.BodyWriter(), "data: %s\n\n", body); err != nil {
		return err
	}
	return s.flusher.Flush()
}
