// Package bustest prepares a bus for tests of services that do not own its streams.
package bustest

import (
	"testing"

	"tenure/shared/bus"
)

// Streams makes the streams, as the lifecycle service does.
func Streams(t testing.TB, natsURL string) {
	t.Helper()
	b, err := bus.Connect(t.Context(), bus.Config{URL: natsURL, Name: "bustest"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.EnsureTopology(t.Context()); err != nil {
		t.Fatal(err)
	}
}
