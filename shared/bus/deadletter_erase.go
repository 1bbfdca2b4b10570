package bus

import (
	"context"
	"fmt"
	"time"

	"tenure/shared/pg"
)

// setErased takes the content of dead letters away; why is to follow, as their error. Ids, subject and times stay.
const setErased = `UPDATE bus.dead_letters SET payload = NULL, headers = '{}', reason = 'erased', replay_requested_at = NULL, error = `

// ofCommands picks the dead letters of a tenant's commands, which are all that may hold personal data: a registration, or
// what could not be read and may be one.
const ofCommands = ` WHERE subject = 'tenure.commands.' || $1 AND payload IS NOT NULL`

// EraseDeadLetters takes the content of a purged tenant's commands away for good, with all that an error may repeat of it.
// They cannot be replayed any more; its events, which hold ids alone, can.
func EraseDeadLetters(ctx context.Context, q pg.Querier, tenant string) error {
	_, err := q.Exec(ctx, setErased+`'its content was erased in the purge of its tenant'`+ofCommands, tenant)
	if err != nil {
		return fmt.Errorf("erase the dead letters of %s: %w", tenant, err)
	}
	return nil
}

// CountDeadLetters is how many dead letters EraseDeadLetters would find.
func CountDeadLetters(ctx context.Context, q pg.Querier, tenant string) (n int64, err error) {
	if err := q.QueryRow(ctx, `SELECT count(*) FROM bus.dead_letters`+ofCommands, tenant).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the dead letters of %s: %w", tenant, err)
	}
	return n, nil
}

// ExpireDeadLetters takes away the content of all that are older than age, and returns how many there were. Those that a tenant is
// parked behind keep it: they are events of Tenure's own logs, with ids alone, and without them the tenant would never go on.
func ExpireDeadLetters(ctx context.Context, q pg.Querier, age time.Duration) (int64, error) {
	tag, err := q.Exec(ctx, setErased+`'its content was erased when it was too old: nobody had mended its cause'
		WHERE received_at <= now() - $1::interval AND parked_key = '' AND payload IS NOT NULL`, age)
	if err != nil {
		return 0, fmt.Errorf("expire dead letters: %w", err)
	}
	return tag.RowsAffected(), nil
}
