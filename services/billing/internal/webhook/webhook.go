// Package webhook takes in what Stripe tells: pushed to an HTTP endpoint, or polled from Stripe's list of events when a
// push was missed. What is told is stored and published; nobody acts on it here.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/stripeapi"
	"tenure/shared/problem"
)

// Path is where Stripe's webhook endpoint points to.
const Path = "POST /webhooks/stripe"

// storeTimeout bounds the storing of an event: Stripe has its answer within a second, be it that the event has to come
// again. One that was stored all the same is stored once.
const storeTimeout = 900 * time.Millisecond

// maxBody bounds an event, in bytes. An invoice with many lines passes the 64 KiB that hold elsewhere.
const maxBody = 1 << 20

// Taker stores a notice and publishes it, once however often it is called.
type Taker interface {
	Take(ctx context.Context, n plan.Notice) error
}

// Secrets splits a comma-separated list. While a secret is rotated, Stripe's events are signed with either.
func Secrets(list string) (secrets []string, err error) {
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s != "" {
			secrets = append(secrets, s)
		}
	}
	if len(secrets) == 0 {
		return nil, errors.New("STRIPE_WEBHOOK_SECRET is empty: copy the endpoint's signing secret from Stripe's dashboard")
	}
	return secrets, nil
}

// Handler answers Stripe: 200 once the event is stored (again for a duplicate), 400 for what Stripe did not sign, 503 when
// it cannot be stored, so that Stripe delivers it again.
func Handler(secrets []string, taker Taker) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			problem.Write(w, r, problem.New(http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("an event may have %d bytes at most", maxBody)))
			return
		}
		var n plan.Notice
		if err == nil {
			n, err = verify(body, r.Header.Get("Stripe-Signature"), secrets)
		}
		if err != nil {
			slog.WarnContext(r.Context(), "a webhook was refused", "error", err)
			problem.Write(w, r, problem.New(http.StatusBadRequest, "invalid_webhook", err.Error()))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
		defer cancel()
		if err := taker.Take(ctx, n); err != nil {
			slog.ErrorContext(r.Context(), "a webhook cannot be stored; Stripe delivers it again", "event", n.EventID, "error", err)
			problem.Write(w, r, problem.New(http.StatusServiceUnavailable, "unavailable", "the event cannot be stored now: deliver it again"))
			return
		}
		w.WriteHeader(http.StatusOK)
	})
}

// verify checks the signature over the raw body. Stripe's own tolerance of 300 s holds: an event that somebody recorded
// cannot be sent again later. Events of other API versions are taken, since only ids are read.
func verify(body []byte, signature string, secrets []string) (plan.Notice, error) {
	var err error
	for _, secret := range secrets {
		var e stripe.Event
		e, err = webhook.ConstructEventWithOptions(body, signature, secret,
			webhook.ConstructEventOptions{Tolerance: webhook.DefaultTolerance, IgnoreAPIVersionMismatch: true})
		if err == nil {
			return stripeapi.NoticeOf(e)
		}
		if !errors.Is(err, webhook.ErrNoValidSignature) {
			break // no other secret can mend it
		}
	}
	return plan.Notice{}, err
}
