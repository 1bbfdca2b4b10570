package app

import (
	"context"
	"time"

	"tenure/services/sample/internal/store"
	"tenure/shared/gate"
)

// Add keeps a new version of a document.
func (a *App) Add(ctx context.Context, tenant, name, content string) (added store.Document, err error) {
	err = a.request(ctx, tenant, gate.Ingest, func(tx store.Tx) error {
		if err := a.spendStorage(ctx, tx, tenant, 1, len(content)); err != nil {
			return err
		}
		added, err = tx.InsertDocument(ctx, name, content)
		return err
	}, nil)
	return added, err
}

// List returns current documents with an id above after, in the order of ids.
func (a *App) List(ctx context.Context, tenant, after string, limit int) (documents []store.Document, err error) {
	err = a.request(ctx, tenant, gate.Query, func(tx store.Tx) error {
		documents, err = tx.Documents(ctx, after, limit)
		return err
	}, nil)
	return documents, err
}

// searchLimit bounds the results of one query.
const searchLimit = 20

// Query finds current documents that contain q. It goes on running for hold after it has found them, as a long query
// would.
func (a *App) Query(ctx context.Context, tenant, q string, hold time.Duration) (found []store.Document, err error) {
	err = a.request(ctx, tenant, gate.Query, func(tx store.Tx) error {
		if found, err = tx.Search(ctx, q, searchLimit); err != nil {
			return err
		}
		// Counted last: the counter is locked until the commit, and all of the tenant's queries would wait for this one.
		return a.spend(ctx, tx, tenant, gate.Queries, 1)
	}, func() error { return wait(ctx, hold) })
	return found, err
}

// Seed makes documents and vectors for load tests.
func (a *App) Seed(ctx context.Context, tenant string, documents, bytesEach, vectors int) error {
	return a.request(ctx, tenant, gate.Ingest, func(tx store.Tx) error {
		if err := a.spendStorage(ctx, tx, tenant, documents, documents*bytesEach); err != nil {
			return err
		}
		return tx.Seed(ctx, documents, bytesEach, vectors)
	}, nil)
}

// Usage returns what the tenant has used and may use.
func (a *App) Usage(ctx context.Context, tenant string) (used map[gate.Metric]float64, limits gate.Limits, err error) {
	err = a.request(ctx, tenant, gate.Query, func(tx store.Tx) error {
		used, err = tx.Used(ctx)
		return err
	}, nil)
	return used, a.gate.Limits(tenant), err
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
