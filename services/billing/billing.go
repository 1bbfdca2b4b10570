// Package billing is the service that moves money: it carries out at Stripe what the lifecycle asks for, takes in
// Stripe's webhooks, tells whether tenants have paid, and meters what they use.
package billing

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/services/billing/internal/api"
	"tenure/services/billing/internal/app"
	"tenure/services/billing/internal/meter"
	"tenure/services/billing/internal/prune"
	"tenure/services/billing/internal/reconcile"
	"tenure/services/billing/internal/store"
	"tenure/services/billing/internal/stripeapi"
	"tenure/services/billing/internal/webhook"
	"tenure/services/billing/migrations"
	"tenure/shared/bus"
	"tenure/shared/eventlog"
	"tenure/shared/inbox"
	"tenure/shared/pg"
	"tenure/shared/plans"
	"tenure/shared/plans/planfile"
	"tenure/shared/query"
	"tenure/shared/runner"
)

const (
	// schema is the service's own in PostgreSQL.
	schema = "billing"
	// partitions is how many transactions may append to the log side by side.
	partitions = 4
	// quoteTimeout bounds a quote: whoever asks gives up after two seconds, and estimates.
	quoteTimeout = 1900 * time.Millisecond
)

// settings of the service, from the environment. Each secret may come from a file instead (X_FILE).
type settings struct {
	// APIKey is Stripe's secret key; a restricted one needs customers, subscriptions and their schedules, usage records,
	// invoices, charges, prices and events.
	APIKey string `env:"STRIPE_API_KEY,required"`
	// APIBase is Stripe's address, or a simulator's.
	APIBase string `env:"STRIPE_API_BASE" envDefault:"https://api.stripe.com"`
	// WebhookSecrets are the endpoint's signing secrets, comma-separated: two while one is rotated.
	WebhookSecrets string `env:"STRIPE_WEBHOOK_SECRET,required"`
	// Rate is how many calls to Stripe this process makes in a second. Stripe allows an account 100 with live keys and 25
	// with test keys ("Rate limits"): share them out among the processes.
	Rate float64 `env:"TENURE_STRIPE_RATE" envDefault:"80"`
	// PollInterval is how often Stripe's events are looked through for missed webhooks.
	PollInterval time.Duration `env:"TENURE_STRIPE_POLL_INTERVAL" envDefault:"60s"`
	// UsageInterval is how often use that costs money is reported to Stripe. What is used between the last report and the
	// end of a period is charged in the next one.
	UsageInterval time.Duration `env:"TENURE_USAGE_REPORT_INTERVAL" envDefault:"1h"`
	// ReconcileInterval is how often what Stripe has live is held against the log.
	ReconcileInterval time.Duration `env:"TENURE_RECONCILE_INTERVAL" envDefault:"1h"`
	// Plans is the plan file; empty: the default plans.
	Plans string `env:"TENURE_PLANS"`
}

// check refuses settings by which nothing would ever be asked of Stripe.
func (s settings) check() error {
	switch {
	case s.PollInterval <= 0:
		return fmt.Errorf("TENURE_STRIPE_POLL_INTERVAL is %v: give a time like 60s", s.PollInterval)
	case s.UsageInterval <= 0:
		return fmt.Errorf("TENURE_USAGE_REPORT_INTERVAL is %v: give a time like 1h", s.UsageInterval)
	case s.ReconcileInterval <= 0:
		return fmt.Errorf("TENURE_RECONCILE_INTERVAL is %v: give a time like 1h", s.ReconcileInterval)
	case s.Rate <= 0:
		return fmt.Errorf("TENURE_STRIPE_RATE is %v: give a number of calls a second, like 80", s.Rate)
	}
	return nil
}

// Service is the running part.
type Service struct {
	settings settings
	offer    plans.Offer
	bus      *bus.Bus
	db       *pgxpool.Pool
	log      *eventlog.Log
	store    *store.Store
	stripe   *stripeapi.Client
	app      *app.App
	drift    *reconcile.Reconciler
}

// New implements runner.New.
func New(ctx context.Context, deps runner.Deps) (runner.Service, error) {
	s := &Service{bus: deps.Bus}
	if err := deps.Environ.Parse(&s.settings); err != nil {
		return nil, err
	}
	secrets, err := webhook.Secrets(s.settings.WebhookSecrets)
	if err != nil {
		return nil, err
	}
	if err := s.settings.check(); err != nil {
		return nil, err
	}
	if s.offer, err = planfile.Load(s.settings.Plans); err != nil {
		return nil, err
	}
	if s.db, err = deps.Open(ctx, schema); err != nil {
		return nil, err
	}
	if err := pg.MigrateSet(ctx, s.db, "service", migrations.Files); err != nil {
		return nil, err
	}
	if err := inbox.Migrate(ctx, s.db); err != nil {
		return nil, err
	}
	if s.log, err = eventlog.Open(ctx, s.db, eventlog.Config{Service: schema, Partitions: partitions}); err != nil {
		return nil, err
	}
	s.store = store.New(s.db, s.log)
	s.stripe = stripeapi.New(stripeapi.Config{
		Key: s.settings.APIKey, Base: s.settings.APIBase, Catalogue: s.offer.Plans, Usage: s.offer.Usage, Rate: s.settings.Rate,
	})
	s.app = app.New(s.store, s.stripe, s.offer.Plans, time.Now)
	s.drift = reconcile.New(s.store, s.stripe, s.app, s.offer.Plans)
	(&api.API{Reconciler: s.drift}).Register(deps.API)
	deps.Mux.Handle(webhook.Path, webhook.Handler(secrets, s.store))
	return s, nil
}

// Run implements runner.Service.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.log.Relay(ctx, s.bus) })
	// One reactor per source: each keeps a tenant's order, and work for the lifecycle does not wait behind news.
	g.Go(func() error { return s.react(ctx, "billing", "tenure.events.lifecycle.>") })
	g.Go(func() error { return s.react(ctx, "billing-stripe", "tenure.events.stripe.>") })
	g.Go(func() error {
		return s.bus.Consume(ctx, bus.ConsumerConfig{
			Name: "billing-usage", Stream: bus.StreamUsage, Whole: true, Handler: meter.Handler(s.store, s.offer, time.Now),
		})
	})
	g.Go(func() error { return s.bus.Answer(ctx, query.BillingQuote, s.quote) })
	for _, loop := range []func(){
		func() { webhook.Poll(ctx, s.stripe, s.store, s.settings.PollInterval) },
		func() { meter.Report(ctx, s.store, s.offer.Plans) },
		func() { meter.NewInvoices(s.store, s.stripe, s.offer).Run(ctx, s.settings.UsageInterval) },
		func() { s.drift.Run(ctx, s.settings.ReconcileInterval, reconcile.Settle) },
		func() { prune.Daily(ctx, "webhook events", s.store.PruneNotices) },
		func() { prune.Daily(ctx, "ids of usage", s.store.PruneUsage) },
	} {
		g.Go(func() error { // it goes on until ctx ends, and tells of its failures by itself
			loop()
			return nil
		})
	}
	return g.Wait()
}

// quote answers what a change of plan would cost.
func (s *Service) quote(ctx context.Context, question []byte) (any, error) {
	var q query.QuoteRequest
	if err := json.Unmarshal(question, &q); err != nil {
		return nil, fmt.Errorf("read the question: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, quoteTimeout)
	defer cancel()
	return s.app.Quote(ctx, q)
}

func (s *Service) react(ctx context.Context, consumer, subjects string) error {
	return s.bus.Consume(ctx, bus.ConsumerConfig{
		Name: consumer, Stream: bus.StreamEvents, Filters: []string{subjects},
		Handler: inbox.Reactor(s.db, consumer, app.Wants, s.app.React, s.log.Kick),
	})
}

// Ready implements runner.Service. Stripe is not asked: without it webhooks are still taken, and the rest waits.
func (s *Service) Ready(ctx context.Context) error { return s.db.Ping(ctx) }
