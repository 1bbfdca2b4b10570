package stripeapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/stripe/stripe-go/v76"

	"tenure/services/billing/internal/app"
	"tenure/shared/fault"
)

// translate says what an error of a call means; see app.Stripe.
func (c *Client) translate(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	var answer *stripe.Error
	if !errors.As(err, &answer) {
		return fault.RetryAfter(fmt.Errorf("%s: Stripe is out of reach: %w", what, err), c.patience.failed())
	}
	err = fmt.Errorf("%s: Stripe answers %d %s %s (request %s): %s", what, answer.HTTPStatusCode, answer.Type, answer.Code,
		answer.RequestID, answer.Msg)
	switch status := answer.HTTPStatusCode; {
	case answer.Type == stripe.ErrorTypeCard, status == http.StatusPaymentRequired:
		return &app.Refused{Reason: answer.Msg}
	case answer.Type == stripe.ErrorTypeIdempotency && status == http.StatusBadRequest:
		// The key was used with other parameters, by an older build: what it did, if anything, is found by looking.
		return fault.RetryAfter(fmt.Errorf("%w: %w", app.ErrKeySpent, err), c.patience.failed())
	case status >= http.StatusInternalServerError:
		return fault.RetryAfter(fmt.Errorf("%w: %w", app.ErrKeySpent, err), c.patience.failed())
	case status == http.StatusTooManyRequests, status == http.StatusConflict, asksAgain(answer):
		return fault.RetryAfter(err, c.patience.failed())
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fault.RetryAfter(fmt.Errorf("%w; set STRIPE_API_KEY to a key that may do this", err), refusedDelay)
	}
	return err
}

// asksAgain reports whether Stripe itself says that the same call is worth another try.
func asksAgain(answer *stripe.Error) bool {
	return answer.LastResponse != nil && answer.LastResponse.Header.Get("Stripe-Should-Retry") == "true"
}

// isCode reports whether Stripe refused with this code.
func isCode(err error, code stripe.ErrorCode) bool {
	var answer *stripe.Error
	return errors.As(err, &answer) && answer.Code == code
}

// isMissing reports whether Stripe knows nothing of what was asked for.
func isMissing(err error) bool { return isCode(err, stripe.ErrorCodeResourceMissing) }

// isInvalid reports whether Stripe refused the request as such, because of the parameter param unless that is empty. A
// limit that was hit, or a key that is not let in, has the same type and says nothing about the request.
func isInvalid(err error, param string) bool {
	var answer *stripe.Error
	return errors.As(err, &answer) && answer.Type == stripe.ErrorTypeInvalidRequest &&
		answer.HTTPStatusCode == http.StatusBadRequest && (param == "" || answer.Param == param)
}
