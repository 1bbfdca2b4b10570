package app

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
	"tenure/services/deletion/internal/purge"
	"tenure/shared/bus"
)

// DeadLetters is what was put aside of a tenant's commands, as a store: a registration that could not be handled holds a
// name and an address.
type DeadLetters struct{ DB *pgxpool.Pool }

// Name implements Store.
func (DeadLetters) Name() string { return purge.DeadLetterStore }

// Traits implements Store.
func (DeadLetters) Traits() connectors.Traits {
	return connectors.Traits{Kind: "dead_letters", Targets: []string{"content of commands that were put aside"}}
}

// Bytes are not worth counting.
func (DeadLetters) Bytes(context.Context, connectors.Scope) (int64, error) { return 0, nil }

// Erase implements Store.
func (d DeadLetters) Erase(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return nil, bus.EraseDeadLetters(ctx, d.DB, of.Tenant)
}

// Verify implements Store.
func (d DeadLetters) Verify(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	n, err := bus.CountDeadLetters(ctx, d.DB, of.Tenant)
	return connectors.Counts{"letters": n}, err
}
