package store_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/services/sample/internal/store"
	"tenure/services/sample/migrations"
	"tenure/shared/gate"
	"tenure/shared/pg"
	"tenure/shared/testkit"
)

// open returns a store on a database of its own, and the pool beneath, which no policy binds.
func open(t *testing.T) (*store.Store, *pgxpool.Pool) {
	t.Helper()
	url := testkit.Postgres(t)
	if err := pg.Migrate(t.Context(), url, "sample", migrations.Files); err != nil {
		t.Fatal(err)
	}
	pool, err := pg.Open(t.Context(), url, "sample")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return store.New(pool), pool
}

func as(t *testing.T, s *store.Store, tenant string, fn func(tx store.Tx) error) {
	t.Helper()
	if err := s.As(t.Context(), tenant, fn); err != nil {
		t.Fatalf("as %s: %v", tenant, err)
	}
}

func names(documents []store.Document) []string {
	out := make([]string, len(documents))
	for i, d := range documents {
		out[i] = d.Name
	}
	return out
}

func insert(t *testing.T, s *store.Store, tenant, name, content string) store.Document {
	t.Helper()
	var d store.Document
	as(t, s, tenant, func(tx store.Tx) (err error) {
		if err := tx.Provision(t.Context(), 1, "free"); err != nil {
			return err
		}
		d, err = tx.InsertDocument(t.Context(), name, content)
		return err
	})
	return d
}

func TestTheNewestOfANameIsCurrent(t *testing.T) {
	s, _ := open(t)
	insert(t, s, "acme", "a", "first")
	insert(t, s, "acme", "b", "only")
	newest := insert(t, s, "acme", "a", "second")
	as(t, s, "acme", func(tx store.Tx) error {
		page, err := tx.Documents(t.Context(), "", 10)
		if diff := cmp.Diff([]string{"b", "a"}, names(page)); diff != "" || err != nil {
			t.Fatalf("list (-want +got), %v:\n%s", err, diff)
		}
		if diff := cmp.Diff(newest, page[1]); diff != "" {
			t.Errorf("the current a (-want +got):\n%s", diff)
		}
		found, err := tx.Search(t.Context(), "FIRST", 10)
		if len(found) != 0 || err != nil {
			t.Errorf("an old version is found: %v, %v", names(found), err)
		}
		found, err = tx.Search(t.Context(), "SECO", 10)
		if diff := cmp.Diff([]string{"a"}, names(found)); diff != "" || err != nil {
			t.Errorf("search (-want +got), %v:\n%s", err, diff)
		}
		return nil
	})
}

func TestSearchTakesWildcardsAsLetters(t *testing.T) {
	s, _ := open(t)
	insert(t, s, "acme", "a", "100 percent")
	insert(t, s, "acme", "b", "100%")
	as(t, s, "acme", func(tx store.Tx) error {
		found, err := tx.Search(t.Context(), "100%", 10)
		if diff := cmp.Diff([]string{"b"}, names(found)); diff != "" {
			t.Errorf("search (-want +got):\n%s", diff)
		}
		return err
	})
}

func TestDocumentsPageByPage(t *testing.T) {
	s, _ := open(t)
	as(t, s, "acme", func(tx store.Tx) error {
		if err := tx.Provision(t.Context(), 1, "starter"); err != nil {
			return err
		}
		return tx.Seed(t.Context(), 7, 100, 3)
	})
	var seen int
	as(t, s, "acme", func(tx store.Tx) error {
		after := ""
		for {
			page, err := tx.Documents(t.Context(), after, 3)
			if err != nil || len(page) == 0 {
				return err
			}
			for _, d := range page {
				if d.ID <= after || len(d.Content) != 100 {
					t.Errorf("document %s after %s has %d bytes", d.ID, after, len(d.Content))
				}
				after = d.ID
				seen++
			}
		}
	})
	if seen != 7 {
		t.Errorf("%d documents on all pages", seen)
	}
}

func TestWithoutATenantThereIsNothing(t *testing.T) {
	s, pool := open(t)
	insert(t, s, "acme", "a", "secret")
	ctx := t.Context()
	var seen int
	err := pg.WithTx(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL ROLE tenure_sample`); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT count(*) FROM documents`).Scan(&seen)
	})
	if err == nil && seen > 0 {
		t.Errorf("a transaction that has named no tenant sees %d documents", seen)
	}
}

// Two tenants' random work, interleaved on the same connections: neither may ever see, change or count the other's.
func TestTenantsNeverMeet(t *testing.T) {
	s, _ := open(t)
	tenants := []string{"acme", "acme2"}
	for _, tenant := range tenants {
		as(t, s, tenant, func(tx store.Tx) error { return tx.Provision(t.Context(), 1, "free-of-"+tenant) })
	}
	var work errgroup.Group
	for worker := range 4 {
		random := rand.New(rand.NewPCG(1, uint64(worker)))
		work.Go(func() error {
			for range 100 {
				tenant := tenants[random.IntN(2)]
				err := s.As(t.Context(), tenant, func(tx store.Tx) error {
					return anyOperation(t.Context(), tx, tenant, random.IntN(7))
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
}

// anyOperation does one thing as the tenant; an error is what it should not have seen.
func anyOperation(ctx context.Context, tx store.Tx, tenant string, operation int) error {
	switch operation {
	case 0:
		_, err := tx.InsertDocument(ctx, "of "+tenant, tenant)
		return err
	case 1, 2:
		documents, err := tx.Search(ctx, "acme", 1000)
		if operation == 2 {
			documents, err = tx.Documents(ctx, "", 1000)
		}
		for _, d := range documents {
			if d.Content != tenant {
				return fmt.Errorf("%s sees a document of %s", tenant, d.Content)
			}
		}
		return err
	case 3:
		route, err := tx.Route(ctx)
		if route.Plan != "free-of-"+tenant {
			return fmt.Errorf("%s is routed to %s (%w)", tenant, route.Plan, err)
		}
		return err
	case 4:
		_, err := tx.Add(ctx, tenant, gate.Queries, 1, math.Inf(1))
		return err
	case 5:
		return tx.Release(ctx, "free-of-"+tenant) // deletes all other capacities that it can see
	default:
		_, err := tx.Archive(ctx, "op", gate.Limits{gate.Documents: 2})
		return err
	}
}

// Writing into another tenant's rows fails even when a statement names them.
func TestRowsOfAnotherTenantCannotBeWritten(t *testing.T) {
	s, _ := open(t)
	err := s.As(t.Context(), "acme", func(tx store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO documents (tenant_id, capacity, id, name, content) VALUES ('other', 'free', '1', 'n', 'c')`)
		return err
	})
	if err == nil {
		t.Error("a row of another tenant was inserted")
	}
}

func TestQuotaIsExact(t *testing.T) {
	s, _ := open(t)
	const limit, callers = 100, 150
	as(t, s, "acme", func(tx store.Tx) error {
		_, err := tx.Add(t.Context(), "acme", gate.Queries, limit-10, limit)
		return err
	})
	var passed atomic.Int64
	var work errgroup.Group
	for range callers {
		work.Go(func() error {
			return s.As(t.Context(), "acme", func(tx store.Tx) error {
				ok, err := tx.Add(t.Context(), "acme", gate.Queries, 1, limit)
				if ok {
					passed.Add(1)
				}
				return err
			})
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	if passed.Load() != 10 {
		t.Errorf("%d calls passed where 10 were left", passed.Load())
	}
	as(t, s, "acme", func(tx store.Tx) error {
		used, err := tx.Used(t.Context())
		if used[gate.Queries] != limit {
			t.Errorf("used: %v", used)
		}
		return err
	})
}

func TestAFirstCallOverTheLimitIsRefused(t *testing.T) {
	s, _ := open(t)
	as(t, s, "acme", func(tx store.Tx) error {
		ok, err := tx.Add(t.Context(), "acme", gate.StorageGB, 0.2, 0.1)
		if ok {
			t.Error("the first use passed the limit")
		}
		return err
	})
}

func TestCapacitiesThroughAPlanChange(t *testing.T) {
	s, _ := open(t)
	ctx := t.Context()
	route := func() (r store.Tenant) {
		as(t, s, "acme", func(tx store.Tx) (err error) { r, err = tx.Route(ctx); return err })
		return r
	}
	if err := s.As(ctx, "acme", func(tx store.Tx) error { _, err := tx.Route(ctx); return err }); !errors.Is(err, store.ErrNoRoute) {
		t.Errorf("before provisioning: %v", err)
	}
	for range 2 { // asked for twice, done once
		as(t, s, "acme", func(tx store.Tx) error { return tx.Provision(ctx, 1, "free") })
	}
	if err := s.As(ctx, "acme", func(tx store.Tx) error { return tx.Switch(ctx, "starter") }); !errors.Is(err, store.ErrNoRoute) {
		t.Errorf("a switch to a capacity that is not there: %v", err)
	}
	as(t, s, "acme", func(tx store.Tx) error { return tx.Provision(ctx, 1, "starter") })
	if got := route(); got != (store.Tenant{Generation: 1, Plan: "free", Serving: "free", Tier: store.Warm}) {
		t.Errorf("after provisioning beside: %+v", got)
	}
	as(t, s, "acme", func(tx store.Tx) error { return tx.Serve(ctx, "starter") })
	if got := route(); got.Plan != "free" || got.Serving != "starter" {
		t.Errorf("after the drain: %+v", got)
	}
	as(t, s, "acme", func(tx store.Tx) error { return tx.Switch(ctx, "starter") })
	as(t, s, "acme", func(tx store.Tx) error { return tx.Release(ctx, "starter") })
	if got := route(); got.Plan != "starter" || got.Serving != "starter" {
		t.Errorf("after the switch: %+v", got)
	}
	if err := s.As(ctx, "acme", func(tx store.Tx) error { return tx.Serve(ctx, "free") }); !errors.Is(err, store.ErrNoRoute) {
		t.Errorf("the old capacity is still there: %v", err)
	}
	as(t, s, "acme", func(tx store.Tx) error { return tx.Withdraw(ctx) })
	if err := s.As(ctx, "acme", func(tx store.Tx) error { _, err := tx.Route(ctx); return err }); !errors.Is(err, store.ErrNoRoute) {
		t.Errorf("after the withdrawal: %v", err)
	}
}

func TestArchiveKeepsTheNewest(t *testing.T) {
	s, pool := open(t)
	ctx := t.Context()
	for _, name := range []string{"a", "b", "c", "d"} {
		insert(t, s, "acme", name, "0123456789")
	}
	var freed store.Freed
	as(t, s, "acme", func(tx store.Tx) (err error) {
		freed, err = tx.Archive(ctx, "op-1", gate.Limits{gate.Documents: 3, gate.StorageGB: 25 / store.BytesPerGB})
		return err
	})
	if freed != (store.Freed{Documents: 2, StorageGB: 20 / store.BytesPerGB}) {
		t.Errorf("freed: %+v", freed)
	}
	listed := func() (list []string) {
		as(t, s, "acme", func(tx store.Tx) error {
			documents, err := tx.Documents(ctx, "", 10)
			list = names(documents)
			return err
		})
		return list
	}
	if diff := cmp.Diff([]string{"c", "d"}, listed()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	as(t, s, "acme", func(tx store.Tx) error {
		freed, err := tx.Archive(ctx, "op-1", gate.Limits{gate.Documents: 3, gate.StorageGB: 25 / store.BytesPerGB})
		if freed.Documents != 0 {
			t.Errorf("asked for twice, archived twice: %+v", freed)
		}
		return err
	})
	as(t, s, "acme", func(tx store.Tx) (err error) { freed, err = tx.Unarchive(ctx, "op-1"); return err })
	if diff := cmp.Diff([]string{"a", "b", "c", "d"}, listed()); diff != "" || freed.Documents != -2 {
		t.Errorf("put back (-want +got), %+v:\n%s", freed, diff)
	}
	var sum float64
	if err := pool.QueryRow(ctx, `SELECT sum(quantity) FROM usage`).Scan(&sum); err != nil || math.Abs(sum) > 1e-12 {
		t.Errorf("what was freed and put back adds up to %v, %v", sum, err)
	}
}
