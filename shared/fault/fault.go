// Package fault says what a handler's error means to whoever delivered the message: try again, wait, or give up.
// An error that is none of these counts as a try; five tries make a dead letter (shared/bus).
package fault

import (
	"errors"
	"time"
)

type kind int

const (
	permanent kind = iota + 1
	retryAfter
	conflict
)

type faultError struct {
	error
	kind  kind
	delay time.Duration
}

func (f *faultError) Unwrap() error { return f.error }

// Permanent marks err as one that no retry can mend: the message becomes a dead letter at once.
func Permanent(err error) error { return wrap(err, permanent, 0) }

// RetryAfter marks err as the fault of a part outside (Stripe, S3, Postgres is down): the message waits for d and is
// tried again, for as long as it takes. It never counts as a try; only this tenant waits.
func RetryAfter(err error, d time.Duration) error { return wrap(err, retryAfter, d) }

// Conflict marks err as "same id, other content": somebody forges or a publisher is broken. The message is quarantined.
func Conflict(err error) error { return wrap(err, conflict, 0) }

// IsPermanent reports whether err, or what it wraps, is Permanent.
func IsPermanent(err error) bool { return is(err, permanent) }

// IsConflict reports whether err, or what it wraps, is a Conflict.
func IsConflict(err error) bool { return is(err, conflict) }

// Delay returns how long to wait when err is a RetryAfter.
func Delay(err error) (time.Duration, bool) {
	var f *faultError
	if errors.As(err, &f) && f.kind == retryAfter {
		return f.delay, true
	}
	return 0, false
}

func wrap(err error, k kind, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &faultError{error: err, kind: k, delay: d}
}

func is(err error, k kind) bool {
	var f *faultError
	return errors.As(err, &f) && f.kind == k
}
