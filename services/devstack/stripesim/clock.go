package stripesim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"tenure/services/devstack/stripesim/store"
)

// What falls due. A task is checked against the object's state when its time
// comes, so nothing needs to be unscheduled: a task that no longer fits does
// nothing.
const (
	taskCustomerPays         = "customer_pays"
	taskFinalizeInvoice      = "finalize_invoice"
	taskIncompleteExpires    = "incomplete_expires"
	taskPendingUpdateExpires = "pending_update_expires"
	taskPeriodEnds           = "period_ends"
	taskRetryPayment         = "retry_payment"
	taskSubscriptionCancels  = "subscription_cancels"
	taskTrialWillEnd         = "trial_will_end"
	taskPhaseEnds            = "phase_ends"
)

const queueDue = "due"

// task is something that happens to an object at a moment.
type task struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// clock is real time and an offset that only grows. Every transaction reads it, so
// it has no lock that a transaction would have to wait for.
type clock struct {
	offset atomic.Int64 // nanoseconds
	// advancing lets one advance at a time walk through what falls due.
	advancing sync.Mutex
}

func (c *clock) ahead() time.Duration { return time.Duration(c.offset.Load()) }

func (c *clock) now() time.Time { return time.Now().Add(c.ahead()) }

func (c *clock) load(t *store.Tx) error {
	var offset time.Duration
	err := t.Value("clock offset", &offset)
	c.offset.Store(int64(offset))
	return err
}

// setClock stores the offset at which it is now moment; it never goes back.
// Only Advance calls it.
func (s *Server) setClock(moment time.Time) error {
	offset := time.Until(moment)
	if offset <= s.clock.ahead() {
		return nil
	}
	err := s.db.Update(func(t *store.Tx) error { return t.SetValue("clock offset", offset) })
	if err != nil {
		return fmt.Errorf("store the clock: %w", err)
	}
	s.clock.offset.Store(int64(offset))
	return nil
}

// Advance moves the clock through every moment at which something falls due, in
// their order, and returns when all of it has happened.
func (s *Server) Advance(by time.Duration) error {
	s.clock.advancing.Lock()
	defer s.clock.advancing.Unlock()
	target := s.clock.now().Add(by)
	for {
		next, ok, err := s.nextDue()
		if err != nil {
			return err
		}
		if !ok || next.Due > target.Unix() {
			break
		}
		if err := s.setClock(time.Unix(next.Due, 0)); err != nil {
			return err
		}
		if err := s.runTask(next); err != nil {
			return err
		}
	}
	defer s.notify()
	return s.setClock(target)
}

// runClock lets tasks fall due as real time goes on.
func (s *Server) runClock(ctx context.Context) {
	for ctx.Err() == nil {
		changed := s.watch()
		next, ok, err := s.nextDue()
		wait := time.Hour
		switch {
		case err != nil:
			s.log.Error("the simulator cannot read what is due", "error", err)
			wait = time.Second
		case ok && next.Due <= s.clock.now().Unix():
			if err := s.runTask(next); err != nil {
				s.log.Error("the simulator cannot run what is due", "error", err)
				wait = time.Second
				break
			}
			continue
		case ok:
			wait = min(wait, time.Until(time.Unix(next.Due, 0).Add(-s.clock.ahead())))
		}
		sleep(ctx, changed, wait)
	}
}

// sleep ends with ctx, at a change or after d.
func sleep(ctx context.Context, changed <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(max(d, time.Millisecond))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-timer.C:
	}
}

func (s *Server) nextDue() (item store.Item, ok bool, err error) {
	err = s.db.View(func(t *store.Tx) error {
		for item = range t.Queue(queueDue) {
			ok = true
			return nil
		}
		return nil
	})
	return item, ok, err
}

// runTask runs one task in a transaction of its own. A task that fails is a
// mistake of the simulator: it is dropped, because it would hold up all that
// comes after it.
func (s *Server) runTask(item store.Item) error {
	err := s.update(cause{}, func(t *tx) error {
		fresh, err := t.Dequeue(queueDue, item.Key)
		if err != nil || !fresh {
			return err // the other of Advance and runClock has run it
		}
		return t.runDue(item)
	})
	if err == nil {
		return nil
	}
	s.log.Error("the simulator dropped a task", "task", string(item.Data), "error", err)
	return s.update(cause{}, func(t *tx) error {
		_, err := t.Dequeue(queueDue, item.Key)
		return err
	})
}
