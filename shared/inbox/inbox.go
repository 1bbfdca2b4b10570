// Package inbox makes a consumer take each event once, in its own transaction, and one tenant's events in the order in
// which they were written.
package inbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate makes the inbox's tables in the pool's schema.
func Migrate(ctx context.Context, db *pgxpool.Pool) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return pg.MigrateSet(ctx, db, "inbox", files)
}

// ErrEarly says that an event of the same stream is still missing. The event is held, not refused.
var ErrEarly = errors.New("inbox: an earlier event of this stream is missing")

// earlyDelay is how long an early event waits for the one in front of it.
const earlyDelay = 100 * time.Millisecond

// Claim records in tx that consumer takes e. It is fresh when it was not taken before: only then may the handler's
// effects be stored, in the same transaction. An event that arrives early is a fault.RetryAfter of
// ErrEarly; the same id with other content is a fault.Conflict. Two processes that claim the same event are serialised
// by the row; the second finds it taken.
func Claim(ctx context.Context, tx pgx.Tx, consumer string, e events.Event) (fresh bool, err error) {
	hash := contentHash(e)
	if e.Sequence > 0 {
		taken, err := advance(ctx, tx, consumer, e)
		if err != nil {
			return false, err
		}
		if taken {
			return false, compare(ctx, tx, consumer, e, hash)
		}
	}
	tag, err := tx.Exec(ctx, `INSERT INTO inbox (consumer, source, id, hash) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		consumer, e.Source, e.ID, hash)
	if err != nil {
		return false, fmt.Errorf("claim %s: %w", e.ID, err)
	}
	if tag.RowsAffected() == 1 {
		return true, nil
	}
	return false, compare(ctx, tx, consumer, e, hash)
}

// Taken reports whether consumer has taken e already, so that outside work is not begun again for a redelivery. It
// promises nothing about the next moment: Claim decides.
func Taken(ctx context.Context, q pg.Querier, consumer string, e events.Event) (bool, error) {
	var taken bool
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM inbox WHERE consumer = $1 AND source = $2 AND id = $3)
		OR EXISTS (SELECT FROM inbox_positions WHERE consumer = $1 AND service = $4 AND subject = $5 AND sequence >= $6 AND $6 > 0)`,
		consumer, e.Source, e.ID, e.Service(), e.Subject, e.Sequence).Scan(&taken)
	if err != nil {
		return false, fmt.Errorf("look up %s in the inbox: %w", e.ID, err)
	}
	return taken, nil
}

// advance moves the high-water mark to e, or says that it is at or past it.
func advance(ctx context.Context, tx pgx.Tx, consumer string, e events.Event) (taken bool, err error) {
	var at int64
	err = tx.QueryRow(ctx, `INSERT INTO inbox_positions AS p (consumer, service, subject, sequence) VALUES ($1, $2, $3, 0)
		ON CONFLICT (consumer, service, subject) DO UPDATE SET sequence = p.sequence RETURNING sequence`,
		consumer, e.Service(), e.Subject).Scan(&at)
	switch {
	case err != nil:
		return false, fmt.Errorf("lock the position in %s/%s: %w", e.Service(), e.Subject, err)
	case e.Sequence <= at:
		return true, nil
	case e.Sequence > at+1:
		return false, fault.RetryAfter(fmt.Errorf("%w: %s is at %d", ErrEarly, e.ID, at), earlyDelay)
	}
	_, err = tx.Exec(ctx, `UPDATE inbox_positions SET sequence = $4 WHERE consumer = $1 AND service = $2 AND subject = $3`,
		consumer, e.Service(), e.Subject, e.Sequence)
	return false, err
}

func compare(ctx context.Context, tx pgx.Tx, consumer string, e events.Event, hash []byte) error {
	var stored []byte
	err := tx.QueryRow(ctx, `SELECT hash FROM inbox WHERE consumer = $1 AND source = $2 AND id = $3`, consumer, e.Source, e.ID).Scan(&stored)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // pruned: the position alone says that it was taken
	}
	if err != nil {
		return fmt.Errorf("look up %s in the inbox: %w", e.ID, err)
	}
	if !bytes.Equal(stored, hash) {
		return fault.Conflict(fmt.Errorf("event %s of %s was taken with other content", e.ID, e.Source))
	}
	return nil
}

// contentHash covers what a handler acts on. Tracing context is left out: a publisher's retry may renew it.
func contentHash(e events.Event) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %d ", e.Type, e.Subject, e.Sequence)
	h.Write(e.Data)
	return h.Sum(nil)
}
