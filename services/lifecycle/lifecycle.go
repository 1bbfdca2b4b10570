// Package lifecycle is the service that owns the tenants' state machine: commands in, events out. Its log is the one
// truth about tenants; every other service reacts to it.
package lifecycle

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/services/lifecycle/internal/api"
	"tenure/services/lifecycle/internal/app"
	"tenure/services/lifecycle/internal/gates"
	"tenure/shared/bus"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/gate"
	"tenure/shared/inbox"
	"tenure/shared/pg"
	"tenure/shared/query"
	"tenure/shared/runner"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema is the service's part of the database.
const Schema = "lifecycle"

// factsConsumer reads what the other services say, in the order in which each said it.
const factsConsumer = "lifecycle-facts"

const (
	// deadLetterDays is how many days a dead letter keeps its content when nobody mends its cause.
	deadLetterDays = 30
	// deadLetterSweep is how often they are looked through.
	deadLetterSweep = time.Hour
)

type service struct {
	db     *pgxpool.Pool
	bus    *bus.Bus
	log    *eventlog.Log
	engine *app.Engine
	api    *api.API
	gates  *gates.Watch
	day    time.Duration
}

// New builds the service and registers its routes.
func New(ctx context.Context, d runner.Deps) (runner.Service, error) {
	var settings app.Settings
	if err := d.Environ.Parse(&settings); err != nil {
		return nil, err
	}
	if err := settings.Check(); err != nil {
		return nil, err
	}
	if d.Vault == nil {
		return nil, errors.New("TENURE_VAULT_KEY is not set; sign-ups need a vault for their personal data")
	}
	config, err := settings.Config(d.Day)
	if err != nil {
		return nil, err
	}
	db, err := d.Open(ctx, Schema)
	if err != nil {
		return nil, err
	}
	log, err := eventlog.Open(ctx, db, eventlog.Config{Service: Schema, Partitions: settings.Partitions})
	if err != nil {
		return nil, err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(inbox.Migrate(ctx, db), pg.MigrateSet(ctx, db, "lifecycle", files)); err != nil {
		return nil, err
	}
	s := &service{db: db, bus: d.Bus, log: log, day: d.Day}
	s.gates = gates.New(func(ctx context.Context, step gates.Step) error {
		return s.engine.GatesApplied(ctx, step.Tenant, step.ID, step.Attempt)
	})
	config.GatesLive = s.gates.Alive
	engine := app.NewEngine(db, log, d.Vault, config)
	s.engine = engine
	if err := engine.ReloadParticipants(ctx); err != nil {
		return nil, err
	}
	s.api = &api.API{Engine: engine, DB: db, Log: log, Vault: d.Vault, Quoter: asker{d.Bus}, Stores: asker{d.Bus}}
	s.api.Register(d.API)
	return s, nil
}

// Run serves until ctx ends. The engine outlives those that feed it, so that what they have begun is finished.
func (s *service) Run(ctx context.Context) error {
	engine, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	background, _ := errgroup.WithContext(engine)
	background.Go(func() error { return s.engine.Run(engine) })
	background.Go(func() error { return s.log.Relay(engine, s.bus) })

	feeders, ctx := errgroup.WithContext(ctx)
	feeders.Go(func() error { return s.engine.RunTimers(ctx) })
	feeders.Go(func() error { return s.engine.RunMonitor(ctx) })
	feeders.Go(func() error { return s.engine.RunIdle(ctx) })
	feeders.Go(func() error { return s.expireDeadLetters(ctx) })
	feeders.Go(func() error { return s.gates.Run(ctx, s.bus) })
	feeders.Go(func() error { return s.bus.Answer(ctx, gate.SnapshotQuery, gates.Snapshot(s.db)) })
	feeders.Go(func() error { return s.bus.Answer(ctx, query.LifecycleTenant, s.api.AnswerTenant) })
	feeders.Go(func() error { return s.bus.Answer(ctx, query.LifecyclePreview, s.api.AnswerPreview) })
	for _, c := range s.consumers() {
		feeders.Go(func() error { return s.bus.Consume(ctx, c) })
	}
	err := feeders.Wait()
	stopEngine()
	return errors.Join(err, background.Wait())
}

func (s *service) consumers() []bus.ConsumerConfig {
	return []bus.ConsumerConfig{
		{Name: "lifecycle-commands", Stream: bus.StreamCommands, Handler: s.engine.HandleCommands, Whole: true, Erase: personal},
		{
			Name: "lifecycle-steps", Stream: bus.StreamEvents, Handler: s.engine.HandleAnswers, Whole: true,
			Filters: []string{"tenure.events.*.*.step.completed", "tenure.events.*.*.step.failed"},
		},
		{
			Name: factsConsumer, Stream: bus.StreamEvents,
			Filters: []string{"tenure.events.billing.>", "tenure.events.export.>", "tenure.events.deletion.>"},
			Handler: inbox.Reactor(s.db, factsConsumer, app.WantsFact, s.engine.ReactToFact, nil),
		},
	}
}

// personal picks the commands that do not stay on the bus when they are handled: a registration has a name and an address,
// a deletion may repeat the name to confirm it, and what cannot be read may be either.
func personal(m bus.Message) bool {
	switch m.Event.Type {
	case (*events.Register)(nil).EventType(), (*events.Delete)(nil).EventType(), "":
		return true
	}
	return false
}

// expireDeadLetters takes the content of old dead letters, of all services, away until ctx ends.
func (s *service) expireDeadLetters(ctx context.Context) error {
	tick := time.NewTicker(min(s.day, deadLetterSweep))
	defer tick.Stop()
	for {
		n, err := bus.ExpireDeadLetters(ctx, s.db, deadLetterDays*s.day)
		switch {
		case err != nil && ctx.Err() == nil:
			slog.WarnContext(ctx, "old dead letters keep their content; it is tried again", "error", err)
		case n > 0:
			slog.WarnContext(ctx, "dead letters that nobody mended lost their content", "count", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Ready tells whether commands can be taken.
func (s *service) Ready(ctx context.Context) error { return s.db.Ping(ctx) }

// asker asks other services over the bus.
type asker struct{ bus *bus.Bus }

func (a asker) Quote(ctx context.Context, r query.QuoteRequest) (quote query.Quote, err error) {
	err = a.bus.Ask(ctx, query.BillingQuote, r, &quote)
	return quote, err
}

func (a asker) Inventory(ctx context.Context, r query.InventoryRequest) (found query.Inventory, err error) {
	err = a.bus.Ask(ctx, query.DeletionInventory, r, &found)
	return found, err
}
