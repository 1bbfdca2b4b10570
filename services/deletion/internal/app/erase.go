package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/connectors"
	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/internal/store"
	"tenure/shared/jobs"
)

// staying says why a store is left as it is, in the fields of purge.Store that are about that; nil erases it.
type staying func(connectors.Traits) *purge.Store

// takeInventory writes down what the stores hold and what of that stays, all of them before any is erased: when one cannot
// be counted, nothing is written and nothing erased. A store that came onto the data map since is added.
func (a *App) takeInventory(l *lease, of connectors.Scope, stores []Store, stays staying) error {
	known, err := store.Counted(l.Context(), a.DB, l.job.TenantID, l.job.OperationID)
	if err != nil {
		return err
	}
	var taken []purge.Store
	var wrong []error
	for _, s := range stores {
		if slices.ContainsFunc(known, func(k purge.Store) bool { return k.Name == s.Name() }) {
			continue
		}
		found, err := s.Verify(l.Context(), of)
		if stops(l, err) {
			return err
		}
		wrong = append(wrong, err)
		taken = append(taken, inventoried(s, found.Total(), stays))
	}
	if err := errors.Join(wrong...); err != nil {
		return fmt.Errorf("nothing is erased before all is counted: %w", err)
	}
	return a.inTx(l.Context(), func(tx pgx.Tx) error {
		for _, s := range taken {
			if err := store.SaveInventory(l.Context(), tx, l.job, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func inventoried(s Store, rows int64, stays staying) purge.Store {
	traits := s.Traits()
	var out purge.Store
	if stays != nil {
		if left := stays(traits); left != nil {
			out = *left
		}
	}
	out.Name, out.Kind, out.Targets, out.Class, out.Before = s.Name(), traits.Kind, traits.Targets, traits.Class, &rows
	if out.Targets == nil {
		out.Targets = []string{}
	}
	return out
}

// empty erases the scope's rows in every store whose inventory was taken and that does not stay, and returns what was
// found in each.
func (a *App) empty(l *lease, of connectors.Scope, stores []Store) ([]purge.Store, error) {
	planned, err := store.Counted(l.Context(), a.DB, l.job.TenantID, l.job.OperationID)
	if err != nil {
		return nil, err
	}
	erasable := slices.DeleteFunc(slices.Clone(stores), func(s Store) bool {
		return !slices.ContainsFunc(planned, func(p purge.Store) bool { return p.Name == s.Name() && p.Stays == "" })
	})
	if err := a.clearAll(l, of, erasable); err != nil {
		return nil, err
	}
	found, err := store.Counted(l.Context(), a.DB, l.job.TenantID, l.job.OperationID)
	return slices.DeleteFunc(found, func(f purge.Store) bool {
		return !slices.ContainsFunc(erasable, func(s Store) bool { return s.Name() == f.Name })
	}), err
}

// clearAll empties one store after the other. One that fails or settles does not keep the others waiting; it is done when
// all of them were found empty in one go.
func (a *App) clearAll(l *lease, of connectors.Scope, stores []Store) error {
	var wrong []error
	var wait *settling
	for _, s := range stores {
		err := a.clearStore(l, s, of)
		var settles *settling
		switch {
		case stops(l, err):
			return err
		case errors.As(err, &settles):
			wait = later(wait, settles)
		default:
			wrong = append(wrong, err)
		}
	}
	if err := errors.Join(wrong...); err != nil || wait == nil {
		return err
	}
	return wait
}

// stops reports whether err concerns the job as a whole, rather than one store.
func stops(l *lease, err error) bool {
	return l.Context().Err() != nil || errors.Is(err, errHeld) || errors.Is(err, errOverdue) || errors.Is(err, errEarly) || errors.Is(err, jobs.ErrLost)
}

// settling says that a store may still show an older state: it is looked at again when that time is over.
type settling struct {
	store string
	left  time.Duration
}

func (s *settling) Error() string {
	return fmt.Sprintf("store %s may still show an older state for %v", s.store, s.left.Round(time.Millisecond))
}

func later(a, b *settling) *settling {
	if a == nil || a.left < b.left {
		return b
	}
	return a
}

// clearStore empties one store and reads it again, twice where a read may be of an older state. What a later look finds was
// written after the erasing, or was never erased by a store that said so: it is erased as well.
func (a *App) clearStore(l *lease, s Store, of connectors.Scope) error {
	settles := purge.Settles(s.Traits().Settles, a.cfg.Day)
	last, err := store.LastLook(l.Context(), a.DB, l.job, s.Name())
	if err != nil {
		return err
	}
	if last.SinceEmpty != nil && *last.SinceEmpty < settles {
		return &settling{s.Name(), settles - *last.SinceEmpty} // a look now would prove nothing
	}
	first := last.SinceErased == nil
	if !first || l.job.Action == purge.ActionVerify {
		found, err := a.look(l, s, of)
		switch {
		case err != nil:
			return err
		case found == 0 && (settles == 0 || last.SinceEmpty != nil):
			return nil
		case found == 0:
			return &settling{s.Name(), settles}
		case !first && *last.SinceErased < settles:
			return &settling{s.Name(), settles - *last.SinceErased}
		}
	}
	return a.eraseAndLook(l, s, of, settles, first)
}

// eraseAndLook tells a store to erase. What it still shows behind the first time may be what it showed before; behind a later
// one it is a failure: the store keeps what it says it erased, or somebody goes on writing.
func (a *App) eraseAndLook(l *lease, s Store, of connectors.Scope, settles time.Duration, first bool) error {
	if err := store.Begin(l.Context(), a.DB, l.job, s.Name()); err != nil {
		return err
	}
	err := l.destroy(func(ctx context.Context) error {
		_, err := s.Erase(ctx, of)
		return err
	})
	if err != nil {
		return err
	}
	found, err := a.look(l, s, of)
	switch {
	case err != nil:
		return err
	case settles > 0 && (found == 0 || first):
		return &settling{s.Name(), settles}
	case found > 0:
		return fmt.Errorf("store %s says that it erased everything, but holds %d rows", s.Name(), found)
	}
	return nil
}

// look reads a store anew and stores what was found.
func (a *App) look(l *lease, s Store, of connectors.Scope) (int64, error) {
	found, err := s.Verify(l.Context(), of)
	if err != nil {
		return 0, err
	}
	return found.Total(), store.Found(l.Context(), a.DB, l.job, s.Name(), found.Total())
}
