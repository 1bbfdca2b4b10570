package client

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Error is an answer that refuses a call, as RFC 9457 describes it. Branch on Code: it is stable, the texts are not.
type Error struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	// Allowed are the commands that the tenant's state does allow, when it did not allow this one.
	Allowed []string `json:"allowed_commands"`
	// Violations are the limits that the tenant's usage does not fit, when that is why.
	Violations []Violation `json:"violations"`
}

// Violation is one limit of a plan that the usage does not fit.
type Violation struct {
	Metric string  `json:"metric"`
	Usage  float64 `json:"usage"`
	Limit  float64 `json:"limit"`
}

// Codes that callers branch on.
const (
	CodeInvalidTransition   = "invalid_transition"
	CodeOperationInProgress = "operation_in_progress"
	CodePlanChanged         = "plan_changed"
	CodeTenantNotFound      = "tenant_not_found"
)

func (e *Error) Error() string {
	text := e.Detail
	if text == "" {
		text = e.Title
	}
	if e.Code == "" {
		return fmt.Sprintf("%s (status %d)", text, e.Status)
	}
	return fmt.Sprintf("%s (%s, status %d)", text, e.Code, e.Status)
}

// temporary: the same call may well succeed soon.
func (e *Error) temporary() bool {
	switch e.Status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// readProblem also makes an Error of an answer that is no problem document: a proxy in between may have written it.
func readProblem(res *http.Response, body []byte) *Error {
	e := &Error{}
	if json.Unmarshal(body, e) != nil || e.Title == "" && e.Detail == "" {
		e = &Error{Title: http.StatusText(res.StatusCode)}
	}
	e.Status = res.StatusCode
	return e
}
