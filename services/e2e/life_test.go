package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/client"
	"tenure/shared/testkit"
)

// TestTheDemo is `make demo EXIT=1`: every step of a tenant's whole life comes out as expected.
func TestTheDemo(t *testing.T) {
	t.Parallel()
	path, err := binary()
	require.NoError(t, err)
	cmd := exec.Command(path, "demo", "--exit", "--dir", t.TempDir(), "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--stripe", "127.0.0.1:0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestFiftyUpgradesAreOneChange sends 50 upgrades of one tenant at once: one is taken, and Stripe sees one change.
func TestFiftyUpgradesAreOneChange(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.signUp("acme", "starter")
	before := s.charges("acme")
	statuses := make(chan int, 50)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			status, _ := s.call("POST", s.at.HTTP+"/v1/tenants/acme/upgrade", `{"plan":"professional"}`)
			statuses <- status
		})
	}
	wg.Wait()
	close(statuses)
	count := map[int]int{}
	for status := range statuses {
		count[status]++
	}
	require.Equal(t, map[int]int{http.StatusAccepted: 1, http.StatusConflict: 49}, count)
	require.Equal(t, "professional", s.await("acme", "active").Plan)
	require.Len(t, s.charges("acme").Charges, len(before.Charges)+1, "one change is one charge")
	require.Equal(t, 1, s.countStripeCalls("POST", "/v1/subscriptions/", "pending_if_incomplete"))
}

// countStripeCalls counts the calls that took effect whose path begins with prefix and whose parameters hold text.
func (s *system) countStripeCalls(method, prefix, text string) int {
	s.t.Helper()
	_, body := s.call("GET", s.at.Stripe+"/_sim/log", "")
	var calls []struct {
		Method   string          `json:"method"`
		Path     string          `json:"path"`
		Params   json.RawMessage `json:"params"`
		Replayed bool            `json:"replayed"`
		Applied  bool            `json:"applied"`
	}
	require.NoError(s.t, json.Unmarshal([]byte(body), &calls), body)
	n := 0
	for _, c := range calls {
		if c.Method == method && strings.HasPrefix(c.Path, prefix) && c.Applied && !c.Replayed && strings.Contains(string(c.Params), text) {
			n++
		}
	}
	return n
}

// TestADeclinedCardLeavesTheOldPlan: a failed plan change leaves neither a charge nor resources behind.
func TestADeclinedCardLeavesTheOldPlan(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.signUp("acme", "starter")
	before := s.charges("acme")
	status, body := s.call("POST", s.at.Stripe+"/_sim/payment-methods", `{"tenant":"acme","outcome":"decline"}`)
	require.Less(t, status, 300, body)
	ctx := s.context(time.Minute)
	op, err := s.api.Upgrade(ctx, "acme", client.Upgrade{Plan: "professional"})
	require.NoError(t, err)
	testkit.WaitFor(t, time.Minute, "the upgrade to end", func() bool {
		op, err = s.api.Operation(ctx, op.ID)
		return err == nil && op.Ended()
	})
	require.Equal(t, client.StatusRolledBack, op.Status, "%+v", op)
	tenant := s.await("acme", "active")
	require.Equal(t, "starter", tenant.Plan)
	require.Equal(t, before.Net, s.charges("acme").Net)
	s.checkMoney(t, "acme", "starter")
}

// TestStripeDownDelaysAndNothingElse: while Stripe fails, access is unchanged; when it is back, the change ends.
func TestStripeDownDelaysAndNothingElse(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.signUp("acme", "starter")
	for _, outcome := range []string{`500`, `"drop_after_apply"`} {
		status, body := s.call("POST", s.at.Stripe+"/_sim/faults", fmt.Sprintf(`{"path_prefix":"/v1/subscriptions","outcome":%s,"times":3}`, outcome))
		require.Less(t, status, 300, body)
	}
	ctx := s.context(2 * time.Minute)
	op, err := s.api.Upgrade(ctx, "acme", client.Upgrade{Plan: "professional"})
	require.NoError(t, err)
	status, body := s.call("POST", s.at.HTTP+"/sample/acme/query", `{"q":"x"}`)
	require.Equal(t, 200, status, body)
	testkit.WaitFor(t, 100*time.Second, "the upgrade to end", func() bool {
		op, err = s.api.Operation(ctx, op.ID)
		return err == nil && op.Ended()
	})
	require.Equal(t, client.StatusSucceeded, op.Status, "%+v", op)
	require.Len(t, s.charges("acme").Charges, 2, "the sign-up and the change, each once")
	s.checkMoney(t, "acme", "professional")
}
