package lifecycle_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/events"
	"tenure/shared/testkit"
)

func (b *bills) waitForCold(cold bool) {
	b.t.Helper()
	testkit.WaitFor(b.t, 10*time.Second, "it to be cold or not", func() bool { return (b.show()["cold"] == true) == cold })
}

// A tenant that nobody uses is cold until somebody does; what is told again is no use, nor is the turn of a month.
func TestAnIdleTenantCoolsUntilItIsUsed(t *testing.T) {
	t.Parallel()
	b := newRig(t, "TENURE_RETENTION_UNIT=300ms", "TENURE_IDLE_AFTER_DAYS=1").paying("acme", "starter")
	b.waitForCold(true) // it was never used
	for i := range 2 {
		b.publish(&events.UsageUpdated{Queries: int64(i + 1), Documents: 1, Period: "2026-01"})
		b.collect(func(list []events.Event) bool { return count(list, "tenant.warmed") == i+1 })
		b.collect(func(list []events.Event) bool { return count(list, "tenant.cooled") == i+2 })
	}
	b.publish(&events.UsageUpdated{Queries: 2, Documents: 1, Period: "2026-01"})
	b.publish(&events.UsageUpdated{Documents: 1, Period: "2026-02"})
	testkit.WaitFor(t, 10*time.Second, "the month to be known", func() bool { return b.show()["usage"].(map[string]any)["queries"] == 0.0 })
	require.Equal(t, true, b.show()["cold"])

	b.post("/delete", `{"retention_days":1}`)
	all := b.collect(func(list []events.Event) bool { return count(list, "purge.started") == 1 })
	require.Equal(t, []int{3, 2}, []int{count(all, "tenant.cooled"), count(all, "tenant.warmed")})
}

// A shorter time counts for tenants too that were to be looked at much later.
func TestAShorterTimeCountsForAll(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	r.stop()
	r.env["TENURE_RETENTION_UNIT"], r.env["TENURE_IDLE_AFTER_DAYS"] = "10ms", "1"
	r.start()
	(&bills{rig: r, tenant: "acme"}).waitForCold(true)
}

func count(list []events.Event, name string) (n int) {
	for _, e := range list {
		if e.Name() == name {
			n++
		}
	}
	return n
}
