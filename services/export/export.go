// Package export is the service that turns everything a tenant has into one archive that can be verified.
package export

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/services/connectors/datamap"
	"tenure/services/connectors/s3"
	"tenure/services/export/internal/app"
	"tenure/services/export/internal/blob"
	"tenure/shared/bus"
	"tenure/shared/eventlog"
	"tenure/shared/inbox"
	"tenure/shared/pg"
	"tenure/shared/plans/planfile"
	"tenure/shared/runner"
)

// name is the service's in the bus, in the log and as its schema.
const name = "export"

//go:embed migrations/*.sql
var migrations embed.FS

// settings are the service's own, beside those of every service and the AWS_* that reach S3.
type settings struct {
	// Bucket holds the archives.
	Bucket string `env:"TENURE_S3_BUCKET,required"`
	// PublicEndpoint is the S3 server's URL in download links, where those who download see it by another name.
	PublicEndpoint string `env:"TENURE_S3_PUBLIC_URL"`
	// DataMap is the path of the file that lists the stores.
	DataMap string `env:"TENURE_DATAMAP"`
	// Plans is the path of the plan file; exports of higher plans go first.
	Plans string `env:"TENURE_PLANS"`
	// Workers is how many exports run side by side in one process; each takes some 40 MiB.
	Workers int `env:"TENURE_EXPORT_WORKERS" envDefault:"2"`
}

// service implements runner.Service.
type service struct {
	db     *pgxpool.Pool
	log    *eventlog.Log
	bus    *bus.Bus
	app    *app.App
	stores datamap.Stores
}

// New builds the service.
func New(ctx context.Context, d runner.Deps) (runner.Service, error) {
	var cfg settings
	if err := d.Environ.Parse(&cfg); err != nil {
		return nil, err
	}
	env := func(name string) string { return d.Environ[name] }
	s := &service{bus: d.Bus}
	if err := s.openDatabase(ctx, d); err != nil {
		return nil, err
	}
	blobs, err := blob.Open(ctx, blob.Settings{Server: s3.SettingsFromEnv(env), Bucket: cfg.Bucket, PublicEndpoint: cfg.PublicEndpoint})
	if err != nil {
		return nil, err
	}
	if s.stores, err = openStores(ctx, cfg.DataMap, env); err != nil {
		return nil, err
	}
	offer, err := planfile.Load(cfg.Plans)
	if err != nil {
		return nil, err
	}
	s.app = app.New(s.db, s.log, blobs, s.stores, app.Config{
		Day: d.Day, Plans: offer.Plans, Egress: d.Egress(), Workers: cfg.Workers,
	})
	s.app.Register(d.API)
	return s, nil
}

func (s *service) openDatabase(ctx context.Context, d runner.Deps) (err error) {
	if s.db, err = d.Open(ctx, name); err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := pg.MigrateSet(ctx, s.db, "service", files); err != nil {
		return err
	}
	if err := inbox.Migrate(ctx, s.db); err != nil {
		return err
	}
	s.log, err = eventlog.Open(ctx, s.db, eventlog.Config{Service: name})
	return err
}

func openStores(ctx context.Context, path string, env func(string) string) (datamap.Stores, error) {
	if path == "" {
		slog.WarnContext(ctx, "TENURE_DATAMAP is not set: archives will hold no more than the timeline and the bills")
		return nil, nil
	}
	m, err := datamap.Load(path)
	if err != nil {
		return nil, err
	}
	return m.Open(ctx, env)
}

// Run works until ctx ends.
func (s *service) Run(ctx context.Context) error {
	defer s.stores.Close()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.log.Relay(ctx, s.bus) })
	g.Go(func() error { return s.app.Run(ctx) })
	g.Go(func() error {
		return s.bus.Consume(ctx, bus.ConsumerConfig{
			Name: name, Stream: bus.StreamEvents,
			// All of both services' events, wanted or not: only so do gaps in their sequences show.
			Filters: []string{"tenure.events.lifecycle.>", "tenure.events.billing.>"},
			Handler: inbox.Reactor(s.db, name, app.Wants, s.app.React, s.app.Wake),
		})
	})
	return g.Wait()
}

// Ready reports whether the service can take requests; S3 and the stores may be down, exports wait for them.
func (s *service) Ready(ctx context.Context) error {
	if err := s.db.Ping(ctx); err != nil {
		return fmt.Errorf("the database does not answer: %w", err)
	}
	return nil
}
