package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenure/shared/client"
)

const (
	crashSeed    = 20261122
	crashTenants = 20
	crashChanges = 200
	crashKills   = 8
)

var ladder = []string{"free", "starter", "professional", "enterprise"}

// change is one accepted or refused plan change.
type change struct {
	tenant, key, command, plan string
	operation                  string // of an accepted one
}

// TestKillMinusNineDuringPlanChanges is the promise that an accepted command survives kill -9: 200 plan changes on 20
// tenants while the whole of `tenure dev` is killed at random moments and started again on the same directory.
func TestKillMinusNineDuringPlanChanges(t *testing.T) {
	s := start(t)
	for i := range crashTenants {
		s.signUp(crashTenant(i), "starter")
	}
	changes := s.changeWhileKilled(rand.New(rand.NewPCG(crashSeed, 1)))

	db := s.database()
	s.settled(db)
	checkLogs(t, db)
	accepted := 0
	plans := map[string]string{}
	for i := range crashTenants {
		tenant := s.await(crashTenant(i), "active")
		plans[tenant.ID] = tenant.Plan
	}
	for _, c := range changes {
		checkCounted(t, db, c)
		if c.operation != "" {
			accepted++
		}
	}
	t.Logf("%d of %d changes were accepted", accepted, len(changes))
	require.Greater(t, accepted, crashChanges/4, "the test must change something")
	for id, plan := range plans {
		s.checkMoney(t, id, plan)
	}
}

func crashTenant(i int) string { return fmt.Sprintf("crash-%02d", i) }

// changeWhileKilled sends the changes, a few at a time, from one goroutine per tenant; every call is repeated with its key
// until it is answered.
func (s *system) changeWhileKilled(dice *rand.Rand) []change {
	s.t.Helper()
	var mu sync.Mutex
	var changes []change
	var wg sync.WaitGroup
	left := make(chan struct{}, crashChanges)
	for range crashChanges {
		left <- struct{}{}
	}
	close(left)
	for i := range crashTenants {
		own := rand.New(rand.NewPCG(crashSeed, uint64(100+i)))
		api := s.api // the addresses stay the same over restarts
		wg.Go(func() {
			for n := 0; ; n++ {
				if _, more := <-left; !more {
					return
				}
				c := s.changePlan(api, own, crashTenant(i), n)
				mu.Lock()
				changes = append(changes, c)
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for range crashKills {
		select {
		case <-done:
		case <-time.After(time.Duration(300+dice.IntN(2500)) * time.Millisecond): // the random moment
		}
		s.kill()
		s.launch()
	}
	select {
	case <-done:
	case <-time.After(5 * time.Minute):
		s.t.Fatal("the changes did not end")
	}
	return changes
}

// changePlan moves a tenant to a random other plan and follows the operation for a while.
func (s *system) changePlan(api *client.Client, dice *rand.Rand, id string, n int) change {
	ctx := s.context(4 * time.Minute)
	c := change{tenant: id, key: fmt.Sprintf("%s-change-%d", id, n), plan: ladder[1+dice.IntN(3)]}
	tenant := untilAnswered(ctx, func() (client.Tenant, error) { return api.Tenant(ctx, id) })
	for tenant.Plan == c.plan {
		c.plan = ladder[1+dice.IntN(3)]
	}
	c.command = "downgrade"
	if slices.Index(ladder, c.plan) > slices.Index(ladder, tenant.Plan) {
		c.command = "upgrade"
	}
	op := untilAnswered(ctx, func() (client.Operation, error) {
		if c.command == "upgrade" {
			return api.Upgrade(ctx, id, client.Upgrade{Plan: c.plan}, client.WithIdempotencyKey(c.key))
		}
		return api.Downgrade(ctx, id, client.Downgrade{Plan: c.plan, At: "now"}, client.WithIdempotencyKey(c.key))
	})
	c.operation = op.ID
	if op.ID != "" {
		untilAnswered(ctx, func() (client.Operation, error) {
			op, err := api.Operation(ctx, op.ID)
			if err == nil && !op.Ended() {
				err = errRunning
			}
			return op, err
		})
	}
	return c
}

var errRunning = fmt.Errorf("still running")

// untilAnswered repeats a call until the system says yes or no.
func untilAnswered[T any](ctx context.Context, call func() (T, error)) T {
	for {
		out, err := call()
		if err == nil || (refusal(err) != "" && refusal(err) != "unavailable") {
			return out
		}
		select {
		case <-ctx.Done():
			return out
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// checkCounted holds a change against the log: its key stands there exactly once, and an accepted one has exactly one end.
func checkCounted(t *testing.T, db *pgxpool.Pool, c change) {
	t.Helper()
	var keys int
	require.NoError(t, db.QueryRow(context.Background(), `SELECT count(*) FROM lifecycle.log WHERE stream = $1 AND command_key = $2`,
		c.tenant, "http/"+c.key).Scan(&keys))
	require.Equal(t, 1, keys, "%s of %s", c.key, c.tenant)
	if c.operation == "" {
		return
	}
	var ends int
	require.NoError(t, db.QueryRow(context.Background(), `SELECT count(*) FROM lifecycle.log WHERE stream = $1
		AND type ~ 'lifecycle\.(upgrade|downgrade)\.(completed|rolled_back)\.v1' AND data::json->>'operation_id' = $2`,
		c.tenant, c.operation).Scan(&ends))
	require.Equal(t, 1, ends, "%s of %s ended %d times", c.command, c.tenant, ends)
}

// checkMoney holds Stripe's subscriptions against the plan: one live subscription, on this plan.
func (s *system) checkMoney(t *testing.T, id, plan string) {
	t.Helper()
	var live []string
	for _, sub := range s.subscriptions(id) {
		if sub.Status == "active" || sub.Status == "trialing" || sub.Status == "past_due" {
			live = append(live, sub.plan())
		}
	}
	require.Equal(t, []string{plan}, live, "live subscriptions of %s", id)
}

type subscription struct {
	ID       string            `json:"id"`
	Status   string            `json:"status"`
	Metadata map[string]string `json:"metadata"`
	Items    struct {
		Data []struct {
			ID    string `json:"id"`
			Price struct {
				LookupKey string `json:"lookup_key"`
			} `json:"price"`
		} `json:"data"`
	} `json:"items"`
}

// plan is the one that the price's lookup key names.
func (s subscription) plan() string {
	if len(s.Items.Data) == 0 {
		return ""
	}
	key := s.Items.Data[0].Price.LookupKey
	if i := slices.IndexFunc(ladder, func(plan string) bool { return strings.Contains(key, plan) }); i >= 0 {
		return ladder[i]
	}
	return key
}

// stripe reads from the simulator's API with the key that the dev stack made up.
func (s *system) stripe(path string) (int, string) {
	s.t.Helper()
	return s.callAs(s.stripeKey(), "GET", s.at.Stripe+path, "")
}

func (s *system) stripeKey() string {
	s.t.Helper()
	content, err := os.ReadFile(filepath.Join(s.dir, "state", "stack.json"))
	require.NoError(s.t, err)
	var secrets struct {
		Key string `json:"stripe_api_key"`
	}
	require.NoError(s.t, json.Unmarshal(content, &secrets))
	return secrets.Key
}

// subscriptions asks the simulator as Stripe's API is asked.
func (s *system) subscriptions(id string) []subscription {
	s.t.Helper()
	var found []subscription
	after := ""
	for {
		status, body := s.stripe("/v1/subscriptions?limit=100&status=all" + after)
		require.Equal(s.t, 200, status, body)
		var page struct {
			Data    []subscription `json:"data"`
			HasMore bool           `json:"has_more"`
		}
		require.NoError(s.t, json.Unmarshal([]byte(body), &page))
		for _, sub := range page.Data {
			if sub.Metadata["tenant_id"] == id {
				found = append(found, sub)
			}
		}
		if !page.HasMore {
			return found
		}
		after = "&starting_after=" + page.Data[len(page.Data)-1].ID
	}
}
