package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tenure/shared/pg"
)

// ActState is where something stands that somebody did by a link.
type ActState string

// The states. What ended as ActRefused or ActFailed changed nothing, and may be tried again.
const (
	ActQueued  ActState = "queued" // the command is to be sent
	ActSent    ActState = "sent"   // the bus has it
	ActTaken   ActState = "taken"  // the lifecycle does it
	ActDone    ActState = "done"
	ActRefused ActState = "refused"
	ActFailed  ActState = "failed"
)

// Act is a command that somebody gave by a link.
type Act struct {
	// ID is that of the link's token.
	ID     string
	Tenant string
	// MailID is the campaign mail that the link came with; empty without one.
	MailID string
	// Actor stands in the lifecycle's log.
	Actor string
	// CommandID is the command's on the bus, the same whenever it is published.
	CommandID   string
	CommandType string
	Data        json.RawMessage
	State       ActState
	// Reason is why nothing came of it.
	Reason string
}

// Over reports whether nothing more comes of the act.
func (a Act) Over() bool { return a.State == ActDone || a.CameToNothing() }

// CameToNothing reports whether the link may be used again.
func (a Act) CameToNothing() bool { return a.State == ActRefused || a.State == ActFailed }

const actColumns = `id, tenant_id, mail_id, actor, command_id, command_type, data, state, reason`

// BeginAct stores what is to be done, unless something was done by that link already: false then. CommandID and State are
// given here.
func BeginAct(ctx context.Context, q pg.Querier, a Act) (began bool, err error) {
	tag, err := q.Exec(ctx, `INSERT INTO acts AS a (id, tenant_id, mail_id, actor, command_id, command_type, data)
		VALUES ($1, $2, $3, $4, $1, $5, $6)
		ON CONFLICT (id) DO UPDATE SET state = 'queued', tries = a.tries + 1, command_id = a.id || '-' || (a.tries + 1),
			command_type = excluded.command_type, data = excluded.data, operation_id = '', reason = '', created_at = now(), ended_at = NULL
		WHERE a.state IN ('refused', 'failed')`, a.ID, a.Tenant, a.MailID, a.Actor, a.CommandType, a.Data)
	if err != nil {
		return false, fmt.Errorf("store what a link of %s asks for: %w", a.Tenant, err)
	}
	return tag.RowsAffected() == 1, nil
}

// ActByID reads what was done by a link; nil: nothing.
func ActByID(ctx context.Context, q pg.Querier, id string) (*Act, error) {
	list, err := acts(ctx, q, `id = $1`, id)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// QueuedActs lists up to limit acts whose commands are to be sent, the oldest first.
func QueuedActs(ctx context.Context, q pg.Querier, limit int) ([]Act, error) {
	return acts(ctx, q, `state = 'queued' ORDER BY created_at LIMIT $1`, limit)
}

func acts(ctx context.Context, q pg.Querier, where string, args ...any) ([]Act, error) {
	rows, err := q.Query(ctx, `SELECT `+actColumns+` FROM acts WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read what was done by links: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Act])
}

// ActOnBus notes that the bus has a command.
func ActOnBus(ctx context.Context, q pg.Querier, commandID string) error {
	return changeAct(ctx, q, `UPDATE acts SET state = 'sent' WHERE command_id = $1 AND state = 'queued'`, commandID)
}

// ActTakenUp notes the operation that a command began.
func ActTakenUp(ctx context.Context, q pg.Querier, commandID, operationID string) error {
	return changeAct(ctx, q, `UPDATE acts SET state = 'taken', operation_id = $2 WHERE command_id = $1 AND state IN ('queued', 'sent')`,
		commandID, operationID)
}

// EndAct notes what came of a command that was done or refused at once.
func EndAct(ctx context.Context, q pg.Querier, commandID string, state ActState, reason string) error {
	return changeAct(ctx, q, `UPDATE acts SET state = $2, reason = $3, ended_at = now() WHERE command_id = $1 AND state IN ('queued', 'sent')`,
		commandID, state, reason)
}

// EndOperation notes what came of the operation that a command began. It returns the campaign mail behind it, or "".
func EndOperation(ctx context.Context, q pg.Querier, operationID string, state ActState, reason string) (mailID string, err error) {
	err = q.QueryRow(ctx, `UPDATE acts SET state = $2, reason = $3, ended_at = now() WHERE operation_id = $1 AND state = 'taken'
		RETURNING mail_id`, operationID, state, reason).Scan(&mailID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("note what came of operation %s: %w", operationID, err)
	}
	return mailID, nil
}

func changeAct(ctx context.Context, q pg.Querier, sql string, args ...any) error {
	if _, err := q.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("note what came of command %s: %w", args[0], err)
	}
	return nil
}

// Generation is the tenant's present life as far as events have told; 0: they have told nothing of it.
func Generation(ctx context.Context, q pg.Querier, tenant string) (int64, error) {
	l, err := lifeOf(ctx, q, tenant)
	return l.generation, err
}
