package bus

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"

	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is where the dead letters of all services are, so that one list shows them.
const Schema = "bus"

// Migrate makes the table of dead letters; every service calls it before it consumes.
func Migrate(ctx context.Context, databaseURL string) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return pg.Migrate(ctx, databaseURL, Schema, files)
}

// deadLetters is one consumer's part of the table, with the parked keys in memory. Its dispatcher's goroutine alone reads
// and writes those.
type deadLetters struct {
	db       *pgxpool.Pool
	consumer string
	parked   map[string]bool
}

func (d *deadLetters) isParked(key string) bool { return d.parked[key] }

// loadParked reads which tenants are parked. A message may have been put behind another in the very moment in which that one
// was handled at last: it has nothing in front of it then, and goes on by itself, as it would have.
func (d *deadLetters) loadParked(ctx context.Context) error {
	_, err := d.db.Exec(ctx, `UPDATE bus.dead_letters d SET replay_requested_at = now()
		WHERE consumer = $1 AND reason = $2 AND replayed_at IS NULL AND replay_requested_at IS NULL AND payload IS NOT NULL
		AND NOT EXISTS (SELECT FROM bus.dead_letters o WHERE o.consumer = d.consumer
			AND o.parked_key = d.parked_key AND o.replayed_at IS NULL AND o.id < d.id)`, d.consumer, reasonParked)
	if err != nil {
		return fmt.Errorf("load parked tenants: %w", err)
	}
	rows, err := d.db.Query(ctx, `SELECT DISTINCT parked_key FROM bus.dead_letters
		WHERE consumer = $1 AND replayed_at IS NULL AND parked_key <> ''`, d.consumer)
	if err != nil {
		return fmt.Errorf("load parked tenants: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("load parked tenants: %w", err)
	}
	d.parked = make(map[string]bool, len(keys))
	for _, k := range keys {
		d.parked[k] = true
	}
	return nil
}

func (d *deadLetters) store(ctx context.Context, stream string, m Message, parked string, cause error) error {
	_, err := d.db.Exec(ctx, `INSERT INTO bus.dead_letters
		(consumer, stream, stream_sequence, subject, type, original_id, parked_key, reason, error, headers, payload)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (consumer, stream, stream_sequence) DO NOTHING`,
		d.consumer, stream, int64(m.seq), storable(m.Subject), storable(m.Event.Type), storable(m.Event.ID), parked, reason(cause), cause.Error(),
		headerJSON(m.raw.Headers()), m.raw.Data())
	if err == nil && parked != "" {
		d.parked[parked] = true
	}
	return err
}

// storable leaves out what PostgreSQL's text does not take: a dead letter names messages that are broken in any way.
func storable(name string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(name, "\uFFFD"), "\x00", "")
}

// reasonParked is that of a message that was put aside behind another.
const reasonParked = "tenant_parked"

// reason is the stable code of why a message was put aside.
func reason(err error) string {
	var format *events.FormatError
	switch {
	case errors.As(err, &format):
		return format.Code
	case errors.Is(err, errParked):
		return reasonParked
	case fault.IsConflict(err):
		return "id_conflict"
	case fault.IsPermanent(err):
		return "refused"
	}
	return "retries_spent"
}

// DeadLetter is a message that was put aside.
type DeadLetter struct {
	ID         int64
	Consumer   string
	Reason     string
	Error      string
	OriginalID string
	Subject    string
	Type       string
	ReceivedAt time.Time
	// Payload is nil when it was erased: Reason is "erased" then, and Error says why.
	Payload []byte
}

// ListDeadLetters returns those not yet replayed, behind id after, oldest first.
func ListDeadLetters(ctx context.Context, q pg.Querier, after int64, limit int) ([]DeadLetter, error) {
	rows, err := q.Query(ctx, `SELECT id, consumer, reason, error, original_id, subject, type, received_at, payload
		FROM bus.dead_letters WHERE replayed_at IS NULL AND id > $1 ORDER BY id LIMIT $2`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[DeadLetter])
}

// RequestReplay asks the consumer that put a message aside to handle it again, and all that wait behind it. It reports
// false when there is no such dead letter, or its content was erased.
func RequestReplay(ctx context.Context, q pg.Querier, id int64) (bool, error) {
	tag, err := q.Exec(ctx, `UPDATE bus.dead_letters SET replay_requested_at = now()
		WHERE id = $1 AND replayed_at IS NULL AND payload IS NOT NULL`, id)
	if err != nil {
		return false, fmt.Errorf("request replay: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// nextReplay is the oldest message that is to be handled again and has no older one of its key in front.
const nextReplay = `SELECT id, parked_key, headers, payload, subject FROM bus.dead_letters d
	WHERE consumer = $1 AND replayed_at IS NULL AND replay_requested_at IS NOT NULL AND payload IS NOT NULL
	AND (parked_key = '' OR NOT EXISTS (SELECT FROM bus.dead_letters o WHERE o.consumer = d.consumer
		AND o.parked_key = d.parked_key AND o.replayed_at IS NULL AND o.id < d.id))
	ORDER BY id LIMIT 1`

// replayOne handles the next message that an operator asked to try again, or that is parked behind one. A failure keeps
// it, and those behind it, where they are. Two processes may do so at once: inboxes know what was taken.
func (d *deadLetters) replayOne(ctx context.Context, handle Handler) (more bool, err error) {
	var id int64
	var key, subject string
	var headers, payload []byte
	err = d.db.QueryRow(ctx, nextReplay, d.consumer).Scan(&id, &key, &headers, &payload, &subject)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := d.handleAgain(ctx, headers, payload, subject, handle); err != nil {
		_, e := d.db.Exec(ctx, `UPDATE bus.dead_letters SET replay_requested_at = NULL, reason = $3, error = $2 WHERE id = $1`, id, err.Error(), reason(err))
		return true, e
	}
	// Those behind it go on by themselves, unless none is left: then the tenant is no longer parked. What was handled is
	// not kept: it may hold a name.
	_, err = d.db.Exec(ctx, `WITH done AS (UPDATE bus.dead_letters SET replayed_at = now(), payload = NULL, headers = '{}', error = '' WHERE id = $1)
		UPDATE bus.dead_letters SET replay_requested_at = now()
		WHERE consumer = $2 AND parked_key = $3 AND $3 <> '' AND replayed_at IS NULL AND id > $1`, id, d.consumer, key)
	if err != nil {
		return false, err
	}
	return true, nil
}

func (d *deadLetters) handleAgain(ctx context.Context, headers, payload []byte, subject string, handle Handler) error {
	var h nats.Header
	if err := json.Unmarshal(headers, &h); err != nil {
		return err
	}
	e, err := events.Decode(h, payload)
	if err != nil {
		return err
	}
	if err := checkSubject(e, subject); err != nil {
		return err // replaying must not pass by what keeps a sender to its own subjects
	}
	_, err = handle(ctx, []Message{{Event: e, Subject: subject}})
	return err
}
