package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/client"
	"tenure/shared/testkit"
)

const crowd = 100

// TestAHundredSignUpsAtOnce: each id is asked for three times at once, twice with the same key. There is one tenant of
// each, and one of everything that a tenant has.
func TestAHundredSignUpsAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	var wg sync.WaitGroup
	statuses := make([][3]int, crowd)
	for i := range crowd {
		for call, key := range []string{"one", "one", "another"} {
			wg.Go(func() { statuses[i][call] = s.register(crowdName(i), key) })
		}
	}
	wg.Wait()
	for i := range crowd {
		require.Contains(t, [][3]int{
			{http.StatusAccepted, http.StatusAccepted, http.StatusConflict},
			{http.StatusConflict, http.StatusConflict, http.StatusAccepted},
		}, statuses[i], "a key is answered the same however often it comes, and one of two keys is too late")
	}
	testkit.WaitFor(t, time.Minute, "all to be active", func() bool { return s.inState("active") == crowd })

	db := s.database()
	s.settled(db)
	checkLogs(t, db)
	for name, query := range map[string]string{
		"sign-ups":     `SELECT count(*) FROM lifecycle.log WHERE type LIKE '%.tenant.registered.v1'`,
		"provisioning": `SELECT count(*) FROM lifecycle.log WHERE type LIKE '%.step.requested.v1'`,
		"activations":  `SELECT count(*) FROM lifecycle.log WHERE type LIKE '%.tenant.activated.v1'`,
		"capacities":   `SELECT count(*) FROM sample.capacities`,
	} {
		require.Equal(t, crowd, count(t, db, query), name)
	}
	require.Equal(t, crowd, s.countStripeCalls("POST", "/v1/customers", ""), "customers")
	require.Equal(t, crowd, s.countStripeCalls("POST", "/v1/subscriptions", ""), "subscriptions")
	for i := range crowd {
		require.Len(t, s.charges(crowdName(i)).Charges, 1)
	}
}

func crowdName(i int) string { return fmt.Sprintf("crowd-%02d", i) }

// register signs a tenant up, once, with a key, and returns the status of the answer.
func (s *system) register(id, key string) int {
	_, err := s.api.Register(s.context(time.Minute), client.Register{ID: id, Name: id, Email: id + "@example.com", Plan: "starter"},
		client.WithIdempotencyKey(id+"-"+key))
	var p *client.Error
	switch {
	case err == nil:
		return http.StatusAccepted
	case errors.As(err, &p):
		return p.Status
	}
	return 0
}

// inState counts the tenants in a state.
func (s *system) inState(state string) (n int) {
	for _, err := range s.api.Tenants(s.context(10*time.Second), client.TenantFilter{State: state}) {
		if err != nil {
			return -1
		}
		n++
	}
	return n
}

// TestAFailedSignUpLeavesNothing: what was made is removed, what was paid is given back, and only then the id is free.
func TestAFailedSignUpLeavesNothing(t *testing.T) {
	t.Parallel()
	s := start(t)
	db := s.database()
	s.sample(http.StatusOK, "_control", `{"fail_next":"provision"}`)
	require.Equal(t, http.StatusAccepted, s.register("acme", "first"))
	s.await("acme", "provisioning_failed")
	require.Len(t, s.charges("acme").Charges, 1, "the sign-up was paid")
	require.Equal(t, http.StatusConflict, s.register("acme", "too early"))

	status, answer := s.call("POST", s.at.HTTP+"/v1/tenants/acme/abandon", `{}`)
	require.Equal(t, http.StatusAccepted, status, answer)
	s.await("acme", "abandoned")
	require.Empty(t, capacities(t, db, "acme"))
	require.Zero(t, s.charges("acme").Net)
	for _, sub := range s.subscriptions("acme") {
		require.Equal(t, "canceled", sub.Status)
	}
	log := readStream(t, db, "acme")
	require.Equal(t, "tenure.lifecycle.provisioning.rolled_back.v1", log[len(log)-1].Type, "the id is freed last of all")

	require.Equal(t, http.StatusAccepted, s.register("acme", "again"))
	s.await("acme", "active")
	require.Equal(t, []string{"starter"}, capacities(t, db, "acme"))
	require.Positive(t, s.charges("acme").Net, "charged for the second sign-up alone")
	s.checkMoney(t, "acme", "starter")
}
