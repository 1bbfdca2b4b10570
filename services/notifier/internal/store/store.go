// Package store keeps the notifier's messages.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/notifier/internal/message"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/vault"
)

// Recipient is the role of whom a message reaches. Ids are made of it and not of the address, which would outlive its
// deletion in them, and which may change between two tries.
type Recipient string

// The recipients.
const (
	Owner    Recipient = "owner" // the tenant's contact
	Operator Recipient = "operator"
	// OperatorChat is the room where operators are.
	OperatorChat Recipient = "operator_chat"
)

// Message is a row that is to be sent.
type Message struct {
	ID            string
	Tenant        string
	Template      message.Template
	Facts         message.Facts
	EventID       string
	CorrelationID string
	Recipient     Recipient
	// Contact is set on a message that outlives the vault's.
	Contact  *vault.Contact
	Attempts int
	// DueAt is when it was meant to leave, whatever has delayed it since.
	DueAt time.Time
	// Generation is the life of the tenant that it is about; 0 where its beginning was never seen.
	Generation int64
	// Locale is the one that the tenant has set; "" is none.
	Locale string
}

// messageID is the same whenever the same event asks for the same mail.
func messageID(e events.Event, t message.Template, rung string, to Recipient) string {
	name := e.Source + "\n" + e.ID + "\n" + string(t) + "\n" + string(to)
	if rung != "" {
		name += "\n" + rung
	}
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// Store writes what an event asks for, in the transaction that claims it. contact is that of held messages; nil: nobody
// is known. operators are how those are alerted.
func Store(ctx context.Context, tx pgx.Tx, e events.Event, r message.Reaction, contact *vault.Contact, operators ...Recipient) error {
	if err := begin(ctx, tx, e, r.Life); err != nil {
		return err
	}
	if err := takeBack(ctx, tx, e.Subject, r); err != nil {
		return err
	}
	for _, d := range r.Release {
		if err := release(ctx, tx, e.Subject, d); err != nil {
			return err
		}
	}
	rows, err := rowsOf(ctx, tx, e, r, contact, operators)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := insert(ctx, tx, e, row); err != nil {
			return err
		}
	}
	return nil
}

// takeBack changes the state of messages that have not left yet.
func takeBack(ctx context.Context, tx pgx.Tx, tenant string, r message.Reaction) error {
	for _, change := range []struct {
		templates []message.Template
		sql       string
	}{
		{r.Supersede, `UPDATE messages SET state = 'superseded', contact = NULL, ended_at = now()
			WHERE tenant_id = $1 AND template = ANY ($2) AND state IN ('held', 'queued')`},
		{r.HoldBack, `UPDATE messages SET state = 'held' WHERE tenant_id = $1 AND template = ANY ($2) AND state = 'queued'`},
		{r.Resume, `UPDATE messages SET state = 'queued' WHERE tenant_id = $1 AND template = ANY ($2) AND state = 'held'`},
	} {
		if len(change.templates) == 0 {
			continue
		}
		if _, err := tx.Exec(ctx, change.sql, tenant, change.templates); err != nil {
			return fmt.Errorf("take messages back: %w", err)
		}
	}
	return nil
}

func release(ctx context.Context, tx pgx.Tx, tenant string, d message.Draft) error {
	_, err := tx.Exec(ctx, `UPDATE messages SET state = 'queued', facts = $3, due_at = now(), next_try_at = now()
		WHERE tenant_id = $1 AND template = $2 AND state = 'held'`, tenant, string(d.Template), d.Facts)
	if err != nil {
		return fmt.Errorf("release message %s: %w", d.Template, err)
	}
	return nil
}

// row is a message to insert. A reminder without times is due now and never too late.
type row struct {
	message.Reminder
	to         Recipient
	state      string
	generation int64
	contact    *vault.Contact
}

// rowsOf lists the messages that an event asks for. The tenant's are about its present life: what another service says
// of a former one comes too late for anybody to hear it.
func rowsOf(ctx context.Context, tx pgx.Tx, e events.Event, r message.Reaction, contact *vault.Contact, operators []Recipient) ([]row, error) {
	var rows []row
	for _, d := range r.Alert {
		for _, to := range operators {
			rows = append(rows, row{Reminder: message.Reminder{Draft: d}, to: to, state: "queued"})
		}
	}
	if len(r.Send)+len(r.Schedule)+len(r.Hold) == 0 {
		return rows, nil
	}
	life, err := lifeOf(ctx, tx, e.Subject)
	if err != nil || e.Time.Before(life.bornAt) {
		return rows, err
	}
	for _, d := range r.Send {
		rows = append(rows, row{Reminder: message.Reminder{Draft: d}, to: Owner, state: "queued", generation: life.generation})
	}
	for _, reminder := range r.Schedule {
		rows = append(rows, row{Reminder: reminder, to: Owner, state: "queued", generation: life.generation})
	}
	for _, d := range r.Hold {
		rows = append(rows, row{message.Reminder{Draft: d}, Owner, "held", life.generation, contact})
	}
	return rows, nil
}

func insert(ctx context.Context, tx pgx.Tx, e events.Event, r row) error {
	_, err := tx.Exec(ctx, `INSERT INTO messages (id, tenant_id, template, facts, event_id, correlation_id, recipient,
			state, generation, contact, due_at, next_try_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, now()), coalesce($11, now()), $12)
		ON CONFLICT (id) DO NOTHING`,
		messageID(e, r.Template, r.Rung, r.to), e.Subject, string(r.Template), r.Facts, e.ID, e.CorrelationID, string(r.to),
		r.state, r.generation, r.contact, timeOrNull(r.At), timeOrNull(r.Expires))
	if err != nil {
		return fmt.Errorf("store message %s: %w", r.Template, err)
	}
	return nil
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Claim takes up to limit messages to these recipients that are due, for a lease: until it ends no other sender takes them. They are in the
// order of their events.
func Claim(ctx context.Context, q pg.Querier, to []Recipient, limit int, lease time.Duration) ([]Message, error) {
	rows, err := q.Query(ctx, `UPDATE messages SET next_try_at = now() + $2, attempts = attempts + 1
		WHERE id IN (SELECT id FROM messages WHERE state = 'queued' AND recipient = ANY ($3) AND next_try_at <= now()
			ORDER BY next_try_at, created_at LIMIT $1 FOR UPDATE SKIP LOCKED)
		RETURNING id, tenant_id, template, facts, event_id, correlation_id, recipient, contact, attempts, due_at, generation,
			coalesce((SELECT profile->>'locale' FROM tenants t WHERE t.tenant_id = messages.tenant_id), '')`, limit, lease, to)
	if err != nil {
		return nil, fmt.Errorf("claim messages: %w", err)
	}
	claimed, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Message])
	if err != nil {
		return nil, fmt.Errorf("claim messages: %w", err)
	}
	// An UPDATE returns its rows in any order.
	slices.SortFunc(claimed, func(a, b Message) int { return a.DueAt.Compare(b.DueAt) })
	return claimed, nil
}

// StillDue reports whether a claimed message is still to be sent: it may have been superseded since. One that is too
// late, or about a life of the tenant that is over, is superseded now, unless it carries its own address: that is the
// farewell to that very life.
func StillDue(ctx context.Context, q pg.Querier, id string) (bool, error) {
	var due bool
	err := q.QueryRow(ctx, `
		WITH judged AS (
			SELECT m.id, coalesce(m.expires_at > now(), true) AND (m.recipient IN ('operator', 'operator_chat') OR m.contact IS NOT NULL
				OR m.generation = coalesce(t.generation, 0) AND NOT coalesce(t.gone, false)) AS due
			FROM messages m LEFT JOIN tenants t USING (tenant_id) WHERE m.id = $1 AND m.state = 'queued'
		), dropped AS (
			UPDATE messages SET state = 'superseded', ended_at = now() WHERE id IN (SELECT id FROM judged WHERE NOT due)
		)
		SELECT coalesce((SELECT due FROM judged), false)`, id).Scan(&due)
	if err != nil {
		return false, fmt.Errorf("look up message %s: %w", id, err)
	}
	return due, nil
}

// Supersede closes a message that is not to be sent any more.
func Supersede(ctx context.Context, q pg.Querier, id string) error {
	_, err := q.Exec(ctx, `UPDATE messages SET state = 'superseded', contact = NULL, ended_at = now() WHERE id = $1 AND state IN ('held', 'queued')`, id)
	if err != nil {
		return fmt.Errorf("take message %s back: %w", id, err)
	}
	return nil
}

// End closes a message for good, with the reason why it failed or none, and forgets whom it reached. It reports false
// when another sender has ended it already.
func End(ctx context.Context, tx pgx.Tx, id, failure string) (ended bool, err error) {
	state := "sent"
	if failure != "" {
		state = "failed"
	}
	// A message that was taken back while it was on its way has been sent all the same.
	tag, err := tx.Exec(ctx, `UPDATE messages SET state = $2, contact = NULL, error = nullif($3, ''), ended_at = now()
		WHERE id = $1 AND state IN ('held', 'queued', 'superseded')`, id, state, failure)
	if err != nil {
		return false, fmt.Errorf("end message %s: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}

// Postpone gives messages back for a later try. Those that never reached the server do not count the attempt.
func Postpone(ctx context.Context, q pg.Querier, ids []string, reason string, after time.Duration, counts bool) error {
	_, err := q.Exec(ctx, `UPDATE messages SET next_try_at = now() + $3, error = $2, attempts = attempts - CASE WHEN $4 THEN 0 ELSE 1 END
		WHERE id = ANY ($1) AND state IN ('held', 'queued')`, ids, reason, after, counts)
	if err != nil {
		return fmt.Errorf("postpone messages: %w", err)
	}
	return nil
}

// life is a tenant's present one; the zero value where its beginning was never seen.
type life struct {
	generation int64
	bornAt     time.Time
}

// begin notes that a life begins or ends.
func begin(ctx context.Context, tx pgx.Tx, e events.Event, l *message.Life) error {
	if l == nil {
		return nil
	}
	bornAt := e.Time
	if l.Ended {
		bornAt = time.Time{} // only where the beginning was not seen
	}
	_, err := tx.Exec(ctx, `INSERT INTO tenants AS t (tenant_id, generation, born_at, gone) VALUES ($1, $2, $3, $4)
		ON CONFLICT (tenant_id) DO UPDATE SET generation = EXCLUDED.generation, gone = EXCLUDED.gone,
			born_at = CASE WHEN EXCLUDED.gone THEN t.born_at ELSE EXCLUDED.born_at END`,
		e.Subject, l.Generation, bornAt, l.Ended)
	if err != nil {
		return fmt.Errorf("note the life of %s: %w", e.Subject, err)
	}
	return nil
}

func lifeOf(ctx context.Context, q pg.Querier, tenant string) (l life, err error) {
	err = q.QueryRow(ctx, `SELECT generation, born_at FROM tenants WHERE tenant_id = $1`, tenant).Scan(&l.generation, &l.bornAt)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return life{}, fmt.Errorf("look up the life of %s: %w", tenant, err)
	}
	return l, nil
}

// Now is the database's clock.
func Now(ctx context.Context, q pg.Querier) (now time.Time, err error) {
	if err = q.QueryRow(ctx, `SELECT now()`).Scan(&now); err != nil {
		return now, fmt.Errorf("read the clock: %w", err)
	}
	return now, nil
}
