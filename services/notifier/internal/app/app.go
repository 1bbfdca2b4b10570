// Package app turns events into messages and sees to it that each leaves.
package app

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/notifier/internal/message"
	"tenure/services/notifier/internal/store"
	"tenure/shared/events"
	"tenure/shared/inbox"
	"tenure/shared/vault"
)

// Reactor stores the messages that events ask for.
type Reactor struct {
	db    *pgxpool.Pool
	vault *vault.Vault
}

// NewReactor returns a reactor on the notifier's database.
func NewReactor(db *pgxpool.Pool, v *vault.Vault) *Reactor { return &Reactor{db, v} }

// React implements inbox.React.
func (r *Reactor) React(ctx context.Context, e events.Event) (inbox.Commit, error) {
	reaction, err := message.ReactionTo(e)
	if err != nil {
		return nil, err
	}
	var contact *vault.Contact
	if len(reaction.Hold) > 0 {
		// Now or never: when a later event releases the message, the vault has forgotten the contact.
		known, err := r.vault.GetAll(ctx, r.db, []string{e.Subject})
		if err != nil {
			return nil, fmt.Errorf("look up whom to tell: %w", err)
		}
		if c, ok := known[e.Subject]; ok {
			contact = &c
		}
	}
	return func(ctx context.Context, tx pgx.Tx) error {
		return store.Store(ctx, tx, e, reaction, contact)
	}, nil
}
