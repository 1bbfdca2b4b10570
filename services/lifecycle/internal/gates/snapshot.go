package gates

import (
	"context"
	"encoding/json"
	"fmt"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/gate"
	"tenure/shared/pg"
)

// maxPage bounds the tenants of one answer.
const maxPage = 2000

// Snapshot answers gates that start: what each tenant may do, page by page, as of a moment after the question.
func Snapshot(db pg.Querier) func(ctx context.Context, question []byte) (any, error) {
	return func(ctx context.Context, question []byte) (any, error) {
		var q gate.SnapshotRequest
		if err := json.Unmarshal(question, &q); err != nil {
			return nil, fmt.Errorf("read the question: %w", err)
		}
		if q.Limit <= 0 || q.Limit > maxPage {
			q.Limit = maxPage
		}
		found, err := store.List(ctx, db, store.Filter{After: q.After, Limit: q.Limit})
		if err != nil {
			return nil, err
		}
		page := gate.Snapshot{Tenants: make([]gate.Record, len(found))}
		for i, t := range found {
			page.Tenants[i] = recordOf(t.State)
		}
		return page, nil
	}
}

func recordOf(s tenant.State) gate.Record {
	r := gate.Record{
		Tenant: s.ID, Version: s.Version, State: string(s.Name), Plan: s.GatePlan(),
		ReadOnlyUntil: s.ReadOnlyUntil(), Config: s.Config,
	}
	for _, b := range s.Blocks {
		r.Blocks = append(r.Blocks, b.Kind)
	}
	return r
}
