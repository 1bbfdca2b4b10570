// Package app is what deletion does: it erases the stores when the lifecycle asks for it, reads them again until they
// are empty, signs the certificate, and looks later whether anything came back.
//
// Whatever takes long is a job: a row, written with the event that asks for it, and carried out by the worker that holds
// its lease. Nothing outside happens in a transaction; the outcome, the facts and the answer are stored together.
package app

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/services/connectors"
	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/store"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/jobs"
	"tenure/shared/pg"
	"tenure/shared/retention"
	"tenure/shared/vault"
)

// Participant is the name under which the service takes part in steps.
const Participant = "deletion"

const actor = "service:" + Participant

// Config of an App. Zero values are the defaults but for Day.
type Config struct {
	// Day is how long a day of the sweeps is: 24 hours but in tests.
	Day time.Duration
	// Workers is how many jobs run side by side in this process; 0 is 4.
	Workers int
	// Lease is how long a job stays with a worker that is not heard of; 0 is 10 s. A killed worker's job waits as long,
	// and an erasing under way ends a tenth of it after a hold was placed.
	Lease time.Duration
	// Backoff is the wait after the n-th failure, from 1; nil doubles from a second up to 30 s.
	Backoff func(failures int) time.Duration
}

// Documents keeps certificates where auditors find them. Put writes a document whole or not at all; again does no harm.
type Documents interface {
	Put(ctx context.Context, key string, document []byte) error
}

// Store is what deletion needs of a store; every connectors.Connector has it.
type Store interface {
	Name() string
	Traits() connectors.Traits
	Bytes(ctx context.Context, of connectors.Scope) (int64, error)
	Erase(ctx context.Context, of connectors.Scope) (connectors.Counts, error)
	Verify(ctx context.Context, of connectors.Scope) (connectors.Counts, error)
}

// Parts are what an App works with.
type Parts struct {
	DB  *pgxpool.Pool
	Log *eventlog.Log
	// Stores are erased in this order.
	Stores []Store
	// Policy names the classes of data that outlive a tenant.
	Policy    retention.Policy
	Vault     *vault.Vault
	Documents Documents
	Signer    certificate.Signer
	// Bucket has the certificates that a restored database forgot, and States the lifecycle's state of each tenant, as its log
	// has it now: what Reapply goes by.
	Bucket Bucket
	States func(ctx context.Context) (map[string]string, error)
}

// App is safe for concurrent use.
type App struct {
	Parts
	cfg  Config
	jobs *jobs.Workers[store.Job]
}

// New returns an App.
func New(parts Parts, cfg Config) *App {
	if cfg.Workers == 0 {
		cfg.Workers = 4
	}
	if cfg.Lease == 0 {
		cfg.Lease = jobs.DefaultLease
	}
	if cfg.Backoff == nil {
		cfg.Backoff = jobs.Backoff
	}
	a := &App{Parts: parts, cfg: cfg}
	claim := func(ctx context.Context) (*store.Job, error) { return store.Claim(ctx, a.DB, cfg.Lease) }
	a.jobs = jobs.New(jobs.Config{Workers: cfg.Workers}, claim, a.process)
	return a
}

// Committed is called after an event was taken in: it may have left a job, and an answer to publish.
func (a *App) Committed() {
	a.Log.Kick()
	a.jobs.Wake()
}

// Run works until ctx ends. What is under way then is broken off and given back, to go on with what is left.
func (a *App) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.jobs.Run(ctx) })
	g.Go(func() error { return a.sweep(ctx) })
	return g.Wait()
}

// inTx commits what fn stores and publishes the events among it.
func (a *App) inTx(ctx context.Context, fn func(tx pgx.Tx) error) error {
	err := pg.WithTx(ctx, a.DB, fn)
	if err == nil {
		a.Log.Kick()
	}
	return err
}

// cause is the event that something is told because of.
type cause struct {
	tenant, id, correlation, traceParent string
}

func causeOf(j *store.Job) cause { return cause{j.TenantID, j.CauseID, j.CorrelationID, j.TraceParent} }

// tell adds facts, and behind them the answer to a step if there is one, to the tenant's log; inTx publishes them.
func (a *App) tell(ctx context.Context, tx pgx.Tx, c cause, answer *events.StepAnswer, facts ...events.Payload) error {
	var told []events.Event
	for _, fact := range facts {
		e, err := events.New(fact, c.tenant)
		if err != nil {
			return err
		}
		told = append(told, e)
	}
	if answer != nil {
		name := events.StepCompletedName
		if answer.Error != "" {
			name = events.StepFailedName
		}
		e, err := events.Answer(c.tenant, name, *answer)
		if err != nil {
			return err
		}
		told = append(told, e)
	}
	for i := range told {
		told[i].Actor, told[i].CorrelationID, told[i].CausationID, told[i].TraceParent = actor, c.correlation, c.id, c.traceParent
	}
	return a.Log.Append(ctx, tx, eventlog.Entry{Stream: c.tenant, Events: told})
}

func completed(stepID string, result json.RawMessage) *events.StepAnswer {
	return &events.StepAnswer{StepID: stepID, Participant: Participant, Result: result}
}

func failed(stepID, reason string, permanent bool) *events.StepAnswer {
	return &events.StepAnswer{StepID: stepID, Participant: Participant, Error: reason, Permanent: permanent}
}
