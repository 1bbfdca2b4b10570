package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tenure/shared/events"
	"tenure/shared/pg"
)

// Follow computes the link of an event that came over the bus, which carries no hash, and keeps it as the end of its
// tenant's chain in the table chains (tenant_id, version, hash) of the caller's schema. The link follows from the events
// alone, as long as each of one log comes once and in order: call it in the transaction in which the inbox took e.
//
// A tenant whose first events passed before the caller followed has no end that could be known: its Head is zero, and
// nothing is kept.
func Follow(ctx context.Context, tx pgx.Tx, e events.Event) (Head, error) {
	last, err := Followed(ctx, tx, e.Subject)
	if err != nil || last.Version+1 != e.Sequence {
		return Head{}, err
	}
	head := Head{Version: e.Sequence, Hash: ChainHash(last.Hash, e.Subject, e)}
	_, err = tx.Exec(ctx, `INSERT INTO chains (tenant_id, version, hash) VALUES ($1, $2, $3)
		ON CONFLICT (tenant_id) DO UPDATE SET version = excluded.version, hash = excluded.hash`, e.Subject, head.Version, head.Hash)
	if err != nil {
		return Head{}, fmt.Errorf("keep the hash chain of %s: %w", e.Subject, err)
	}
	return head, nil
}

// Followed returns the end of a tenant's chain that Follow has kept, the zero Head when there is none.
func Followed(ctx context.Context, q pg.Querier, tenant string) (h Head, err error) {
	err = q.QueryRow(ctx, `SELECT version, hash FROM chains WHERE tenant_id = $1`, tenant).Scan(&h.Version, &h.Hash)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return h, fmt.Errorf("read the hash chain of %s: %w", tenant, err)
	}
	return h, nil
}
