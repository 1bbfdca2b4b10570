package clickhouse

import (
	"context"
	"fmt"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/remote"
	"tenure/shared/fault"
)

// patience is how long one Erase waits for the server to rewrite a table's parts. Large ones take hours: the caller asks again.
const patience = time.Minute

// Erase drops the tenant's partition, where it has one, and deletes by a mutation elsewhere. It is done when the server has
// rewritten the parts; the old ones leave its disk after old_parts_lifetime, 8 minutes unless set otherwise. A lightweight DELETE
// would be quicker, but only hides the rows and leaves them on the disk until some merge.
func (s *Store) Erase(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.each(ctx, "erase", of, erase)
}

func erase(ctx context.Context, r rows) (int64, error) {
	n, err := r.count(ctx, "")
	if err != nil || n == 0 {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.store.patience)
	defer cancel()
	if r.partition != "" {
		err = r.alter(ctx, "DROP PARTITION "+r.partition)
	} else {
		err = r.mutate(ctx)
	}
	if err != nil {
		return 0, err
	}
	left, err := r.count(ctx, "")
	if err != nil {
		return 0, err
	}
	if left > 0 {
		err = fault.RetryAfter(fmt.Errorf("%d of %d rows are still there, or were written since", left, n), connectors.RetryDelay)
	}
	return n - left, err
}

// waiting are the settings that make a server wait until all replicas have done a change, by their names in its versions. One
// that knows none of them waits for itself; its replicas follow.
const waiting = `'mutations_sync', 'alter_sync', 'replication_alter_partitions_sync'`

// alter changes the table and waits for the replicas, where the server can.
func (r rows) alter(ctx context.Context, change string) error {
	known, err := query[struct {
		Name string `json:"name"`
	}](ctx, r.store, `SELECT name FROM system.settings WHERE name IN (`+waiting+`)`)
	if err != nil {
		return err
	}
	with := settings{}
	for _, setting := range known {
		with[setting.Name] = "2"
	}
	return r.store.exec(ctx, "ALTER TABLE "+r.from()+" "+change, with)
}

// mutate deletes the rows. A mutation goes on whatever becomes of who asked for it, so that one that is under way is waited for
// rather than asked for again.
func (r rows) mutate(ctx context.Context) error {
	under, err := r.mutations(ctx)
	if err != nil {
		return err
	}
	if len(under) == 0 {
		if err := r.alter(ctx, "DELETE WHERE "+r.where); err != nil {
			return err
		}
	}
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		under, err := r.mutations(ctx)
		if err != nil || len(under) == 0 {
			return err
		}
		if reason := under[0].FailReason; reason != "" {
			return &remote.Words{Brief: fmt.Sprintf("mutation %s fails", under[0].ID), Text: reason}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("mutation %s has %d parts to do: %w", under[0].ID, under[0].Parts, ctx.Err())
		}
	}
}

// mutation is a row of system.mutations.
type mutation struct {
	ID    string `json:"mutation_id"`
	Parts int64  `json:"parts_to_do"`
	// FailReason is not there in old servers.
	FailReason string `json:"latest_fail_reason"`
}

// mutations are those under way that name the scope. The server writes their conditions anew: with other parentheses, but with
// the same literals.
func (r rows) mutations(ctx context.Context) ([]mutation, error) {
	return query[mutation](ctx, r.store, fmt.Sprintf(`SELECT * FROM system.mutations
WHERE database = %s AND table = %s AND NOT is_done AND position(command, %s) > 0 ORDER BY create_time`,
		r.database, r.name, quoteText(r.literal)))
}
