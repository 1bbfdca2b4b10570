// Package jobs carries out work that takes long. A job is a row of the service's own table: a worker claims it for the
// time of a lease, extends the lease while it works, and when it is not heard of any more another worker takes the job.
package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
)

// ErrLost says that a job is no longer this worker's: its lease ran out, another took it, or nobody wants it any more.
var ErrLost = errors.New("the job is no longer this worker's")

// Config of workers. Zero values are the defaults.
type Config struct {
	// Workers is how many jobs run side by side in this process; 0 is 1.
	Workers int
	// Poll is how soon a worker finds a job that another process has taken in, or whose time has come; 0 is 1 s.
	Poll time.Duration
}

// Workers claim jobs and process them. They are safe for concurrent use.
type Workers[J any] struct {
	cfg     Config
	claim   func(context.Context) (*J, error)
	process func(context.Context, *J) error
	wake    chan struct{}
}

// New returns workers that Run starts. claim returns nil when there is nothing to do; process stores by itself what
// became of the job, and an error of it is only logged.
func New[J any](cfg Config, claim func(context.Context) (*J, error), process func(context.Context, *J) error) *Workers[J] {
	if cfg.Workers == 0 {
		cfg.Workers = 1
	}
	if cfg.Poll == 0 {
		cfg.Poll = time.Second
	}
	return &Workers[J]{cfg: cfg, claim: claim, process: process, wake: make(chan struct{}, 1)}
}

// Wake tells an idle worker that there may be a job. It never blocks, and calling it for nothing is harmless.
func (w *Workers[J]) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, and returns nil when every worker has let go of its job.
func (w *Workers[J]) Run(ctx context.Context) error {
	var g errgroup.Group
	for range w.cfg.Workers {
		g.Go(func() error { w.work(ctx); return nil })
	}
	return g.Wait()
}

// work claims one job after another; when there is none, or something is broken, it waits.
func (w *Workers[J]) work(ctx context.Context) {
	tick := time.NewTicker(w.cfg.Poll)
	defer tick.Stop()
	for ctx.Err() == nil {
		job, err := w.claim(ctx)
		if err == nil && job != nil {
			w.Wake() // there may be more, for the worker beside
			err = w.process(ctx, job)
		}
		if err != nil && ctx.Err() == nil {
			slog.ErrorContext(ctx, "a job was interrupted and will be taken up again", "error", err)
		}
		if err == nil && job != nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-w.wake:
		case <-tick.C:
		}
	}
}

// Backoff is the wait after the n-th failure, from 1: it doubles from a second up to half a minute.
func Backoff(failures int) time.Duration {
	return min(time.Second<<min(max(failures-1, 0), 10), 30*time.Second)
}
