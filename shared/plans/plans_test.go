package plans_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"tenure/shared/plans"
)

// A higher plan costs more and allows more: an upgrade never takes anything away, a downgrade never costs.
func TestTheDefaultHierarchy(t *testing.T) {
	all := plans.Default()
	if !slices.IsSortedFunc(all, func(a, b plans.Plan) int { return cmp.Compare(a.Cents, b.Cents) }) || !all[0].Free() {
		t.Errorf("prices do not rise from nothing: %+v", all)
	}
	room := func(limit float64) float64 {
		if limit == 0 {
			return 1e18 // unlimited
		}
		return limit
	}
	for i := 1; i < len(all); i++ {
		low, high := all[i-1].Limits, all[i].Limits
		if room(float64(high.Queries)) <= room(float64(low.Queries)) || room(float64(high.Documents)) <= room(float64(low.Documents)) ||
			room(high.StorageGB) <= room(low.StorageGB) {
			t.Errorf("%s allows no more than %s", all[i].Name, all[i-1].Name)
		}
	}
}

func TestFind(t *testing.T) {
	all := plans.Default()
	for rank, name := range all.Names() {
		if p, ok := all.Find(name); !ok || p.Name != name || all.Rank(name) != rank {
			t.Errorf("%s: found %+v, %v at %d", name, p, ok, all.Rank(name))
		}
	}
	if _, ok := all.Find("gold"); ok || all.Rank("gold") != -1 {
		t.Error("found a plan that is not there")
	}
}

func TestProrated(t *testing.T) {
	low, high := plans.Plan{Cents: 1_000}, plans.Plan{Cents: 4_000}
	end := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC) // behind 30 days of April
	for days, want := range map[int]int64{30: 3_000, 10: 1_000, 0: 0, -1: 0, 45: 3_000} {
		now := end.AddDate(0, 0, -days)
		if got := plans.Prorated(low, high, now, end); got != want {
			t.Errorf("up with %d days left: %d cents, want %d", days, got, want)
		}
		if got := plans.Prorated(high, low, now, end); got != -want {
			t.Errorf("down with %d days left: %d cents, want %d", days, got, -want)
		}
	}
}
