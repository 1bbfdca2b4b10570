package purge_test

import (
	"testing"
	"time"

	"tenure/services/deletion/internal/purge"
)

func TestSettles(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct{ says, day, want time.Duration }{
		{0, day, 0},
		{0, time.Second, 0},
		{time.Minute, day, time.Minute},
		{time.Minute, time.Second, time.Second}, // a second at least
		{time.Minute, time.Hour, 2500 * time.Millisecond},
		{300 * time.Millisecond, time.Second, 300 * time.Millisecond}, // but no more than it says
	} {
		if got := purge.Settles(test.says, test.day); got != test.want {
			t.Errorf("%v in days of %v: %v, want %v", test.says, test.day, got, test.want)
		}
	}
}

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
		if got := purge.MonthAfter(at).Format(time.RFC3339); got != want {
			t.Errorf("a month after %s is %s, want %s", from, got, want)
		}
	}
}

func TestSubjectHashHidesRepetition(t *testing.T) {
	if string(purge.SubjectHash("r-1", "ann")) == string(purge.SubjectHash("r-2", "ann")) {
		t.Error("two requests show that they are about one person")
	}
}
