package jobs

import (
	"context"
	"log/slog"
	"time"
)

// beatsPerLease is how often a lease is extended while it lasts.
const beatsPerLease = 10

// DefaultLease is how long a killed worker's job waits for another one.
const DefaultLease = 10 * time.Second

// Lease is a worker's hold on a job.
type Lease struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stopped chan struct{}
}

// Renew extends a lease in the database. stop ends the lease, with this reason; err says that the database did not
// answer, which ends the lease only when it goes on for so long that the job may be another's. ctx leaves time for a
// second try.
type Renew func(ctx context.Context) (stop, err error)

// Hold extends a lease of the given length until Release, or until it ends.
func Hold(ctx context.Context, length time.Duration, renew Renew) *Lease {
	l := &Lease{stopped: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	go func() {
		defer close(l.stopped)
		l.cancel(l.beat(length, renew))
	}()
	return l
}

// Context ends, with the reason as its cause, when the lease does: what is done under it stops before another worker
// begins.
func (l *Lease) Context() context.Context { return l.ctx }

// Reason is why the lease has ended, rather than what broke because of it; err when it has not.
func (l *Lease) Reason(err error) error {
	if err != nil && l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	return err
}

// Release ends the heartbeat and waits for it.
func (l *Lease) Release() {
	l.cancel(nil)
	<-l.stopped
}

// RenewTimeout bounds one try to extend a lease of this length.
func RenewTimeout(length time.Duration) time.Duration { return length / 4 }

// beat extends the lease again and again, and returns why it cannot any more.
func (l *Lease) beat(length time.Duration, renew Renew) error {
	every := length / beatsPerLease
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
		stop, err := l.renew(length, renew)
		switch {
		case stop != nil:
			return stop
		case err == nil:
			extended = asked
		case time.Since(extended) > length-RenewTimeout(length)-every:
			// The database did not hear of us for so long that the job may be another's any moment.
			return ErrLost
		case l.ctx.Err() == nil:
			slog.WarnContext(l.ctx, "the lease of a job was not extended", "error", err)
		}
	}
}

func (l *Lease) renew(length time.Duration, renew Renew) (stop, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, RenewTimeout(length))
	defer cancel()
	return renew(ctx)
}
