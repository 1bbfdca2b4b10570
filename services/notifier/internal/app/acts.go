package app

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/notifier/internal/store"
	"tenure/shared/events"
	"tenure/shared/pg"
)

// Publisher puts an event on the bus and waits until it is there: *bus.Bus is one.
type Publisher interface {
	Publish(ctx context.Context, e events.Event) error
}

// Acts sends the commands that people give by links. Several processes may: the same command has the same id, by which the
// lifecycle knows it.
type Acts struct {
	db   *pgxpool.Pool
	bus  Publisher
	wake chan struct{}
}

// NewActs returns a sender of commands that Run starts.
func NewActs(db *pgxpool.Pool, bus Publisher) *Acts {
	return &Acts{db: db, bus: bus, wake: make(chan struct{}, 1)}
}

// Kick says that there is something to send. It never blocks.
func (a *Acts) Kick() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends. While the bus or the database is away, commands wait.
func (a *Acts) Run(ctx context.Context) error {
	pause := firstPause
	for ctx.Err() == nil {
		sent, err := a.sendAll(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			slog.WarnContext(ctx, "what people asked for by links waits", "for", pause, "error", err)
			rest(ctx, pause, nil)
			pause = min(2*pause, lastPause)
		case sent < batch:
			pause = firstPause
			rest(ctx, pollPeriod, a.wake)
		default:
			pause = firstPause
		}
	}
	return nil
}

func (a *Acts) sendAll(ctx context.Context) (sent int, err error) {
	queued, err := store.QueuedActs(ctx, a.db, batch)
	if err != nil {
		return 0, err
	}
	for _, act := range queued {
		command := events.Event{
			ID: act.CommandID, Source: eventSource, Type: act.CommandType, Subject: act.Tenant, Time: time.Now(),
			CorrelationID: act.CommandID, Actor: act.Actor, Data: act.Data,
		}
		if err := a.bus.Publish(ctx, command); err != nil {
			return sent, err
		}
		if err := store.ActOnBus(ctx, a.db, act.CommandID); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

// heardByActs are the events that tell what came of a command.
var heardByActs = func() map[string]bool {
	types := map[string]bool{}
	for _, p := range []events.Payload{
		&events.CommandRefused{}, &events.DowngradeCancelled{}, &events.ReactivationStarted{}, &events.ProvisioningStarted{},
		&events.TenantReactivated{}, &events.ReactivationFailed{}, &events.TenantActivated{}, &events.ProvisioningFailed{},
	} {
		types[p.EventType()] = true
	}
	return types
}()

// takeAct notes what an event tells of something that was asked for by a link.
func takeAct(ctx context.Context, tx pgx.Tx, e events.Event) error {
	if !heardByActs[e.Type] {
		return nil
	}
	payload, err := e.Payload()
	if err != nil {
		return err
	}
	switch p := payload.(type) {
	case *events.CommandRefused:
		return store.EndAct(ctx, tx, e.CausationID, store.ActRefused, p.Message)
	case *events.DowngradeCancelled:
		return store.EndAct(ctx, tx, e.CausationID, store.ActDone, "")
	case *events.ReactivationStarted:
		return store.ActTakenUp(ctx, tx, e.CausationID, p.Operation.ID)
	case *events.ProvisioningStarted:
		return store.ActTakenUp(ctx, tx, e.CausationID, p.Operation.ID)
	case *events.ReactivationFailed:
		return endOperation(ctx, tx, p.OperationID, store.ActFailed, p.Error)
	case *events.ProvisioningFailed:
		return endOperation(ctx, tx, p.OperationID, store.ActFailed, p.Error)
	case *events.TenantReactivated:
		return endOperation(ctx, tx, p.OperationID, store.ActDone, "")
	case *events.TenantActivated:
		return endOperation(ctx, tx, p.OperationID, store.ActDone, "")
	}
	return nil
}

// endOperation also spends the offer of a return that came true.
func endOperation(ctx context.Context, q pg.Querier, operationID string, state store.ActState, reason string) error {
	mailID, err := store.EndOperation(ctx, q, operationID, state, reason)
	if err != nil || mailID == "" || state != store.ActDone {
		return err
	}
	return store.OfferUsed(ctx, q, mailID)
}
