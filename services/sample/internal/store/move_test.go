package store_test

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"tenure/services/sample/internal/store"
)

// While rows move, readers see each of them once, writers go on, and nothing is left behind: neither what was written by
// a request with an old route, nor another tenant's rows.
func TestRowsMoveUnderReadersAndWriters(t *testing.T) {
	s, pool := open(t)
	for _, tenant := range []string{"acme", "other"} {
		as(t, s, tenant, func(tx store.Tx) error {
			if err := tx.Provision(t.Context(), 1, "starter"); err != nil {
				return err
			}
			return tx.Seed(t.Context(), 950, 100, 450)
		})
	}
	as(t, s, "acme", func(tx store.Tx) error { return tx.Provision(t.Context(), 1, "professional") })

	done := make(chan struct{})
	var work errgroup.Group
	work.Go(func() error {
		for seen := 0; ; {
			var rows, ids int
			err := s.As(t.Context(), "acme", func(tx store.Tx) error {
				return tx.QueryRow(t.Context(), `SELECT count(*), count(DISTINCT id) FROM documents`).Scan(&rows, &ids)
			})
			if err != nil || rows != ids || rows < max(seen, 950) {
				return fmt.Errorf("a reader sees %d rows of %d documents after %d, %w", rows, ids, seen, err)
			}
			seen = rows
			select {
			case <-done:
				return nil
			default:
			}
		}
	})
	// Writes to the capacity that the tenant is leaving, as a request does that has read the route before.
	var written int
	work.Go(func() error {
		for {
			select {
			case <-done:
				return nil
			default:
			}
			if err := s.As(t.Context(), "acme", func(tx store.Tx) error {
				_, err := tx.InsertDocument(t.Context(), fmt.Sprint("late ", written), "x")
				return err
			}); err != nil {
				return err
			}
			written++
		}
	})
	var told int64
	if err := s.Move(t.Context(), "acme", "professional", func(rows int64) { told = rows }); err != nil {
		t.Fatal(err)
	}
	as(t, s, "acme", func(tx store.Tx) error { return tx.Switch(t.Context(), "professional") })
	close(done)
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	if told < 950+450 {
		t.Errorf("told of %d rows", told)
	}
	if err := s.Move(t.Context(), "acme", "professional", func(int64) {}); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]int{"documents": 950 + written, "vectors": 450} {
		var moved, left, others int
		err := pool.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE tenant_id = 'acme' AND capacity = 'professional'),
			count(*) FILTER (WHERE tenant_id = 'acme' AND capacity <> 'professional'),
			count(*) FILTER (WHERE tenant_id = 'other' AND capacity = 'starter') FROM `+table).Scan(&moved, &left, &others)
		if err != nil || moved != want || left != 0 || others == 0 {
			t.Errorf("%s: %d rows moved of %d, %d left, %d of the other tenant, %v", table, moved, want, left, others, err)
		}
	}
}
