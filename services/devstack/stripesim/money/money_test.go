package money_test

import (
	"testing"
	"time"

	"tenure/services/devstack/stripesim/money"
)

func TestTimesRoundsOnceToTheCent(t *testing.T) {
	for _, c := range []struct {
		unit     string
		quantity int64
		want     int64
	}{
		{"4900", 1, 4900},
		{"0.015", 10000, 150},
		{"0.5", 1, 1},
		{"0.5", -1, -1},
		{"0.4", 1, 0},
		{"not a number", 7, 0},
	} {
		if got := money.Times(c.unit, c.quantity); got != c.want {
			t.Errorf("Times(%s, %d) = %d, want %d", c.unit, c.quantity, got, c.want)
		}
	}
}

func TestTiered(t *testing.T) {
	ten, flat := int64(10), int64(500)
	tiers := []money.Tier{{UnitAmountDecimal: "100", UpTo: &ten, FlatAmount: &flat}, {UnitAmountDecimal: "50"}}
	for _, c := range []struct {
		volume   bool
		quantity int64
		want     int64
	}{
		{false, 10, 1500},
		{false, 12, 1600},
		{true, 10, 1500},
		{true, 12, 600},
	} {
		if got := money.Tiered(tiers, c.volume, c.quantity); got != c.want {
			t.Errorf("Tiered(volume %v, %d) = %d, want %d", c.volume, c.quantity, got, c.want)
		}
	}
}

func TestProrateCountsSeconds(t *testing.T) {
	const start, end = 1_000_000, 1_000_000 + 30*86400
	for _, c := range []struct {
		amount, at, want int64
	}{
		{1000, start, 1000},
		{1000, start + 15*86400, 500},
		{4900, start + 10*86400, 3267}, // 3266.67
		{-4900, start + 10*86400, -3267},
		{1000, end, 0},
		{1000, end + 5, 0},
		{1000, start - 5, 1000},
	} {
		if got := money.Prorate(c.amount, start, end, c.at); got != c.want {
			t.Errorf("Prorate(%d at %d) = %d, want %d", c.amount, c.at-start, got, c.want)
		}
	}
}

func TestPeriodEndKeepsTheAnchorsDay(t *testing.T) {
	at := func(s string) int64 {
		v, err := time.Parse(time.DateTime, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.Unix()
	}
	anchor := at("2024-01-31 12:00:00")
	for _, c := range []struct {
		interval    string
		count       int64
		after, want string
	}{
		{"month", 1, "2024-01-31 12:00:00", "2024-02-29 12:00:00"},
		{"month", 1, "2024-02-29 12:00:00", "2024-03-31 12:00:00"},
		{"month", 3, "2024-01-31 12:00:00", "2024-04-30 12:00:00"},
		{"month", 1, "2031-05-01 00:00:00", "2031-05-31 12:00:00"},
		{"year", 1, "2024-01-31 12:00:00", "2025-01-31 12:00:00"},
		{"week", 2, "2024-02-01 00:00:00", "2024-02-14 12:00:00"},
		{"day", 1, "2024-01-31 12:00:00", "2024-02-01 12:00:00"},
		{"month", 1, "2024-01-01 00:00:00", "2024-01-31 12:00:00"},
	} {
		if got := money.PeriodEnd(anchor, c.interval, c.count, at(c.after)); got != at(c.want) {
			t.Errorf("%d %s after %s: %s, want %s", c.count, c.interval, c.after,
				time.Unix(got, 0).UTC().Format(time.DateTime), c.want)
		}
	}
}
