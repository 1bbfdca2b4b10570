package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"tenure/services/deletion/internal/store"
)

// beatsPerLease is how often a lease is extended while it lasts; each beat also looks for holds.
const beatsPerLease = 10

// holdDelay is how soon a held job looks again by itself; the release of the hold wakes it at once.
const holdDelay = 30 * time.Second

var (
	errHeld    = errors.New("a legal hold forbids to erase anything of this tenant; release it first")
	errOverdue = errors.New("the time for the step is over, and nobody has asked for it again")
)

// lease is a worker's hold on a job. ctx ends, with the reason as its cause, when the job is lost or nobody waits for
// it any more: what is done under it stops before another worker begins.
type lease struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stopped chan struct{}
	job     *store.Job

	mu sync.Mutex
	// breakOff ends the destruction under way; nil when there is none.
	breakOff context.CancelCauseFunc
}

// hold extends the lease until release.
func (a *App) hold(ctx context.Context, job *store.Job) *lease {
	l := &lease{job: job, stopped: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	go func() {
		defer close(l.stopped)
		l.cancel(a.beat(l))
	}()
	return l
}

// release ends the heartbeat and waits for it.
func (l *lease) release() {
	l.cancel(nil)
	<-l.stopped
}

// beat extends the lease again and again, and returns why it cannot any more.
func (a *App) beat(l *lease) error {
	every := a.cfg.Lease / beatsPerLease
	tick := time.NewTicker(every)
	defer tick.Stop()
	extended := time.Now()
	for {
		select {
		case <-l.ctx.Done():
			return nil
		case <-tick.C:
		}
		asked := time.Now()
		err := a.renew(l)
		switch {
		case err == nil:
			extended = asked
		case errors.Is(err, errHeld):
			extended = asked
			l.breakOffWith(err)
		case errors.Is(err, store.ErrLost), errors.Is(err, errOverdue):
			return err
		case time.Since(extended) > a.cfg.Lease-a.renewTimeout()-every:
			// The database did not hear of us for so long that the job may be another's any moment.
			return store.ErrLost
		case l.ctx.Err() == nil:
			slog.WarnContext(l.ctx, "the lease of a step was not extended", "step", l.job.StepID, "error", err)
		}
	}
}

// renewTimeout leaves time for a second try before the lease is over.
func (a *App) renewTimeout() time.Duration { return a.cfg.Lease / 4 }

// renew extends the lease and tells what forbids to destroy anything now.
func (a *App) renew(l *lease) error {
	ctx, cancel := context.WithTimeout(l.ctx, a.renewTimeout())
	defer cancel()
	standing, err := store.Renew(ctx, a.DB, l.job, a.cfg.Lease)
	switch {
	case err != nil:
		return err
	case standing.Overdue:
		return errOverdue
	case standing.Held:
		return errHeld
	}
	return nil
}

// destroy is the one door to everything that cannot be undone. It lets act begin only when the database says that the
// job is still this worker's, that its step is still wanted, and that no legal hold lies on the tenant. When one
// of these ends, the next beat breaks act off; its error is then the reason.
//
// A hold counts from when its event has come here, milliseconds after it was placed. The lifecycle, which
// knows it at once, asks for no erasure under it.
func (a *App) destroy(l *lease, act func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(l.ctx)
	defer cancel(nil)
	// Watched before it is allowed: a hold that comes in between is seen by the next beat.
	l.watch(cancel)
	defer l.watch(nil)
	err := a.renew(l)
	if err == nil {
		err = act(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (l *lease) watch(breakOff context.CancelCauseFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breakOff = breakOff
}

func (l *lease) breakOffWith(reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.breakOff != nil {
		l.breakOff(reason)
	}
}
