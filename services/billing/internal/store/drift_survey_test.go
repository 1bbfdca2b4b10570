package store_test

import (
	"fmt"
	"runtime"
	"testing"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
)

// TestASurveyNeedsLittleMemory: 20,000 subscriptions are 9 MB of JSON and more in memory; one is held at a time.
func TestASurveyNeedsLittleMemory(t *testing.T) {
	const (
		tenants = 20_000
		limit   = 4 << 20 // bytes
	)
	s, db, _ := open(t)
	_, err := db.Exec(t.Context(), `WITH a AS (
			INSERT INTO agreements (tenant, generation, plan, state, pending_plan, operation, version)
			SELECT 't' || i, 1, 'starter', 'live', '', '', 1 FROM generate_series(1, $1::int) i)
		INSERT INTO accounts (tenant, generation, customer_id, subscription_id, plan, status, standing)
			SELECT 't' || i, 1, 'cus_' || i, 'sub_' || i, 'starter', 'active', 'paid' FROM generate_series(1, $1::int) i`, tenants)
	if err != nil {
		t.Fatal(err)
	}
	live := func(yield func(plan.Subscription, error) bool) {
		for i := range tenants {
			id := fmt.Sprint(i + 1)
			s := plan.Subscription{ID: "sub_" + id, CustomerID: "cus_" + id, Plan: "starter", Status: plan.Active, Tenant: "t" + id}
			if !yield(s, nil) {
				return
			}
		}
	}
	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, lives := inUse(), uint64(0), 0
	err = s.Survey(t.Context(), live, func(id store.LifeID, l plan.Life) error {
		if lives++; lives%(tenants/10) == 0 {
			most = max(most, inUse())
		}
		if len(l.Live) != 1 || l.Agreement.Tenant != id.Tenant || l.Belief.SubscriptionID != l.Live[0].ID {
			return fmt.Errorf("brought together wrongly: %v %+v", id, l)
		}
		return nil
	})
	if err != nil || lives != tenants {
		t.Fatalf("%d lives of %d (%v)", lives, tenants, err)
	}
	if most > before+limit {
		t.Errorf("%d bytes more are in use", most-before)
	}
	var left int
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM survey_subscriptions`).Scan(&left); err != nil || left > 0 {
		t.Errorf("%d rows are left behind (%v)", left, err)
	}
}
