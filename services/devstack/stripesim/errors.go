package stripesim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"tenure/services/devstack/stripesim/form"
)

// Stripe's types of errors.
const (
	errorInvalidRequest = "invalid_request_error"
	errorIdempotency    = "idempotency_error"
	errorCard           = "card_error"
	errorAPI            = "api_error"
)

// apiError is an answer that says no.
type apiError struct {
	status int

	Type          string          `json:"type"`
	Code          string          `json:"code,omitempty"`
	DeclineCode   string          `json:"decline_code,omitempty"`
	Param         string          `json:"param,omitempty"`
	Message       string          `json:"message"`
	Charge        string          `json:"charge,omitempty"`
	PaymentIntent json.RawMessage `json:"payment_intent,omitempty"`
	DocURL        string          `json:"doc_url,omitempty"`
	RequestLogURL string          `json:"request_log_url,omitempty"`

	// keep means that the call has had an effect although it says no: a declined
	// payment counts as an attempt. Every other error undoes the call.
	keep bool
}

func (e *apiError) Error() string { return e.Message }

func invalid(param, format string, args ...any) *apiError {
	return &apiError{
		status: http.StatusBadRequest, Type: errorInvalidRequest,
		Param: param, Message: fmt.Sprintf(format, args...),
	}
}

func missing(what, id, param string) *apiError {
	e := invalid(param, "No such %s: '%s'", what, id)
	e.Code = "resource_missing"
	return e
}

// asAPIError turns any error of a handler into an answer. An error that is not
// meant for the client is the simulator's own fault and comes out as a 500.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*form.Error](err); ok {
		return &apiError{
			status: http.StatusBadRequest, Type: errorInvalidRequest,
			Code: e.Code, Param: e.Param, Message: e.Message,
		}
	}
	return &apiError{
		status: http.StatusInternalServerError, Type: errorAPI,
		Message: "The simulator failed: " + err.Error(),
	}
}

// stored reports whether the answer is kept for its idempotency key. Stripe
// keeps answers from the moment an endpoint begins to execute: refusals before
// that (bad parameters, rate limits, a key in use) can be tried again.
func (e *apiError) stored() bool {
	switch e.status {
	case http.StatusPaymentRequired:
		return true
	case http.StatusServiceUnavailable:
		return false
	}
	return e.status >= http.StatusInternalServerError
}

// executed reports whether an endpoint refused for the state that it found, and
// not for a parameter: that answer is kept, too.
func (e *apiError) executed() bool { return e.status == http.StatusBadRequest && e.Param == "" }
