// Package app runs exports: it takes them from the lifecycle's events, writes the archives, watches over them and shows
// them.
package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/services/connectors"
	"tenure/services/export/internal/blob"
	"tenure/services/export/internal/contribution"
	"tenure/services/export/internal/store"
	"tenure/shared/egress"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/jobs"
	"tenure/shared/pg"
	"tenure/shared/plans"
)

// Config of an App. Zero values are the defaults but for Day.
type Config struct {
	// Day is how long a day of the retention is: 24 hours but in tests.
	Day time.Duration
	// Plans rank the tenants' exports in the queue.
	Plans plans.Catalogue
	// Egress is where participants' files may lie.
	Egress egress.Policy
	// Workers is how many exports run side by side in this process; 0 is 2.
	Workers int
	// Lease is how long a job stays with a worker that is not heard of; 0 is 10 s. A killed worker's job waits as long.
	Lease time.Duration
	// Poll is how soon a worker finds a job that another process has taken in, or whose time has come; 0 is 1 s.
	Poll time.Duration
	// Backoff is the wait after the n-th failure, from 1; nil doubles from a second up to 30 s.
	Backoff func(failures int) time.Duration
}

const (
	// keepDays is how long an archive stays, in days.
	keepDays = 30
	// maxFailures is after how many failures an export has failed. Waiting for S3 or a store counts none.
	maxFailures = 5
	actor       = "service:export"
)

// App is safe for concurrent use.
type App struct {
	db           *pgxpool.Pool
	log          *eventlog.Log
	blobs        *blob.Store
	stores       []connectors.Connector
	participants *contribution.Client
	cfg          Config
	jobs         *jobs.Workers[store.Job]
}

// New makes an App that exports what the stores hold, and the service's own history of the tenant.
func New(db *pgxpool.Pool, log *eventlog.Log, blobs *blob.Store, stores []connectors.Connector, cfg Config) *App {
	if cfg.Workers == 0 {
		cfg.Workers = 2
	}
	if cfg.Lease == 0 {
		cfg.Lease = jobs.DefaultLease
	}
	if cfg.Backoff == nil {
		cfg.Backoff = jobs.Backoff
	}
	a := &App{
		db: db, log: log, blobs: blobs, cfg: cfg,
		stores:       append(append([]connectors.Connector{}, stores...), store.History(db)),
		participants: contribution.NewClient(cfg.Egress),
	}
	a.jobs = jobs.New(jobs.Config{Workers: cfg.Workers, Poll: cfg.Poll}, a.claim, a.process)
	return a
}

// Wake tells an idle worker that there may be a job. Calling it for nothing is harmless.
func (a *App) Wake() { a.jobs.Wake() }

// Run works until ctx ends. Exports under way are given back then, for another process to go on with.
func (a *App) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.jobs.Run(ctx) })
	g.Go(func() error { return a.sweep(ctx) })
	return g.Wait()
}

// claim takes a job, and tells so when it is taken for the first time.
func (a *App) claim(ctx context.Context) (job *store.Job, err error) {
	err = a.inTx(ctx, func(tx pgx.Tx) error {
		job, err = store.Claim(ctx, tx, a.cfg.Lease)
		if err != nil || job == nil || job.Epoch > 1 || job.CancelRequested {
			return err
		}
		return a.emit(ctx, tx, job, &events.ArchiveStarted{ExportID: job.ExportID})
	})
	return job, err
}

// inTx commits what fn stores and publishes the events among it.
func (a *App) inTx(ctx context.Context, fn func(tx pgx.Tx) error) error {
	err := pg.WithTx(ctx, a.db, fn)
	if err == nil {
		a.log.Kick()
	}
	return err
}

// emit adds an event about an export to the log; inTx publishes it.
func (a *App) emit(ctx context.Context, tx pgx.Tx, job *store.Job, payload events.Payload) error {
	if payload = told(job, payload); payload == nil {
		return nil
	}
	e, err := events.New(payload, job.TenantID)
	if err != nil {
		return err
	}
	e.Actor, e.CorrelationID, e.CausationID = actor, job.CorrelationID, job.CausationID
	return a.log.Append(ctx, tx, eventlog.Entry{Stream: job.TenantID, Events: []events.Event{e}})
}

// sweep removes archives that have expired, and uploads whose writers are dead, and looks for exports that are late, until
// ctx ends.
func (a *App) sweep(ctx context.Context) error {
	// Often enough for days of seconds.
	tick := time.NewTicker(min(a.cfg.Day, time.Minute))
	defer tick.Stop()
	for {
		if err := errors.Join(a.expire(ctx), a.abortUploads(ctx), a.alertOverdue(ctx)); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "the archives could not be looked after; it is tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

const sweepLimit = 100

func (a *App) expire(ctx context.Context) error {
	due, err := store.Due(ctx, a.db, sweepLimit)
	if err != nil {
		return err
	}
	var failed []error
	for _, job := range due {
		if err := a.blobs.Remove(ctx, blob.Key(job.TenantID, job.ExportID)); err != nil {
			failed = append(failed, err)
			continue
		}
		failed = append(failed, a.inTx(ctx, func(tx pgx.Tx) error { return a.expired(ctx, tx, job) }))
	}
	return errors.Join(failed...)
}

// expired notes that a job's archive is gone.
func (a *App) expired(ctx context.Context, tx pgx.Tx, job *store.Job) error {
	first, err := store.Expire(ctx, tx, job.ExportID)
	if err != nil || !first {
		return err
	}
	return a.emit(ctx, tx, job, &events.ArchiveExpired{ExportID: job.ExportID})
}

// abortUploads gives up uploads that no open export goes on with: an export notes that it begins one before it does, and
// the list of uploads is older than what the exports have noted.
func (a *App) abortUploads(ctx context.Context) error {
	return a.blobs.AbortUploads(ctx, func(exportIDs []string) (map[string]string, error) {
		return store.Uploads(ctx, a.db, exportIDs)
	})
}
