package app

import (
	"context"
	"fmt"
	"io"

	"tenure/services/sample/internal/spool"
	"tenure/services/sample/internal/store"
	"tenure/shared/fault"
	"tenure/shared/participant"
)

// Archive is where documents go that a lower plan has no room for.
type Archive interface {
	// Put may be called again; the last call counts.
	Put(ctx context.Context, tenant, operation string, rows io.ReadSeeker) error
	Remove(ctx context.Context, tenant, operation string) error
	// Cool keeps all of the tenant's as small as it can; Warm undoes that. Both may be called again, and at once.
	Cool(ctx context.Context, tenant string) error
	Warm(ctx context.Context, tenant string) error
}

// archive puts away what the lower plan has no room for, the oldest first: out of use in the tables, then into the
// archive. The rows stay, so that the way back needs no other system, and exports are whole.
func (a *App) archive(ctx context.Context, s participant.Step) (any, error) {
	if s.Compensate {
		return a.unarchive(ctx, s)
	}
	limits, known := a.gate.PlanLimits(s.ToPlan)
	if !known {
		return nil, fault.Permanent(fmt.Errorf("archive: plan %q has no limits here", s.ToPlan))
	}
	var freed store.Freed
	err := a.store.As(ctx, s.Tenant, func(tx store.Tx) (err error) {
		freed, err = tx.Archive(ctx, s.OperationID, limits)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.recorded()
	return archived(freed), a.keep(ctx, s)
}

func (a *App) unarchive(ctx context.Context, s participant.Step) (any, error) {
	if err := a.archives.Remove(ctx, s.Tenant, s.OperationID); err != nil {
		return nil, err
	}
	var freed store.Freed
	err := a.store.As(ctx, s.Tenant, func(tx store.Tx) (err error) {
		freed, err = tx.Unarchive(ctx, s.OperationID)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.recorded()
	return archived(freed), nil
}

// bringBack puts into use again what was archived, as far as the higher plan has room for it. The copies stay in the archive
// until there is no way back.
func (a *App) bringBack(ctx context.Context, s participant.Step) (any, error) {
	limits, known := a.gate.PlanLimits(s.ToPlan)
	if !known && !s.Compensate {
		return nil, fault.Permanent(fmt.Errorf("restore: plan %q has no limits here", s.ToPlan))
	}
	var freed store.Freed
	err := a.store.As(ctx, s.Tenant, func(tx store.Tx) (err error) {
		if s.Compensate {
			freed, err = tx.PutBack(ctx)
		} else {
			freed, err = tx.Restore(ctx, limits)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	a.recorded()
	return archived(freed), nil
}

// dropCopies removes the archives that nothing is left in.
func (a *App) dropCopies(ctx context.Context, s participant.Step) error {
	var emptied []string
	err := a.store.As(ctx, s.Tenant, func(tx store.Tx) (err error) {
		emptied, err = tx.Emptied(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for _, operation := range emptied {
		if err := a.archives.Remove(ctx, s.Tenant, operation); err != nil {
			return err
		}
	}
	return a.store.As(ctx, s.Tenant, func(tx store.Tx) error { return tx.Settle(ctx) })
}

func archived(f store.Freed) map[string]float64 {
	return map[string]float64{"documents": f.Documents, "storage_gb": f.StorageGB}
}

// keep sends all that the operation has put away. It goes by way of a file: there may be more than fits the memory, and
// no transaction may wait for S3.
func (a *App) keep(ctx context.Context, s participant.Step) error {
	var rows int64
	file, err := spool.File(func(w io.Writer) error {
		return a.store.As(ctx, s.Tenant, func(tx store.Tx) (err error) {
			rows, err = tx.WriteArchived(ctx, s.OperationID, w)
			return err
		})
	})
	if err != nil {
		return err
	}
	defer file.Close()
	if rows == 0 {
		return nil
	}
	return a.archives.Put(ctx, s.Tenant, s.OperationID, file)
}
