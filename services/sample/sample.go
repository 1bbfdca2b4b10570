// Package sample is a small SaaS under Tenure's care, for development, demos and tests: documents, vectors and usage of
// many tenants in shared tables. It shows what a SaaS has to do: ask the gate before each request, report usage, and
// take part in the steps of a tenant's life. What else Tenure does to its data is written in datamap.yaml.
package sample

import (
	"context"
	_ "embed"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"tenure/services/sample/internal/api"
	"tenure/services/sample/internal/app"
	"tenure/services/sample/internal/blob"
	"tenure/services/sample/internal/metering"
	"tenure/services/sample/internal/store"
	"tenure/services/sample/migrations"
	"tenure/shared/gate"
	"tenure/shared/participant"
	"tenure/shared/pg"
	"tenure/shared/plans/planfile"
	"tenure/shared/runner"
)

// DataMap lists the sample's tables for export and deletion.
//
//go:embed datamap.yaml
var DataMap []byte

// name is the sample's as a participant, and its schema's.
const name = "sample"

// stepTimeout bounds a step: to move gigabytes from one capacity to another takes longer than the default.
const stepTimeout = 10 * time.Minute

// Settings of the sample.
type Settings struct {
	// URL is that of Tenure's HTTP API; empty is this process's own.
	URL string `env:"TENURE_URL"`
	// Token is an operator's, for the registration as a participant.
	Token string `env:"TENURE_TOKEN" envDefault:"dev"`
	// Bucket takes the documents that a lower plan has no room for; AWS_* reach it.
	Bucket string `env:"TENURE_S3_BUCKET,required"`
	// Plans is the path of the plan file; the default plans hold without one.
	Plans string `env:"TENURE_PLANS"`
}

// Service is the running sample.
type Service struct {
	gate        *gate.Gate
	relay       *metering.Relay
	participant participant.Config
	registered  atomic.Bool
}

// New wires the sample. It refuses to be anything but a sample: its routes ask nobody who they are.
func New(ctx context.Context, deps runner.Deps) (runner.Service, error) {
	if deps.Env != "dev" {
		return nil, errors.New("the sample SaaS has no sign-in and is for development alone: set TENURE_ENV=dev, or do not run it")
	}
	var settings Settings
	if err := deps.Environ.Parse(&settings); err != nil {
		return nil, err
	}
	if settings.URL == "" {
		settings.URL = "http://" + deps.HTTPAddr
	}
	offer, err := planfile.Load(settings.Plans)
	if err != nil {
		return nil, err
	}
	db, err := deps.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := pg.MigrateSet(ctx, db, "service", migrations.Files); err != nil {
		return nil, err
	}
	archives, err := blob.Open(ctx, settings.Bucket, func(name string) string { return deps.Environ[name] })
	if err != nil {
		return nil, err
	}
	rows := store.New(db)
	s := &Service{gate: gate.New(gate.Config{Plans: offer.Plans}), relay: metering.New(rows, deps.Bus)}
	application := app.New(s.gate, rows, archives, s.relay.Kick)
	api.Register(deps.API, deps.Auth, application)
	s.participant = participant.Config{
		Name: name, Conn: deps.Bus.Conn(), Actions: application.Actions(), Hints: application.Hints(), NeedsDrain: true, Timeout: stepTimeout,
		ControlURL: settings.URL, Token: settings.Token, Registered: func() { s.registered.Store(true) },
	}
	return s, nil
}

// Run serves until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.gate.Run(ctx, s.participant.Conn) })
	group.Go(func() error { return s.relay.Run(ctx) })
	group.Go(func() error { return participant.Run(ctx, s.participant) })
	return group.Wait()
}

// Ready waits for the registration too: a tenant that signs up before it gets no capacity here.
func (s *Service) Ready(context.Context) error {
	switch {
	case !s.gate.Ready():
		return errors.New("the gate still reads tenants' access from the bus")
	case !s.registered.Load():
		return errors.New("not registered as a participant yet")
	}
	return nil
}
