package gate

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"tenure/shared/events"
)

const benchTenants = 100_000

// filled is a gate that knows n tenants, as if it had read them from the bus.
func filled(t testing.TB, n int) (*Gate, []string) {
	t.Helper()
	g := New(Config{})
	g.ready.Store(true)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("tenant-%08d", i)
		e := lifecycleEvent(t, ids[i], 1, &events.TenantActivated{Change: moved("active"), Plan: "starter"})
		if err := g.replica.apply(e); err != nil {
			t.Fatal(err)
		}
	}
	return g, ids
}

func TestCheckAllocatesNothing(t *testing.T) {
	g, ids := filled(t, 10)
	for _, tenant := range []string{ids[3], "nobody"} {
		if n := testing.AllocsPerRun(100, func() { g.Check(tenant, Ingest) }); n != 0 {
			t.Errorf("check of %s allocates %v times", tenant, n)
		}
	}
}

// BenchmarkCheck asks for tenants in random order, so that the keys are cold.
func BenchmarkCheck(b *testing.B) {
	g, ids := filled(b, benchTenants)
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	b.ResetTimer()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(len(ids)); pb.Next(); i++ {
			if !g.Check(ids[i%len(ids)], Query).Allowed {
				b.Error("refused")
			}
		}
	})
}

// BenchmarkReplicaMemory reports what one tenant costs, its id included.
func BenchmarkReplicaMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		g, _ := filled(b, benchTenants)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benchTenants, "B/tenant")
		runtime.KeepAlive(g)
	}
}
