// Package testkit gives tests the real thing: a PostgreSQL database and a JetStream server of their own, ways to
// break them, and ways to wait without sleeping.
//
// A server that cannot be had fails the test; nothing is skipped silently. Production code must not import this
// package: it starts servers, and it imports testing.
package testkit

import (
	"testing"
	"time"
)

// WaitFor asks cond again and again until it holds, and fails the test when it does not in time. what says what is
// waited for. cond is called from the test's goroutine, so that it may fail the test itself.
func WaitFor(t testing.TB, within time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !cond() {
		select {
		case <-again.C:
		case <-deadline.C:
			if !cond() { // the last call may have been long ago on a busy machine
				t.Fatalf("after %v still not: %s", within, what)
			}
			return
		}
	}
}

// Receive takes the next value from the channel, and fails the test when none comes in time or the channel is
// closed.
func Receive[T any](t testing.TB, within time.Duration, ch <-chan T) T {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	select {
	case v, ok := <-ch:
		if !ok {
			t.Fatal("the channel was closed while a value was waited for")
		}
		return v
	case <-deadline.C:
		t.Fatalf("nothing received within %v", within)
	}
	panic("unreachable: Fatal ends the test")
}
