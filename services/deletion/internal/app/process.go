package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
	// maxFailures is after how many failures the step is answered as failed. The lifecycle then calls an operator, and
	// asks again.
	maxFailures = 5
	// settleTimeout bounds what is stored about a job after its work has ended or was interrupted.
	settleTimeout = 30 * time.Second
)

// process takes a claimed job as far as it goes and stores how far that was.
func (a *App) process(ctx context.Context, job *store.Job) error {
	l := a.lease(ctx, job)
	work := a.clear
	if job.Action == purge.ActionCertify {
		work = a.certify
	}
	err := l.Reason(work(l))
	l.Release()
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	return a.settle(settle, job, err)
}

// clear erases every store, or verifies that it is erased, and answers the step. One store that fails does not keep the
// others waiting; the step is done when all of them were found empty in one go.
func (a *App) clear(l *lease) error {
	var wrong []error
	for _, s := range a.Stores {
		err := a.clearStore(l, s)
		if stops(l, err) {
			return err
		}
		wrong = append(wrong, err)
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	counted, err := store.Counted(l.Context(), a.DB, l.job.TenantID, l.job.OperationID)
	if err != nil {
		return err
	}
	var sum counts
	var facts []events.Payload
	for _, s := range counted {
		if !slices.Contains(a.names(), s.Name) {
			continue // a participant's: it answers for itself
		}
		fact := erased(l.job, s)
		sum.Before, sum.After = sum.Before+fact.Before, sum.After+fact.After
		if l.job.Action == purge.ActionErase {
			facts = append(facts, fact)
		}
	}
	return a.complete(l, sum, facts...)
}

// counts are the result of a step, as every participant tells them.
type counts struct {
	Before int64 `json:"before"`
	After  int64 `json:"after"`
}

func erased(j *store.Job, s purge.Store) *events.StoreErased {
	fact := &events.StoreErased{Store: s.Name, OperationID: j.OperationID}
	if s.Before != nil {
		fact.Before = *s.Before
	}
	if s.After != nil {
		fact.After = *s.After
	}
	return fact
}

// stops reports whether err concerns the job as a whole, rather than one store.
func stops(l *lease, err error) bool {
	return l.Context().Err() != nil || errors.Is(err, errHeld) || errors.Is(err, errOverdue) || errors.Is(err, jobs.ErrLost)
}

// clearStore empties one store and reads it again. What a verification finds was written after the erasing, or was never
// erased by a store that said so: it is erased as well.
func (a *App) clearStore(l *lease, s Store) error {
	found, err := s.Verify(l.Context(), connectors.Tenant(l.job.TenantID))
	if err != nil {
		return err
	}
	if found.Total() > 0 || l.job.Action == purge.ActionErase {
		if err := store.Begin(l.Context(), a.DB, l.job, s.Name(), found.Total()); err != nil {
			return err
		}
		err := l.destroy(func(ctx context.Context) error {
			_, err := s.Erase(ctx, connectors.Tenant(l.job.TenantID))
			return err
		})
		if err != nil {
			return err
		}
		if found, err = s.Verify(l.Context(), connectors.Tenant(l.job.TenantID)); err != nil {
			return err
		}
	}
	if err := store.Found(l.Context(), a.DB, l.job, s.Name(), found.Total()); err != nil {
		return err
	}
	if n := found.Total(); n > 0 {
		return fmt.Errorf("store %s says that it erased everything, but holds %d rows: %v", s.Name(), n, found)
	}
	return nil
}

// complete ends the job and answers its step, behind the facts. It is not broken off: the epoch in the job's row decides
// whether it counts.
func (a *App) complete(l *lease, result any, facts ...events.Payload) error {
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
		return a.tell(ctx, tx, causeOf(l.job), completed(l.job.StepID, encoded), facts...)
	})
}

// settle stores what err means for the job: it is done, given back, tried again, or failed.
func (a *App) settle(ctx context.Context, job *store.Job, err error) error {
	log := slog.With("tenant", job.TenantID, "step", job.StepID, "action", job.Action)
	switch {
	case err == nil:
		log.InfoContext(ctx, "a step of a deletion is done")
		return nil
	case errors.Is(err, errHeld):
		log.WarnContext(ctx, "a deletion waits", "error", err)
		return ignoreLost(store.Postpone(ctx, a.DB, job, err.Error(), holdDelay))
	case errors.Is(err, jobs.ErrLost), errors.Is(err, errOverdue), errors.Is(err, context.Canceled):
		// The process stops, or the job is not ours to do any more; whoever has it now is left alone by the epoch.
		return ignoreLost(store.Postpone(ctx, a.DB, job, err.Error(), 0))
	}
	log.WarnContext(ctx, "a step of a deletion failed", "failures", job.Failures+1, "error", err)
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
