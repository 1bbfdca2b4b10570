// Package store keeps the notifier's messages.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/notifier/internal/message"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/vault"
)

// owner is the one recipient there is: the tenant's contact. Ids are made of this role and not of the address, which
// would outlive its deletion in them, and which may change between two tries.
const owner = "owner"

// Message is a row that is to be sent.
type Message struct {
	ID            string
	Tenant        string
	Template      message.Template
	Facts         message.Facts
	EventID       string
	CorrelationID string
	// Contact is set on a message that outlives the vault's.
	Contact   *vault.Contact
	Attempts  int
	CreatedAt time.Time
}

// messageID is the same whenever the same event asks for the same mail.
func messageID(e events.Event, t message.Template) string {
	sum := sha256.Sum256([]byte(e.Source + "\n" + e.ID + "\n" + string(t) + "\n" + owner))
	return hex.EncodeToString(sum[:16])
}

// Store writes what an event asks for, in the transaction that claims it. contact is that of held messages; nil: nobody
// is known.
func Store(ctx context.Context, tx pgx.Tx, e events.Event, r message.Reaction, contact *vault.Contact) error {
	if err := supersede(ctx, tx, e.Subject, r.Supersede); err != nil {
		return err
	}
	for _, d := range r.Send {
		if err := insert(ctx, tx, e, d, "queued", nil); err != nil {
			return err
		}
	}
	for _, d := range r.Hold {
		if err := insert(ctx, tx, e, d, "held", contact); err != nil {
			return err
		}
	}
	for _, d := range r.Release {
		if err := release(ctx, tx, e.Subject, d); err != nil {
			return err
		}
	}
	return nil
}

func insert(ctx context.Context, tx pgx.Tx, e events.Event, d message.Draft, state string, contact *vault.Contact) error {
	_, err := tx.Exec(ctx, `INSERT INTO messages (id, tenant_id, template, facts, event_id, correlation_id, state, contact)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING`,
		messageID(e, d.Template), e.Subject, string(d.Template), d.Facts, e.ID, e.CorrelationID, state, contact)
	if err != nil {
		return fmt.Errorf("store message %s: %w", d.Template, err)
	}
	return nil
}

func release(ctx context.Context, tx pgx.Tx, tenant string, d message.Draft) error {
	_, err := tx.Exec(ctx, `UPDATE messages SET state = 'queued', facts = $3, next_try_at = now()
		WHERE tenant_id = $1 AND template = $2 AND state = 'held'`, tenant, string(d.Template), d.Facts)
	if err != nil {
		return fmt.Errorf("release message %s: %w", d.Template, err)
	}
	return nil
}

func supersede(ctx context.Context, tx pgx.Tx, tenant string, templates []message.Template) error {
	if len(templates) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `UPDATE messages SET state = 'superseded', contact = NULL, ended_at = now()
		WHERE tenant_id = $1 AND template = ANY ($2) AND state IN ('held', 'queued')`, tenant, templates)
	if err != nil {
		return fmt.Errorf("supersede messages: %w", err)
	}
	return nil
}

// Claim takes up to limit messages that are due, for a lease: until it ends no other sender takes them. They are in the
// order of their events.
func Claim(ctx context.Context, q pg.Querier, limit int, lease time.Duration) ([]Message, error) {
	rows, err := q.Query(ctx, `UPDATE messages SET next_try_at = now() + $2, attempts = attempts + 1
		WHERE id IN (SELECT id FROM messages WHERE state = 'queued' AND next_try_at <= now()
			ORDER BY next_try_at, created_at LIMIT $1 FOR UPDATE SKIP LOCKED)
		RETURNING id, tenant_id, template, facts, event_id, correlation_id, contact, attempts, created_at`, limit, lease)
	if err != nil {
		return nil, fmt.Errorf("claim messages: %w", err)
	}
	claimed, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Message])
	if err != nil {
		return nil, fmt.Errorf("claim messages: %w", err)
	}
	// An UPDATE returns its rows in any order.
	slices.SortFunc(claimed, func(a, b Message) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return claimed, nil
}

// StillQueued reports whether the message is still to be sent: it may have been superseded since it was claimed.
func StillQueued(ctx context.Context, q pg.Querier, id string) (bool, error) {
	var queued bool
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM messages WHERE id = $1 AND state = 'queued')`, id).Scan(&queued)
	if err != nil {
		return false, fmt.Errorf("look up message %s: %w", id, err)
	}
	return queued, nil
}

// End closes a message for good, with the reason why it failed or none, and forgets whom it reached. It reports false
// when another sender has ended it already.
func End(ctx context.Context, tx pgx.Tx, id, failure string) (ended bool, err error) {
	state := "sent"
	if failure != "" {
		state = "failed"
	}
	// A message that was superseded while it was on its way has been sent all the same.
	tag, err := tx.Exec(ctx, `UPDATE messages SET state = $2, contact = NULL, error = nullif($3, ''), ended_at = now()
		WHERE id = $1 AND state IN ('queued', 'superseded')`, id, state, failure)
	if err != nil {
		return false, fmt.Errorf("end message %s: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}

// Postpone gives messages back for a later try. Those that never reached the server do not count the attempt.
func Postpone(ctx context.Context, q pg.Querier, ids []string, reason string, after time.Duration, counts bool) error {
	_, err := q.Exec(ctx, `UPDATE messages SET next_try_at = now() + $3, error = $2, attempts = attempts - CASE WHEN $4 THEN 0 ELSE 1 END
		WHERE id = ANY ($1) AND state = 'queued'`, ids, reason, after, counts)
	if err != nil {
		return fmt.Errorf("postpone messages: %w", err)
	}
	return nil
}
