package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"tenure/services/sample/internal/app"
	"tenure/shared/testkit"
)

// A drain waits for the queries that run, lets new ones in, and sends them to the new capacity.
func TestDrainWaitsForRunningQueries(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "free")
	w.do(step("acme", "op-1", "upgrade", "provision", "free", "starter"))
	release := w.hold()
	drained := make(chan error, 1)
	go func() { drained <- w.try(t.Context(), step("acme", "op-1", "upgrade", "drain", "free", "starter")) }()
	testkit.WaitFor(t, soon, "new requests go to the new capacity", func() bool {
		r, err := w.route("acme")
		return err == nil && r.Serving == "starter"
	})
	if _, err := w.Query(t.Context(), "acme", "x", 0); err != nil {
		t.Errorf("a new query during the drain: %v", err)
	}
	select {
	case err := <-drained:
		t.Fatalf("drained while a query runs: %v", err)
	default:
	}
	release()
	if err := testkit.Receive(t, soon, drained); err != nil {
		t.Errorf("drain: %v", err)
	}
}

// A query that a drain has waited for in vain does not hold the way back up: it goes on where it is.
func TestTheWayBackWaitsForTheNewCapacityAlone(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "free")
	w.do(step("acme", "op-1", "upgrade", "provision", "free", "starter"))
	release := w.hold()
	drain := step("acme", "op-1", "upgrade", "drain", "free", "starter")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := w.try(ctx, drain); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("drain: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := w.try(ctx, undo(drain)); err != nil {
		t.Errorf("the way back: %v", err)
	}
	w.wantRoute("acme", "free", "free")
	release()
}

func TestADrainThatRunsOutOfTimeChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.signUp("acme", "free")
	w.Shape(func(next *app.Shape) { next.NeverDrain = true })
	w.do(step("acme", "op-1", "upgrade", "provision", "free", "starter"))
	for range 2 { // the shape stays with the operation's retries
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := w.try(ctx, step("acme", "op-1", "upgrade", "drain", "free", "starter"))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain: %v", err)
		}
		w.wantRoute("acme", "free", "free")
	}
	w.do(step("acme", "op-2", "upgrade", "drain", "free", "starter")) // and ends with it
}
