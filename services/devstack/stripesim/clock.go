package stripesim

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	taskScheduleExpires      = "schedule_expires"
)

const queueDue = "due"

// task is something that happens to an object at a moment.
type task struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// clock is real time and an offset that only grows. Frozen, it shows a moment that
// Advance alone moves, so that a test knows to the second what is prorated. Every
// transaction reads it, so it has no lock that a transaction would have to wait for.
type clock struct {
	reading atomic.Pointer[reading]
	// advancing lets one call at a time move the clock.
	advancing sync.Mutex
}

type reading struct {
	offset time.Duration
	frozen *time.Time // nil: it runs
}

func (c *clock) now() time.Time {
	if frozen := c.reading.Load().frozen; frozen != nil {
		return *frozen
	}
	return c.running()
}

// running goes on while the clock is frozen: it is the network's time, by which
// webhooks are sent again.
func (c *clock) running() time.Time { return time.Now().Add(c.reading.Load().offset) }

// until is how long it takes for a moment to come by itself; forever when frozen.
func (c *clock) until(moment time.Time) time.Duration {
	if c.reading.Load().frozen != nil {
		return math.MaxInt64
	}
	return moment.Sub(c.running())
}

func (c *clock) load(t *store.Tx) error {
	var r reading
	err := errors.Join(t.Value("clock offset", &r.offset), t.Value("clock frozen", &r.frozen))
	c.reading.Store(&r)
	return err
}

func (s *Server) storeClock(r reading) error {
	err := s.db.Update(func(t *store.Tx) error {
		return errors.Join(t.SetValue("clock offset", r.offset), t.SetValue("clock frozen", r.frozen))
	})
	if err != nil {
		return fmt.Errorf("store the clock: %w", err)
	}
	s.clock.reading.Store(&r)
	return nil
}

// setClock makes it moment; it never goes back. Only Advance calls it.
func (s *Server) setClock(moment time.Time) error {
	r := *s.clock.reading.Load()
	by := moment.Sub(s.clock.now())
	if by <= 0 {
		return nil
	}
	r.offset += by
	if r.frozen != nil {
		r.frozen = &moment
	}
	return s.storeClock(r)
}

// Freeze stops the clock at the current second, or lets it run again: it then
// shows the time that has passed meanwhile, too.
func (s *Server) Freeze(frozen bool) error {
	s.clock.advancing.Lock()
	defer s.clock.advancing.Unlock()
	r := *s.clock.reading.Load()
	if frozen == (r.frozen != nil) {
		return nil
	}
	r.frozen = nil
	if frozen {
		moment := s.clock.now().Truncate(time.Second).UTC()
		r.frozen = &moment
	}
	defer s.notify()
	return s.storeClock(r)
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
			wait = min(wait, s.clock.until(time.Unix(next.Due, 0)))
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
