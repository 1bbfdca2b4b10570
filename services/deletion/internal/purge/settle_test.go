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

func TestSubjectHashHidesRepetition(t *testing.T) {
	if string(purge.SubjectHash("r-1", "ann")) == string(purge.SubjectHash("r-2", "ann")) {
		t.Error("two requests show that they are about one person")
	}
}
