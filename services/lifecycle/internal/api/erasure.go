package api

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/query"
)

// Stores asks what the stores hold of a tenant.
type Stores interface {
	Inventory(ctx context.Context, r query.InventoryRequest) (query.Inventory, error)
}

// inventoryTimeout is how long a preview waits for the stores to count.
const inventoryTimeout = 2 * time.Second

// Where the figures of an Erasure come from.
const (
	sourceStores      = "stores"
	sourceUnavailable = "unavailable"
)

// Erasure is what a deletion would erase as the stores are now, and what stays.
type Erasure struct {
	Stores []ErasedStore `json:"stores"`
	Rows   int64         `json:"rows" doc:"of all stores, those included that are kept for longer"`
	Bytes  int64         `json:"bytes" doc:"an estimate"`
	Stays  []Remainder   `json:"stays"`
	Source string        `json:"source" enum:"stores,unavailable" doc:"unavailable: deletion did not answer, so that what the stores hold is not known"`
}

// ErasedStore is one store's share.
type ErasedStore struct {
	Store   string   `json:"store"`
	Kind    string   `json:"kind,omitempty"`
	Targets []string `json:"targets,omitempty" doc:"tables, prefixes and the like; for operators"`
	Rows    int64    `json:"rows"`
	Bytes   int64    `json:"bytes" doc:"an estimate"`
	Error   string   `json:"error,omitempty" doc:"why the store could not be counted"`
}

// Remainder is what stays, for a time or for good.
type Remainder struct {
	What  string     `json:"what"`
	Why   string     `json:"why"`
	Until *time.Time `json:"until,omitempty" doc:"absent: for good, or nobody can tell"`
}

// alwaysStays is what no deletion takes away.
var alwaysStays = []Remainder{
	{What: "invoices and payments at Stripe, if there are any", Why: "whoever sells must keep them; Stripe does so when the customer is deleted"},
	{What: "the event log", Why: "it proves what was done; it has ids alone, and the key to the personal data is destroyed"},
	{What: "the certificate of the deletion", Why: "it proves that every store was found empty"},
}

// erasure asks deletion, and says so when it does not answer. s is the tenant as the purge would leave it, or as far as the
// deletion would come. Names inside of stores, and what they say when they fail, are for operators.
func (a *API) erasure(ctx context.Context, s tenant.State, forOperator bool) *Erasure {
	out := &Erasure{Stores: []ErasedStore{}, Stays: holdingBack(s), Source: sourceStores}
	ctx, cancel := context.WithTimeout(ctx, inventoryTimeout)
	defer cancel()
	found, err := a.Stores.Inventory(ctx, query.InventoryRequest{Tenant: s.ID})
	if err != nil {
		slog.InfoContext(ctx, "deletion does not answer; a preview shows no stores", "tenant", s.ID, "error", err)
		out.Source = sourceUnavailable
	}
	for _, held := range found.Stores {
		store := ErasedStore{Store: held.Store, Kind: held.Kind, Targets: held.Targets, Rows: held.Rows, Bytes: held.Bytes, Error: held.Error}
		if !forOperator {
			store.Targets = nil
			if held.Error != "" {
				store.Error = "the store could not be asked"
			}
		}
		out.Stores = append(out.Stores, store)
		out.Rows, out.Bytes = out.Rows+held.Rows, out.Bytes+held.Bytes
		if held.KeepDays > 0 && s.Deletion != nil {
			until := a.Engine.DueAfter(s, s.Deletion.ScheduledFor, held.KeepDays)
			out.Stays = append(out.Stays, Remainder{What: fmt.Sprintf("the data in %s (%s)", held.Store, held.Class), Why: held.Basis, Until: &until})
		}
	}
	out.Stays = append(out.Stays, alwaysStays...)
	return out
}

// holdingBack is what would keep everything where it is.
func holdingBack(s tenant.State) []Remainder {
	stays := []Remainder{}
	for _, h := range s.Holds {
		stays = append(stays, Remainder{What: "everything", Why: fmt.Sprintf("legal hold %s: %s", h.ID, h.Reason)})
	}
	if s.Export != nil {
		stays = append(stays, Remainder{What: "everything", Why: fmt.Sprintf("export %s is running, and the purge waits for its end", s.Export.ID)})
	}
	return stays
}
