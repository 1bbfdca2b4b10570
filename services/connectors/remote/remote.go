// Package remote is what the connectors of stores behind an API share: an HTTP client that outlasts single failures, and
// which errors are worth waiting for.
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"tenure/services/connectors"
	"tenure/shared/fault"
)

// A reading takes thousands of requests, so one that fails now and then must not end it: with 20% failing, 8 tries let one
// in 400,000 through. Together they wait some 7 s. What lasts longer is the caller's to wait for.
const (
	Tries        = 8
	FirstBackoff = 100 * time.Millisecond
	MaxBackoff   = 2 * time.Second
)

const dialTimeout = 5 * time.Second

// NewClient makes an HTTP client that repeats a request while the server answers 429 or 5xx, or breaks the connection; every
// request of a connector may be repeated. answer bounds the wait for an answer's head, each time. It follows no redirect to
// another host, which would be handed the credentials and could then say that there is nothing. An answer with a status that
// is final is not asked for again, for servers by which 500 means a mistake.
func NewClient(answer time.Duration, final ...int) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
	transport.ResponseHeaderTimeout = answer
	transport.MaxIdleConnsPerHost = 16
	retrying := &retryablehttp.Client{
		HTTPClient:   &http.Client{Transport: transport, CheckRedirect: noRedirect},
		RetryMax:     Tries - 1,
		RetryWaitMin: FirstBackoff,
		RetryWaitMax: MaxBackoff,
		Backoff:      retryablehttp.DefaultBackoff,
		CheckRetry: func(ctx context.Context, resp *http.Response, err error) (bool, error) {
			if err == nil && slices.Contains(final, resp.StatusCode) {
				return false, ctx.Err()
			}
			return again(ctx, resp, err)
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
	client := retrying.StandardClient()
	client.CheckRedirect = sameHost
	return client
}

// noRedirect leaves redirects to the client around the one that repeats requests.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func sameHost(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if next.URL.Scheme != first.Scheme || next.URL.Host != first.Host {
		return fmt.Errorf("%s redirects to another host, %s", first.Host, next.URL.Host)
	}
	if len(via) >= 3 {
		return errors.New("too many redirects")
	}
	return nil
}

// again says whether a request is repeated. A server that takes its time is not asked the same once more, and one that names
// a longer pause is left in peace: the caller waits.
func again(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err != nil {
		return Unreachable(err) && !isTimeout(err), nil
	}
	return worthWaiting(resp.StatusCode) && RetryAfter(resp) <= MaxBackoff, nil
}

func worthWaiting(status int) bool {
	return status == http.StatusTooManyRequests || status >= 500 && status != http.StatusNotImplemented
}

// RetryAfter is the pause that the server asks for, 0 when it names none. A date is not read: nobody sends one.
func RetryAfter(resp *http.Response) time.Duration {
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return time.Duration(max(seconds, 0)) * time.Second
}

// StatusError is an answer other than a success.
type StatusError struct {
	Status int
	// RetryAfter is the pause that the server asked for, or 0.
	RetryAfter time.Duration
	// Text is what it said, shortened.
	Text string
}

func (e *StatusError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("the server answers %d %s", e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("the server answers %d: %s", e.Status, e.Text)
}

// maxErrorText bounds how much of an answer is repeated in an error.
const maxErrorText = 1 << 10

// Check turns an answer other than a success into a StatusError, and reads its body.
func Check(resp *http.Response) error {
	if resp.StatusCode/100 == 2 {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
	return &StatusError{Status: resp.StatusCode, RetryAfter: RetryAfter(resp), Text: strings.TrimSpace(string(text))}
}

// Do sends a request. Its errors do not repeat the URL, whose query may name a person.
func Do(client *http.Client, req *http.Request) (*http.Response, error) {
	resp, err := client.Do(req)
	return resp, withoutURL(err)
}

func withoutURL(err error) error {
	var wrapped *url.Error
	for errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err
}

// Classify turns an error that says "down" or "too busy" into a fault.RetryAfter and leaves the rest.
func Classify(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	var status *StatusError
	if errors.As(err, &status) && worthWaiting(status.Status) {
		return fault.RetryAfter(err, max(status.RetryAfter, connectors.RetryDelay))
	}
	if Unreachable(err) {
		return fault.RetryAfter(err, connectors.RetryDelay)
	}
	return err
}

// Unreachable reports whether the server did not answer, or not to the end.
func Unreachable(err error) bool {
	err = withoutURL(err) // a url.Error is a net.Error, whatever it is about
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// Words are what a server says about a statement, which it may repeat.
type Words struct {
	// Brief says the same without a word of the server's.
	Brief string
	Text  string
}

func (w *Words) Error() string { return w.Brief + ": " + w.Text }

// Hide takes a server's words out of an error when the scope is a person: they may hold the person's key in whatever way it is
// written there, and errors are logged.
func Hide(err error, of connectors.Scope) error {
	if of.Subject == "" {
		return err
	}
	hidden := err
	var words *Words
	var status *StatusError
	switch {
	case errors.As(err, &words):
		hidden = errors.New(words.Brief)
	case errors.As(err, &status):
		hidden = &StatusError{Status: status.Status, RetryAfter: status.RetryAfter}
	}
	if delay, wait := fault.Delay(err); wait {
		return fault.RetryAfter(hidden, delay)
	}
	return hidden
}
