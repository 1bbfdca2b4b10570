package app

import (
	"testing"
	"time"
)

func TestAMonthIsACalendarMonth(t *testing.T) {
	berlin := time.FixedZone("CEST", 2*60*60)
	for received, want := range map[time.Time]string{
		time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC): "2026-02-15T10:30:00Z",
		time.Date(2026, 1, 31, 23, 59, 0, 0, time.UTC): "2026-02-28T23:59:00Z",
		time.Date(2028, 1, 31, 0, 0, 0, 0, time.UTC):   "2028-02-29T00:00:00Z",
		time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC):   "2026-03-28T00:00:00Z",
		time.Date(2026, 12, 31, 8, 0, 0, 0, time.UTC):  "2027-01-31T08:00:00Z",
		time.Date(2026, 7, 1, 1, 0, 0, 0, berlin):      "2026-07-30T23:00:00Z", // 30 June in UTC
	} {
		if got := dueBy(received, 24*time.Hour).Format(time.RFC3339); got != want {
			t.Errorf("what came %v is due by %s, not %s", received, got, want)
		}
	}
}

func TestAMonthOfShortDays(t *testing.T) {
	received := time.Date(2026, 2, 10, 0, 0, 0, 0, time.UTC)
	if got := dueBy(received, time.Second).Sub(received); got != 28*time.Second {
		t.Errorf("February has %v", got)
	}
}
