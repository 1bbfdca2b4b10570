// Package problem is how the HTTP API says no: RFC 9457 problem details, each with a stable code that programs may
// branch on. Titles and details are for people and may change.
package problem

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// ContentType of every answer that is an error.
const ContentType = "application/problem+json"

// Codes that any route may answer. Those of one route stand beside it.
const (
	CodeInternal        = "internal"
	CodeMalformedJSON   = "malformed_json"
	CodeTooLarge        = "too_large"
	CodeUnauthenticated = "unauthenticated"
	CodeUnavailable     = "unavailable"
	CodeValidation      = "validation_failed"
	CodeForbidden       = "forbidden"
)

// Error is one problem. It is an error to Go and an answer to huma. The problem type is "about:blank": the code
// tells what the type would.
type Error struct {
	Title  string `json:"title" doc:"The HTTP status in words" example:"Conflict"`
	Status int    `json:"status" doc:"The HTTP status" example:"409"`
	Detail string `json:"detail,omitempty" doc:"What is wrong this time, for people"`
	Code   string `json:"code" doc:"What is wrong, for programs" example:"operation_in_progress"`
	// Errors lists what is wrong with a request, place by place.
	Errors []Violation `json:"errors,omitempty"`

	// Some codes come with members of their own, as allowed_commands; see With.
	_       struct{} `additionalProperties:"true"`
	members map[string]any
}

// Violation is one thing that is wrong with a request.
type Violation struct {
	// Location is where: "body.plan", "query.limit".
	Location string `json:"location,omitempty" example:"body.plan"`
	Message  string `json:"message" example:"expected string"`
}

// New makes a problem. An empty detail is left out.
func New(status int, code, detail string) *Error {
	return &Error{Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// With adds a member to the answer, beside code and detail. value must encode as JSON. It answers the same problem.
func (e *Error) With(member string, value any) *Error {
	if e.members == nil {
		e.members = map[string]any{}
	}
	e.members[member] = value
	return e
}

// Error is the detail and the code, for logs.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Code
	}
	return e.Detail + " (" + e.Code + ")"
}

// GetStatus makes it a huma.StatusError.
func (e *Error) GetStatus() int { return e.Status }

// ContentType makes it a huma.ContentTypeFilter.
func (e *Error) ContentType(string) string { return ContentType }

// MarshalJSON writes the added members after the standard ones, sorted: equal problems are equal bytes.
func (e *Error) MarshalJSON() ([]byte, error) {
	type plain Error
	out, err := json.Marshal((*plain)(e))
	if err != nil || len(e.members) == 0 {
		return out, err
	}
	b := bytes.NewBuffer(out[:len(out)-1])
	for _, name := range slices.Sorted(maps.Keys(e.members)) {
		value, err := json.Marshal(e.members[name])
		if err != nil {
			return nil, err
		}
		b.WriteByte(',')
		b.WriteString(strconv.Quote(name))
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

var (
	_ huma.StatusError       = (*Error)(nil)
	_ huma.ContentTypeFilter = (*Error)(nil)
)
