// Package notifier is the service that tells people what happens to their tenant, once per event, by mail.
package notifier

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/services/notifier/internal/app"
	"tenure/services/notifier/internal/channel"
	"tenure/services/notifier/internal/message"
	"tenure/services/notifier/migrations"
	"tenure/shared/bus"
	"tenure/shared/eventlog"
	"tenure/shared/inbox"
	"tenure/shared/pg"
	"tenure/shared/runner"
)

// schema is the service's own in PostgreSQL, and its name on the bus.
const schema = "notifier"

// settings of the service, from the environment.
type settings struct {
	// SMTPURL is the mail server: smtp://user:password@host:587, or smtps://host.
	SMTPURL string `env:"SMTP_URL,required"`
	// From is the sender of all mails.
	From string `env:"TENURE_MAIL_FROM" envDefault:"Tenure <tenure@localhost>"`
	// PublicURL is where people reach Tenure, for the links in mails; empty is this process's own address.
	PublicURL string `env:"TENURE_PUBLIC_URL"`
}

// Service is the running part.
type Service struct {
	bus     *bus.Bus
	db      *pgxpool.Pool
	log     *eventlog.Log
	reactor *app.Reactor
	sender  *app.Sender
}

// New implements runner.New.
func New(ctx context.Context, deps runner.Deps) (runner.Service, error) {
	var settings settings
	if err := deps.Environ.Parse(&settings); err != nil {
		return nil, err
	}
	if deps.Vault == nil {
		return nil, errors.New("TENURE_VAULT_KEY is not set; mails need a vault for their addresses")
	}
	if settings.PublicURL == "" {
		settings.PublicURL = "http://" + deps.HTTPAddr
	}
	smtp, err := channel.NewSMTP(settings.SMTPURL, settings.From)
	if err != nil {
		return nil, err
	}
	s := &Service{bus: deps.Bus}
	if s.db, err = deps.Open(ctx, schema); err != nil {
		return nil, err
	}
	if err := pg.MigrateSet(ctx, s.db, "service", migrations.Files); err != nil {
		return nil, err
	}
	if err := inbox.Migrate(ctx, s.db); err != nil {
		return nil, err
	}
	if s.log, err = eventlog.Open(ctx, s.db, eventlog.Config{Service: schema}); err != nil {
		return nil, err
	}
	s.reactor = app.NewReactor(s.db, deps.Vault)
	s.sender = app.NewSender(s.db, deps.Vault, s.log, smtp, strings.TrimRight(settings.PublicURL, "/"))
	return s, nil
}

// Run implements runner.Service.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.log.Relay(ctx, s.bus) })
	g.Go(func() error { return s.sender.Run(ctx) })
	g.Go(func() error {
		// All of the lifecycle's events, to see gaps; what the other services report comes back as one of these.
		return s.bus.Consume(ctx, bus.ConsumerConfig{
			Name: schema, Stream: bus.StreamEvents, Filters: []string{"tenure.events.lifecycle.>"},
			Handler: inbox.Reactor(s.db, schema, message.Wants, s.reactor.React, s.sender.Kick),
		})
	})
	return g.Wait()
}

// Ready implements runner.Service. The mail server is not asked: without it messages are still taken in, and wait.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.db.Ping(ctx); err != nil {
		return fmt.Errorf("the notifier's database: %w", err)
	}
	return nil
}
