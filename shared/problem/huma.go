package problem

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// Install makes huma answer its own errors (a body that does not validate, an error that a handler returned) as
// problems. Call it before the first route is registered; again does no harm. The API must do without huma's links to
// schemas ("$schema"): they copy an answer field by field, and so lose what With added.
func Install() { install() }

var install = sync.OnceFunc(func() {
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return fromHuma(context.Background(), status, msg, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return fromHuma(ctx.Context(), status, msg, errs)
	}
})

// fromHuma says what huma found wrong in our words.
func fromHuma(ctx context.Context, status int, msg string, errs []error) *Error {
	if err := errors.Join(errs...); err != nil {
		var p *Error
		if errors.As(err, &p) {
			return p // a resolver's or middleware's own
		}
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) { // huma takes it for a fault of the server
			status = http.StatusRequestEntityTooLarge
		} else if status >= http.StatusInternalServerError {
			slog.ErrorContext(ctx, "request failed", "error", err)
		}
	}
	switch status {
	case http.StatusBadRequest:
		return New(status, CodeMalformedJSON, "the body is not valid JSON").because(errs)
	case http.StatusUnprocessableEntity:
		return New(status, CodeValidation, "the request is not valid; see errors").because(errs)
	case http.StatusRequestEntityTooLarge:
		return New(status, CodeTooLarge, "the body is too large")
	case http.StatusInternalServerError:
		return internal()
	}
	return New(status, codeOf(status), msg).because(errs)
}

// because lists the errors. Their values are left out: they may be long, or secret.
func (e *Error) because(errs []error) *Error {
	for _, err := range errs {
		if err == nil {
			continue
		}
		v := Violation{Message: err.Error()}
		var d huma.ErrorDetailer
		if errors.As(err, &d) {
			v = Violation{Location: d.ErrorDetail().Location, Message: d.ErrorDetail().Message}
		}
		e.Errors = append(e.Errors, v)
	}
	return e
}

// codeOf makes a code of a status that has none of its own: 405 is "method_not_allowed".
func codeOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return CodeUnauthenticated
	case http.StatusServiceUnavailable:
		return CodeUnavailable
	}
	return strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "_")
}
