// Package notifier is the service that tells people by mail, and tenants' systems by webhooks, what happens to their
// tenant, once per event, and reminds people of what is going to happen unless they act.
package notifier

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/services/notifier/campaigns"
	"tenure/services/notifier/internal/api"
	"tenure/services/notifier/internal/app"
	"tenure/services/notifier/internal/channel"
	"tenure/services/notifier/internal/link"
	"tenure/services/notifier/internal/message"
	"tenure/services/notifier/internal/pages"
	"tenure/services/notifier/internal/store"
	"tenure/services/notifier/migrations"
	"tenure/shared/bus"
	"tenure/shared/eventlog"
	"tenure/shared/inbox"
	"tenure/shared/pg"
	"tenure/shared/plans/planfile"
	"tenure/shared/runner"
	"tenure/shared/vault"
)

const (
	// schema is the service's own in PostgreSQL, and its name on the bus.
	schema = "notifier"
	// factsConsumer takes what other services than the lifecycle tell.
	factsConsumer = "notifier-facts"
)

// settings of the service, from the environment.
type settings struct {
	// SMTPURL is the mail server: smtp://user:password@host:587, or smtps://host.
	SMTPURL string `env:"SMTP_URL,required"`
	// From is the sender of all mails.
	From string `env:"TENURE_MAIL_FROM" envDefault:"Tenure <tenure@localhost>"`
	// PublicURL is where people reach Tenure, for the links in mails; empty is this process's own address.
	PublicURL string `env:"TENURE_PUBLIC_URL"`
	// OperatorMail is who is told when Tenure cannot go on by itself; empty is nobody.
	OperatorMail string `env:"TENURE_OPERATOR_MAIL"`
	// SlackWebhook is the incoming webhook of the room where operators are, in Slack or what understands Slack's form.
	SlackWebhook string `env:"TENURE_SLACK_WEBHOOK"`
	// MailTemplates is a folder with mails in place of ours, <locale>/<template>.txt; empty: none.
	MailTemplates string `env:"TENURE_MAIL_TEMPLATES"`
	// Campaigns is the path of the campaign file; empty: no campaigns.
	Campaigns string `env:"TENURE_CAMPAIGNS"`
	// Plans is the path of the plan file, as the lifecycle has it.
	Plans string `env:"TENURE_PLANS"`
}

// operator reads OperatorMail, "Name <address>" or an address alone.
func (s settings) operator() (vault.Contact, error) {
	if s.OperatorMail == "" {
		return vault.Contact{}, nil
	}
	address, err := mail.ParseAddress(s.OperatorMail)
	if err != nil {
		return vault.Contact{}, fmt.Errorf("TENURE_OPERATOR_MAIL: %w", err)
	}
	return vault.Contact{Name: address.Name, Email: address.Address}, nil
}

// operators are how those are alerted.
func (s settings) operators() (to []store.Recipient) {
	if s.OperatorMail != "" {
		to = append(to, store.Operator)
	}
	if s.SlackWebhook != "" {
		to = append(to, store.OperatorChat)
	}
	return to
}

// mails are ours, under the operator's own.
func (s settings) mails() (*message.Set, error) {
	if s.MailTemplates == "" {
		return message.NewSet(nil)
	}
	set, err := message.NewSet(os.DirFS(s.MailTemplates))
	if err != nil {
		return nil, fmt.Errorf("mail templates in %s (TENURE_MAIL_TEMPLATES):\n%w", s.MailTemplates, err)
	}
	return set, nil
}

// channels are the ways out that are set up.
func (s settings) channels() ([]app.Channel, error) {
	smtp, err := channel.NewSMTP(s.SMTPURL, s.From)
	if err != nil {
		return nil, err
	}
	channels := []app.Channel{{Name: channel.NameSMTP, Letters: smtp, To: []store.Recipient{store.Owner, store.Operator}}}
	if s.SlackWebhook != "" {
		chat, err := channel.NewChat(s.SlackWebhook)
		if err != nil {
			return nil, err
		}
		channels = append(channels, app.Channel{Name: channel.NameChat, Letters: chat, To: []store.Recipient{store.OperatorChat}})
	}
	return channels, nil
}

// Service is the running part.
type Service struct {
	bus       *bus.Bus
	db        *pgxpool.Pool
	log       *eventlog.Log
	reactor   *app.Reactor
	senders   []*app.Sender
	hooks     *app.Webhooks
	campaigns *app.Campaigns
	acts      *app.Acts
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
	channels, err := settings.channels()
	if err != nil {
		return nil, err
	}
	operator, err := settings.operator()
	if err != nil {
		return nil, err
	}
	mails, err := settings.mails()
	if err != nil {
		return nil, err
	}
	file, err := campaigns.Load(settings.Campaigns)
	if err != nil {
		return nil, err
	}
	offer, err := planfile.Load(settings.Plans)
	if err != nil {
		return nil, err
	}
	s := &Service{bus: deps.Bus}
	if err := s.openDatabase(ctx, deps); err != nil {
		return nil, err
	}
	house := app.House{BaseURL: strings.TrimRight(settings.PublicURL, "/"), Operator: operator, Mails: mails}
	house.Links = link.New(house.BaseURL, deps.Vault.Secret("links"))
	asking := lifecycle{deps.Bus}
	s.campaigns = app.NewCampaigns(s.db, app.CampaignConfig{
		File: file, Plans: offer.Plans, Day: deps.Day, Live: asking.live, Asked: s.kickSenders, Links: house.Links,
	})
	for _, c := range channels {
		s.senders = append(s.senders, app.NewSender(s.db, deps.Vault, s.log, c, house, s.campaigns))
	}
	rules := message.Rules{Day: deps.Day, Plans: offer.Plans}
	s.reactor = app.NewReactor(s.db, deps.Vault, rules, settings.operators(), s.campaigns)
	s.acts = app.NewActs(s.db, deps.Bus)
	(&pages.Pages{DB: s.db, Links: house.Links, Lifecycle: asking, Asked: s.acts.Kick}).Register(deps.Mux)
	s.hooks = app.NewWebhooks(s.db, deps.Vault, s.log, deps.Egress(), deps.Day, s.kickSenders)
	(&api.API{DB: s.db, Webhooks: s.hooks, Egress: deps.Egress(), Day: deps.Day, Plans: offer.Plans}).Register(deps.API)
	(&api.Mails{Set: mails, BaseURL: house.BaseURL}).Register(deps.API)
	return s, nil
}

func (s *Service) openDatabase(ctx context.Context, deps runner.Deps) (err error) {
	if s.db, err = deps.Open(ctx, schema); err != nil {
		return err
	}
	if err := pg.MigrateSet(ctx, s.db, "service", migrations.Files); err != nil {
		return err
	}
	if err := inbox.Migrate(ctx, s.db); err != nil {
		return err
	}
	s.log, err = eventlog.Open(ctx, s.db, eventlog.Config{Service: schema})
	return err
}

// Run implements runner.Service.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.log.Relay(ctx, s.bus) })
	for _, sender := range s.senders {
		g.Go(func() error { return sender.Run(ctx) })
	}
	g.Go(func() error { return s.hooks.Run(ctx) })
	g.Go(func() error { return s.campaigns.Run(ctx) })
	g.Go(func() error { return s.acts.Run(ctx) })
	// All of a service's events, wanted or not: only so do gaps in their sequences show. The facts go by themselves, so that
	// a tenant's many reports of usage do not keep it from hearing of its suspension.
	g.Go(func() error { return s.react(ctx, schema, "tenure.events.lifecycle.>") })
	g.Go(func() error {
		return s.react(ctx, factsConsumer, "tenure.events.billing.>", "tenure.events.export.>", "tenure.events.deletion.>")
	})
	return g.Wait()
}

func (s *Service) react(ctx context.Context, consumer string, subjects ...string) error {
	return s.bus.Consume(ctx, bus.ConsumerConfig{
		Name: consumer, Stream: bus.StreamEvents, Filters: subjects,
		Handler: inbox.Reactor(s.db, consumer, app.Wants, s.reactor.React, s.kick),
	})
}

// kick says that an event was taken in: it may have asked for mails and for calls.
func (s *Service) kick() {
	s.kickSenders()
	s.hooks.Kick()
}

func (s *Service) kickSenders() {
	for _, sender := range s.senders {
		sender.Kick()
	}
}

// Ready implements runner.Service. The mail server is not asked: without it messages are still taken in, and wait.
func (s *Service) Ready(ctx context.Context) error {
	if err := s.db.Ping(ctx); err != nil {
		return fmt.Errorf("the notifier's database: %w", err)
	}
	return nil
}
