package problem

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
)

// Write answers a request of a plain handler with err. What is not an [Error] is a fault of ours: it is logged,
// and the caller learns no more than that.
func Write(w http.ResponseWriter, r *http.Request, err error) {
	var p *Error
	if !errors.As(err, &p) {
		slog.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		p = internal()
	}
	body, err := json.Marshal(p)
	if err != nil { // a member that is no JSON: a mistake in the program
		slog.ErrorContext(r.Context(), "encode a problem", "code", p.Code, "error", err)
		p = internal()
		body, _ = json.Marshal(p)
	}
	w.Header().Set("Content-Type", ContentType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the caller may be gone
}

func internal() *Error {
	return New(http.StatusInternalServerError, CodeInternal, "the service failed; the error is in its log")
}

// Routes serves mux, and turns the mux's own plain-text answers (no such path, wrong method) into problems.
func Routes(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		answer := statusOnly{header: w.Header()} // keeps "Allow"
		handler.ServeHTTP(&answer, r)
		switch answer.status {
		case http.StatusNotFound:
			Write(w, r, New(answer.status, "not_found", "there is nothing at this path"))
		case http.StatusMethodNotAllowed:
			Write(w, r, New(answer.status, "method_not_allowed", "this path takes "+w.Header().Get("Allow")))
		default: // a redirect
			w.WriteHeader(answer.status)
		}
	})
}

// statusOnly takes an answer without its body.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }
