// Package app turns events into messages and sees to it that each leaves.
package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/notifier/internal/campaign"
	"tenure/services/notifier/internal/message"
	"tenure/services/notifier/internal/store"
	"tenure/services/notifier/internal/webhook"
	"tenure/shared/events"
	"tenure/shared/inbox"
	"tenure/shared/vault"
)

// How the service signs what it tells.
const (
	actor       = "service:notifier"
	eventSource = "tenure/notifier"
)

// Reactor stores the messages that events ask for.
type Reactor struct {
	db    *pgxpool.Pool
	vault *vault.Vault
	rules message.Rules
	// operators are how operators are alerted; none: not at all.
	operators []store.Recipient
	campaigns *Campaigns
}

// NewReactor returns a reactor on the notifier's database. operators are how they are alerted.
func NewReactor(db *pgxpool.Pool, v *vault.Vault, rules message.Rules, operators []store.Recipient, campaigns *Campaigns) *Reactor {
	return &Reactor{db, v, rules, operators, campaigns}
}

// React implements inbox.React.
func (r *Reactor) React(ctx context.Context, e events.Event) (inbox.Commit, error) {
	reaction, err := r.rules.ReactionTo(e)
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
		if err := store.Store(ctx, tx, e, reaction, contact, r.operators...); err != nil {
			return err
		}
		if err := r.campaigns.take(ctx, tx, e); err != nil {
			return err
		}
		if err := takeAct(ctx, tx, e); err != nil {
			return err
		}
		return tellEndpoints(ctx, tx, e)
	}, nil
}

// Wants picks the events that React is called with.
func Wants(eventType string) bool {
	return message.Wants(eventType) || webhook.Wants(eventType) || campaign.Wants(eventType) || heardByActs[eventType]
}

// tellEndpoints stores the calls that an event asks for. A new life begins without the endpoints of the former one, whose
// owner may be another.
func tellEndpoints(ctx context.Context, tx pgx.Tx, e events.Event) error {
	switch e.Type {
	case (*events.TenantReborn)(nil).EventType():
		if err := errors.Join(store.ForgetEndpoints(ctx, tx, e.Subject), store.Unsuppress(ctx, tx, e.Subject)); err != nil {
			return err
		}
	case (*events.TenantPurged)(nil).EventType():
		if err := store.Close(ctx, tx, e.Subject); err != nil {
			return err
		}
	}
	if !webhook.Wants(e.Type) {
		return nil
	}
	return store.Enqueue(ctx, tx, e)
}
