package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/connectors"
	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/internal/store"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/jobs"
)

const (
	// maxFailures is after how many failures a step is answered as failed, and an erasure that is no step called stuck. The
	// lifecycle then calls an operator and asks again; what is no step is tried on and on.
	maxFailures = 5
	// settleTimeout bounds what is stored about a job after its work has ended or was interrupted.
	settleTimeout = 30 * time.Second
)

// process takes a claimed job as far as it goes and stores how far that was.
func (a *App) process(ctx context.Context, job *store.Job) error {
	l := a.lease(ctx, job)
	err := l.Reason(a.work(job)(l))
	l.Release()
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	return a.settle(settle, job, err)
}

// work is what a job is about.
func (a *App) work(job *store.Job) func(*lease) error {
	switch {
	case job.Operation == purge.OperationRetention:
		return a.endRetention
	case job.Operation == purge.OperationSubject:
		return a.eraseSubject
	case job.Operation == purge.OperationReapply:
		return a.reapply
	case job.Action == purge.ActionCertify:
		return a.certify
	}
	return a.clear
}

// clear erases the tenant's rows in every store, or verifies that they are erased, and answers the step.
func (a *App) clear(l *lease) error {
	keep, err := a.keptByLaw(l)
	if err != nil {
		return err
	}
	of := connectors.Tenant(l.job.TenantID)
	inventoried := a.Stores
	if l.job.Operation == purge.Operation {
		inventoried = append(inventoried[:len(inventoried):len(inventoried)], a.contacts(l.job.Generation)) // emptied by certify
	}
	if err := a.takeInventory(l, of, inventoried, keep); err != nil {
		return err
	}
	found, err := a.empty(l, of, a.Stores)
	if err != nil {
		return err
	}
	var sum counts
	for _, s := range found {
		sum.Before += s.Rows()
	}
	var facts []events.Payload
	if l.job.Action == purge.ActionErase {
		facts = erased(l.job, found)
	}
	return a.complete(l, sum, nil, facts...)
}

// counts are the result of a step, as every participant tells them.
type counts struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

func erased(j *store.Job, stores []purge.Store) []events.Payload {
	facts := make([]events.Payload, len(stores))
	for i, s := range stores {
		facts[i] = &events.StoreErased{Store: s.Name, Before: s.Rows(), OperationID: j.OperationID}
	}
	return facts
}

// complete ends the job together with what else is to be stored, tells the facts and, behind them, the answer if a
// step was asked for. It is not broken off: the epoch in the job's row decides whether it counts.
func (a *App) complete(l *lease, result any, also func(ctx context.Context, tx pgx.Tx) error, facts ...events.Payload) error {
	encoded, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("encode the result of %s: %w", l.job.Action, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.Context()), settleTimeout)
	defer cancel()
	return a.inTx(ctx, func(tx pgx.Tx) error {
		if err := store.Complete(ctx, tx, l.job, encoded); err != nil {
			return err
		}
		if also != nil {
			if err := also(ctx, tx); err != nil {
				return err
			}
		}
		var answer *events.StepAnswer
		if l.job.Asked() {
			answer = completed(l.job.StepID, encoded)
		}
		return a.tell(ctx, tx, causeOf(l.job), answer, facts...)
	})
}

// settle stores what err means for the job: it is done, given back, tried again, or failed.
func (a *App) settle(ctx context.Context, job *store.Job, err error) error {
	log := slog.With("tenant", job.TenantID, "step", job.StepID, "action", job.Action)
	var wait *settling
	switch {
	case err == nil:
		log.InfoContext(ctx, "a step of a deletion is done")
		return nil
	case errors.As(err, &wait):
		return ignoreLost(store.Postpone(ctx, a.DB, job, err.Error(), wait.left))
	case errors.Is(err, errHeld), errors.Is(err, errEarly):
		log.WarnContext(ctx, "a deletion waits", "error", err)
		return ignoreLost(store.Postpone(ctx, a.DB, job, err.Error(), holdDelay))
	case errors.Is(err, jobs.ErrLost), errors.Is(err, errOverdue), errors.Is(err, context.Canceled):
		// The process stops, or the job is not ours to do any more; whoever has it now is left alone by the epoch.
		return ignoreLost(store.Postpone(ctx, a.DB, job, err.Error(), 0))
	}
	log.WarnContext(ctx, "a step of a deletion failed", "failures", job.Failures+1, "error", reason(job, err))
	if job.Asked() {
		return a.failed(ctx, job, err)
	}
	return a.stuck(ctx, job, err)
}

// reason is what may be told of an error: a store may repeat in it what it was asked for, and so the key of a person.
func reason(job *store.Job, err error) string {
	if job.Operation == purge.OperationSubject {
		return "see GET /v1/subject-erasures/" + job.OperationID
	}
	return err.Error()
}

// failed tries a step again, or answers that it failed.
func (a *App) failed(ctx context.Context, job *store.Job, err error) error {
	if job.Failures+1 < maxFailures && !fault.IsPermanent(err) {
		return ignoreLost(store.Retry(ctx, a.DB, job, err.Error(), a.cfg.Backoff(job.Failures+1)))
	}
	return ignoreLost(a.inTx(ctx, func(tx pgx.Tx) error {
		if err := store.Fail(ctx, tx, job, err.Error()); err != nil {
			return err
		}
		return a.tell(ctx, tx, causeOf(job), failed(job.StepID, err.Error(), fault.IsPermanent(err)))
	}))
}

// stuck tries again what nobody would ask for again, and tells once that it is of no use so far.
func (a *App) stuck(ctx context.Context, job *store.Job, err error) error {
	return ignoreLost(a.inTx(ctx, func(tx pgx.Tx) error {
		if err := store.Retry(ctx, tx, job, err.Error(), a.cfg.Backoff(job.Failures+1)); err != nil {
			return err
		}
		if job.Failures+1 != maxFailures {
			return nil
		}
		return a.tell(ctx, tx, causeOf(job), nil, &events.ErasureStuck{
			OperationID: job.OperationID, Operation: job.Operation, Error: reason(job, err),
		})
	}))
}

func ignoreLost(err error) error {
	if errors.Is(err, jobs.ErrLost) {
		return nil
	}
	return err
}

// names are those of the stores that this service erases.
func (a *App) names() []string {
	names := make([]string, len(a.Stores))
	for i, s := range a.Stores {
		names[i] = s.Name()
	}
	return names
}
