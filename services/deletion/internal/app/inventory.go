package app

import (
	"context"
	"fmt"
	"sync"

	"tenure/services/connectors"
	"tenure/shared/query"
)

// Inventory tells what the stores hold of a tenant now, and which of it would outlive a purge. It asks all of them side by
// side; one that does not answer in time is shown with the reason.
func (a *App) Inventory(ctx context.Context, q query.InventoryRequest) (query.Inventory, error) {
	of := connectors.Tenant(q.Tenant)
	if err := of.Check(); err != nil {
		return query.Inventory{}, err
	}
	holdings := make([]query.StoreHolding, len(a.Stores))
	var asked sync.WaitGroup
	for i, s := range a.Stores {
		asked.Go(func() { holdings[i] = a.holding(ctx, s, of) })
	}
	asked.Wait()
	return query.Inventory{Stores: holdings}, nil
}

func (a *App) holding(ctx context.Context, s Store, of connectors.Scope) query.StoreHolding {
	traits := s.Traits()
	h := query.StoreHolding{Store: s.Name(), Kind: traits.Kind, Targets: traits.Targets, Class: traits.Class}
	if class, kept := a.Policy.Class(traits.Class); kept && class.KeepDays > 0 {
		h.KeepDays, h.Basis = class.KeepDays, class.Basis
	}
	found, err := s.Verify(ctx, of)
	if err == nil {
		h.Rows = found.Total()
		h.Bytes, err = s.Bytes(ctx, of)
	}
	switch {
	case ctx.Err() != nil:
		h.Error = "it did not answer in time"
	case err != nil:
		h.Error = fmt.Sprintf("it cannot be asked now: %v", err)
	}
	return h
}
