// Package metering publishes the sample's usage to the bus: at least once, with ids that billing knows again.
package metering

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"tenure/services/sample/internal/store"
	"tenure/shared/bus"
	"tenure/shared/eventlog"
	"tenure/shared/events"
)

const (
	window = 1000
	// pollPeriod finds what another process left behind, and is how long a bus that is away is left alone.
	pollPeriod = time.Second
	source     = "tenure/sample"
)

// Relay moves usage from the outbox to the bus. Two of them at once send some uses twice; their ids are the same.
type Relay struct {
	store *store.Store
	bus   *bus.Bus
	wake  chan struct{}
}

// New returns a relay that Run starts.
func New(s *store.Store, b *bus.Bus) *Relay {
	return &Relay{store: s, bus: b, wake: make(chan struct{}, 1)}
}

// Kick says that there is something in the outbox. It never blocks.
func (r *Relay) Kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run relays until ctx ends. While the bus or the database is away, usage waits in the outbox.
func (r *Relay) Run(ctx context.Context) error {
	poll := time.NewTicker(pollPeriod)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-poll.C:
		}
		if err := r.drain(ctx); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "usage waits to be published", "error", err)
			r.rest(ctx)
		}
	}
}

// rest lets failures not follow each other faster than the poll, however often Kick is called.
func (r *Relay) rest(ctx context.Context) {
	timer := time.NewTimer(pollPeriod)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// drain publishes until the outbox is empty. What the bus has confirmed is removed even when the rest failed.
func (r *Relay) drain(ctx context.Context) error {
	for {
		uses, err := r.store.Unpublished(ctx, window)
		if err != nil || len(uses) == 0 {
			return err
		}
		messages := make([]eventlog.Message, len(uses))
		for i, u := range uses {
			if messages[i], err = message(u); err != nil {
				return err
			}
		}
		confirmed, err := r.bus.PublishBatch(ctx, messages)
		if confirmed > 0 {
			if err := r.store.Published(ctx, uses[:confirmed]); err != nil {
				return err
			}
		}
		if err != nil {
			return fmt.Errorf("publish usage: %w", err)
		}
	}
}

func message(u store.Use) (eventlog.Message, error) {
	e, err := events.New(&events.UsageRecorded{Metric: u.Metric, Quantity: u.Quantity, Time: u.Time}, u.Tenant)
	if err != nil {
		return eventlog.Message{}, err
	}
	e.ID, e.Source, e.Time = u.ID, source, u.Time
	data, err := events.Encode(e)
	if err != nil {
		return eventlog.Message{}, err
	}
	return eventlog.Message{Subject: events.BusSubject(e.Type, e.Subject), ID: source + "/" + e.ID, Data: data}, nil
}
