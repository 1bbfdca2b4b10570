package gate

import (
	"testing"

	"pgregory.net/rapid"
)

// TestTableIsAMap holds the table against Go's, with keys that collide a lot.
func TestTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		got, want := newTable(), map[key]entry{}
		keys := rapid.Custom(func(t *rapid.T) key {
			return key{rapid.Uint64Range(1, 3).Draw(t, "high"), rapid.Uint64Range(0, 200).Draw(t, "low") << 57}
		})
		for range rapid.IntRange(0, 300).Draw(t, "writes") {
			k, e := keys.Draw(t, "key"), entry{stateAt: rapid.Uint32().Draw(t, "version")}
			*got.at(k), want[k] = e, e
		}
		for range 50 {
			if k := keys.Draw(t, "look up"); got.get(k) != want[k] {
				t.Fatalf("%v is %v, want %v", k, got.get(k), want[k])
			}
		}
		if got.used != len(want) {
			t.Fatalf("%d in use of %d", got.used, len(want))
		}
	})
}
