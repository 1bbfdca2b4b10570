package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"tenure/services/deletion/internal/store"
	"tenure/shared/jobs"
)

// holdDelay is how soon a held job looks again by itself; the release of the hold wakes it at once.
const holdDelay = 30 * time.Second

var (
	errHeld    = errors.New("a legal hold forbids to erase anything of this tenant; release it first")
	errOverdue = errors.New("the time for the step is over, and nobody has asked for it again")
	errEarly   = errors.New("the data must be kept for longer; was the database's clock put back?")
)

// lease is a worker's hold on a job. Each beat of it looks for legal holds, too.
type lease struct {
	*jobs.Lease
	app *App
	job *store.Job

	mu sync.Mutex
	// breakOff ends the destruction under way; nil when there is none.
	breakOff context.CancelCauseFunc
}

func (a *App) lease(ctx context.Context, job *store.Job) *lease {
	l := &lease{app: a, job: job}
	l.Lease = jobs.Hold(ctx, a.cfg.Lease, l.renew)
	return l
}

// renew implements jobs.Renew. A legal hold ends the destruction under way, not the lease: reading goes on.
func (l *lease) renew(ctx context.Context) (stop, err error) {
	err = l.extend(ctx)
	switch {
	case errors.Is(err, errHeld):
		l.breakOffWith(err)
		return nil, nil
	case errors.Is(err, jobs.ErrLost), errors.Is(err, errOverdue), errors.Is(err, errEarly):
		return err, nil
	}
	return nil, err
}

// extend extends the lease and tells what forbids to destroy anything now.
func (l *lease) extend(ctx context.Context) error {
	standing, err := store.Renew(ctx, l.app.DB, l.job, l.app.cfg.Lease)
	switch {
	case err != nil:
		return err
	case standing.Overdue:
		return errOverdue
	case standing.Early:
		return errEarly
	case standing.Held:
		return errHeld
	}
	return nil
}

// destroy is the one door to everything that cannot be undone. It lets act begin only when the database says that the
// job is still this worker's, that its step is still wanted, that its time has come, and that no legal hold lies on the
// tenant. When one of these ends, the next beat breaks act off; its error is then the reason.
//
// A hold counts from when its event has come here, milliseconds after it was placed. The lifecycle, which
// knows it at once, asks for no erasure under it.
func (l *lease) destroy(act func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(l.Context())
	defer cancel(nil)
	// Watched before it is allowed: a hold that comes in between is seen by the next beat.
	l.watch(cancel)
	defer l.watch(nil)
	err := l.extendInTime(ctx)
	if err == nil {
		err = act(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (l *lease) extendInTime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, jobs.RenewTimeout(l.app.cfg.Lease))
	defer cancel()
	return l.extend(ctx)
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
