package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// leadPoll is how often a process asks whether the one that leads is gone.
const leadPoll = 5 * time.Second

// Lead is held by one of all processes: the one that reconciles.
type Lead struct{ session *pgx.Conn }

// Lead waits until no other process has it. It lives and dies with a session of its own: the database takes it back the
// moment that the process is gone.
func (s *Store) Lead(ctx context.Context) (*Lead, error) {
	conn, err := s.db.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("open a session to reconcile: %w", err)
	}
	l := &Lead{conn.Hijack()} // a pooled connection would keep the lock
	poll := time.NewTicker(leadPoll)
	defer poll.Stop()
	for {
		var mine bool
		err := l.session.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtext(current_schema() || '/reconcile'), 0)`).Scan(&mine)
		if err == nil && mine {
			return l, nil
		}
		if err == nil {
			select {
			case <-poll.C:
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		l.Release(ctx)
		return nil, fmt.Errorf("wait for the turn to reconcile: %w", err)
	}
}

// Check fails when the lead is lost.
func (l *Lead) Check(ctx context.Context) error { return l.session.Ping(ctx) }

// Release gives the lead back.
func (l *Lead) Release(ctx context.Context) { _ = l.session.Close(context.WithoutCancel(ctx)) }
