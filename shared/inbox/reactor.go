package inbox

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/pg"
)

// Commit stores the effects of one event in the transaction that claims it.
type Commit func(ctx context.Context, tx pgx.Tx) error

// React does what an event asks of the outside (Stripe, S3, mail) while no transaction is open and returns what to
// store; nil stores nothing but the claim. It may run more than once for one event: a crash between the outside effect
// and the commit repeats it, so that outside effects need keys derived from the event's id.
type React func(ctx context.Context, e events.Event) (Commit, error)

// outageDelay is how long a message waits while the database is away.
const outageDelay = time.Second

// Reactor turns react into a handler for bus.Consume: look whether the event was taken, do the outside work, claim the
// event and store the effects in one transaction, then call after (wake the relay; may be nil). Events whose type is not wanted
// are claimed alone, many in one transaction, to keep the stream's position.
func Reactor(db *pgxpool.Pool, consumer string, wants func(eventType string) bool, react React, after func()) bus.Handler {
	r := &reactor{db: db, consumer: consumer, wants: wants, react: react, after: after}
	return r.handle
}

type reactor struct {
	db       *pgxpool.Pool
	consumer string
	wants    func(string) bool
	react    React
	after    func()
}

// handle stops at the first failure: what is behind it belongs to the same tenant and waits its turn.
func (r *reactor) handle(ctx context.Context, messages []bus.Message) (done int, err error) {
	for done < len(messages) {
		n := 0
		for done+n < len(messages) && !r.wants(messages[done+n].Event.Type) {
			n++
		}
		if n > 0 {
			err = r.pass(ctx, messages[done:done+n])
		} else {
			n, err = 1, r.one(ctx, messages[done].Event)
		}
		if err != nil {
			if pg.IsUnavailable(err) && !isFault(err) {
				err = fault.RetryAfter(err, outageDelay)
			}
			return done, err
		}
		done += n
	}
	return done, nil
}

func isFault(err error) bool {
	_, waits := fault.Delay(err)
	return waits || fault.IsPermanent(err) || fault.IsConflict(err)
}

func (r *reactor) pass(ctx context.Context, messages []bus.Message) error {
	return pg.WithTx(ctx, r.db, func(tx pgx.Tx) error {
		for i := range messages {
			if _, err := Claim(ctx, tx, r.consumer, messages[i].Event); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *reactor) one(ctx context.Context, e events.Event) error {
	taken, err := Taken(ctx, r.db, r.consumer, e)
	if err != nil {
		return err
	}
	var commit Commit
	if !taken {
		if commit, err = r.react(ctx, e); err != nil {
			return err
		}
	}
	err = pg.WithTx(ctx, r.db, func(tx pgx.Tx) error {
		fresh, err := Claim(ctx, tx, r.consumer, e)
		if err != nil || !fresh || commit == nil {
			return err
		}
		return commit(ctx, tx)
	})
	if err == nil && r.after != nil {
		r.after()
	}
	return err
}
