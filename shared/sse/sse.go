// Package sse lets a route answer in JSON, or follow what it shows as server-sent events (WHATWG HTML, section 9.2).
package sse

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// ContentType of a stream.
const ContentType = "text/event-stream"

// Wanted reports whether a request with this Accept header asks for a stream.
func Wanted(accept string) bool { return strings.Contains(accept, ContentType) }

// JSON answers v from a route that can stream as well.
func JSON(v any) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", "application/json")
		_ = json.NewEncoder(hc.BodyWriter()).Encode(v) // the client is gone
	}}
}

// Stream is one client that follows. It is for one goroutine.
type Stream struct {
	hc    huma.Context
	flush func() error
	last  []byte
}

// Start begins the answer.
func Start(hc huma.Context) *Stream {
	hc.SetHeader("Content-Type", ContentType)
	hc.SetHeader("Cache-Control", "no-store")
	_, w := humago.Unwrap(hc)
	return &Stream{hc: hc, flush: http.NewResponseController(w).Flush}
}

// Send writes v as one event, unless it is what was sent last. An error says that the client is gone.
func (s *Stream) Send(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if bytes.Equal(body, s.last) {
		return nil
	}
	if _, err := fmt.Fprintf(s.hc.BodyWriter(), "data: %s\n\n", body); err != nil {
		return err
	}
	s.last = body
	return s.flush()
}
