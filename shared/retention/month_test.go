package retention_test

import (
	"testing"
	"time"

	"tenure/shared/retention"
)

func TestMonthAfter(t *testing.T) {
	for from, want := range map[string]string{
		"2026-03-02T09:14:00Z":      "2026-04-02T09:14:00Z",
		"2026-01-31T00:00:00Z":      "2026-02-28T00:00:00Z",
		"2028-01-31T23:59:59Z":      "2028-02-29T23:59:59Z",
		"2026-05-31T12:00:00Z":      "2026-06-30T12:00:00Z",
		"2026-12-31T12:00:00Z":      "2027-01-31T12:00:00Z",
		"2026-03-28T23:30:00-02:00": "2026-04-29T01:30:00Z", // by UTC
	} {
		at, err := time.Parse(time.RFC3339, from)
		if err != nil {
			t.Fatal(err)
		}
		if got := retention.MonthAfter(at).Format(time.RFC3339); got != want {
			t.Errorf("a month after %s is %s, want %s", from, got, want)
		}
	}
}
