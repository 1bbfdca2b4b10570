package stripeapi_test

import (
	"testing"
	"time"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/stripeapi"
)

func TestUsageIsOnTheInvoice(t *testing.T) {
	s := simulate(t)
	sub := s.subscribed("starter")
	queries := sub.Usage["queries"]
	set := func(key string, total int64, at time.Time) error {
		return s.SetUsage(t.Context(), key, queries, total, at)
	}
	for key, total := range map[string]int64{"u1": 100, "u2": 2_000} {
		if err := set(key, total, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	s.advance(time.Minute)
	if err := set("u3", 1_001, time.Time{}); err != nil { // the last total counts, whatever came before
		t.Fatal(err)
	}
	if err := set("u4", 5, s.now().Add(time.Hour)); err == nil || waits(err) {
		t.Errorf("usage of the future answers %v", err)
	}

	s.renew(sub)
	equal(t, "net", s.net(), 2*cents("starter")+501) // 1,001 at half a cent, rounded once
	if err := set("u5", 5, sub.CurrentPeriodEnd.Add(-time.Minute)); err == nil {
		t.Error("usage of a period that is over was taken")
	}
	if err := set("u6", 7, time.Time{}); err != nil {
		t.Fatal(err)
	}
	periods := got(s.UsagePeriods(t.Context(), queries))(t)
	if len(periods) != 2 {
		t.Fatalf("%d periods: %+v", len(periods), periods)
	}
	invoice := s.live(sub.CustomerID).LatestInvoice
	for i, want := range []plan.UsagePeriod{
		{Start: sub.CurrentPeriodEnd, End: s.live(sub.CustomerID).CurrentPeriodEnd, Total: 7},
		{Start: sub.CurrentPeriodStart, End: sub.CurrentPeriodEnd, Total: 1_001, InvoiceID: invoice},
	} {
		if periods[i] != want {
			t.Errorf("period %d is %+v, want %+v", i, periods[i], want)
		}
	}
}

func TestUsageInATrialIsFree(t *testing.T) {
	s := simulate(t)
	sub := s.subscribed("starter", trial(10*24*time.Hour, s))
	if err := s.SetUsage(t.Context(), "u", sub.Usage["queries"], 1_000, time.Time{}); err != nil {
		t.Fatal(err)
	}
	s.renew(sub)
	equal(t, "net", s.net(), cents("starter"))
	equal(t, "periods", len(got(s.UsagePeriods(t.Context(), sub.Usage["queries"]))(t)), 2)
}

func TestAnOlderSubscriptionGetsItsUsageItem(t *testing.T) {
	s := simulate(t)
	older := s.with(stripeapi.Config{Catalogue: catalogue})
	newer := s.Client
	s.Client = older
	sub := s.subscribed("professional")
	got(s.Schedule(t.Context(), "k", sub, "starter"))(t)
	s.Client = newer

	first := got(s.AddUsageItem(t.Context(), "a", sub.ID, "queries"))(t)
	again := got(s.AddUsageItem(t.Context(), "b", sub.ID, "queries"))(t)
	equal(t, "item", again, first)
	live := s.live(sub.CustomerID)
	equal(t, "item", live.Usage["queries"], first)
	equal(t, "plan ahead", live.ScheduledPlan, "starter")
	if err := s.SetUsage(t.Context(), "u", first, 1_000, time.Time{}); err != nil {
		t.Fatal(err)
	}
	s.renew(sub)
	after := s.live(sub.CustomerID)
	equal(t, "plan", after.Plan, "starter")
	equal(t, "item", after.Usage["queries"], first) // its phase knows it
	equal(t, "net", s.net(), cents("professional")+cents("starter")+500)
	if _, err := s.AddUsageItem(t.Context(), "c", sub.ID, "pages"); err == nil {
		t.Error("a metric without a price has got an item")
	}
}
