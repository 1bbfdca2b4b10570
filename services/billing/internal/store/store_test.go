package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/shared/pg"
)

func TestAccountIsReadAsItWasSaved(t *testing.T) {
	s, db, _ := open(t)
	a, err := s.Open(t.Context(), store.Account{Tenant: "acme", Generation: 2, CustomerID: "cus_1"})
	if err != nil {
		t.Fatal(err)
	}
	a.Ended = true
	a.Belief = plan.Belief{
		SubscriptionID: "sub_1", Plan: "professional", Status: "active", CancelAtPeriodEnd: true,
		CurrentPeriodEnd: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), ScheduledPlan: "starter", Standing: plan.InDefault, Retired: true,
	}
	save := func() error {
		return pg.WithTx(t.Context(), db, func(tx pgx.Tx) error { return s.Save(t.Context(), tx, a) })
	}
	if err := save(); err != nil {
		t.Fatal(err)
	}
	got, err := s.AccountOf(t.Context(), "cus_1")
	if diff := cmp.Diff(a, got, cmpopts.IgnoreUnexported(store.Account{})); err != nil || diff != "" {
		t.Errorf("%v (-saved +read):\n%s", err, diff)
	}
	if err := save(); !errors.Is(err, store.ErrStale) {
		t.Errorf("an older look was saved over a newer one: %v", err)
	}
}
