package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/client"
	"tenure/shared/testkit"
)

// loss is a call to Stripe that takes effect and whose answer is lost, because we die.
type loss struct {
	name string
	plan string // that the tenant is on before; empty: it signs up
	path string // of the call
	// is picks the call among those that changed something.
	is func(c call) bool
	do func(w *moneyWorld, id string) error
	// charges and refunds are how many there are in the end.
	charges, refunds int
}

var losses = []loss{
	{
		name: "customer", path: "/v1/customers",
		is: posted("/v1/subscriptions"), do: (*moneyWorld).register, charges: 1,
	},
	{
		name: "subscribe", path: "/v1/subscriptions",
		is: posted("/v1/subscriptions"), do: (*moneyWorld).register, charges: 1,
	},
	{
		name: "raise", plan: "starter", path: "/v1/subscriptions/",
		is: changesPrice, do: (*moneyWorld).raise, charges: 2,
	},
	{
		name: "lower", plan: "professional", path: "/v1/subscriptions/",
		is: changesPrice, do: (*moneyWorld).lower, charges: 1,
	},
	{
		name: "schedule", plan: "professional", path: "/v1/subscription_schedules",
		is: posted("/v1/subscription_schedules"), do: (*moneyWorld).schedule, charges: 1,
	},
	{
		name: "phases of a schedule", plan: "professional", path: "/v1/subscription_schedules/",
		is: posted("/v1/subscription_schedules"), do: (*moneyWorld).schedule, charges: 1,
	},
	{
		name: "refund", plan: "starter", path: "/v1/refunds",
		is: posted("/v1/refunds"), do: failing((*moneyWorld).raise), charges: 2, refunds: 1,
	},
	{
		name: "credit taken back", plan: "professional", path: "/v1/customers/",
		is: func(c call) bool { return strings.HasSuffix(c.Path, "/balance_transactions") }, do: failing((*moneyWorld).lower), charges: 1,
	},
}

// TestKillMinusNineBetweenStripeAndUs kills the system in the moment in which Stripe has done something and we do not know
// it yet. Whatever it was, it is done once.
func TestKillMinusNineBetweenStripeAndUs(t *testing.T) {
	t.Parallel()
	w := newMoneyWorld(t)
	for _, l := range losses {
		w.lose(t, l, func(string) {})
	}
}

// TestKillMinusNineAndAnExpiredKey is the same, and nobody comes back for so long that Stripe has forgotten the
// idempotency key: what was done can only be found by looking.
func TestKillMinusNineAndAnExpiredKey(t *testing.T) {
	t.Parallel()
	w := newMoneyWorld(t)
	for _, l := range losses {
		w.lose(t, l, w.expire)
	}
}

// lose plays one loss with a tenant of its own; meanwhile is what happens while we are down.
func (w *moneyWorld) lose(t *testing.T, l loss, meanwhile func(id string)) {
	id := "lost-" + strings.ReplaceAll(l.name, " ", "-")
	p := w.join(id, nil)
	if l.plan != "" {
		w.signUp(id, l.plan)
	}
	w.settle()
	before := len(w.applied(id))
	w.tell("POST", "/faults", map[string]any{"path_prefix": l.path, "method": "POST", "outcome": "drop_after_apply", "times": 1}, nil)
	require.NoError(t, l.do(w, id), l.name)
	testkit.WaitFor(t, time.Minute, l.name+" to be lost", func() bool {
		var left []any
		w.tell("GET", "/faults", nil, &left)
		return len(left) == 0
	})
	// Nobody gets through to Stripe before we are dead, nor afterwards until that is wished for.
	w.tell("POST", "/faults", map[string]any{"path_prefix": "/v1/", "outcome": "429", "times": 1_000_000}, nil)
	w.restart()
	var undone int
	require.NoError(t, w.db.QueryRow(w.context(time.Minute), `SELECT count(*) FROM billing.works WHERE tenant = $1 AND done_at IS NULL`, id).Scan(&undone))
	w.say("restarted")
	require.Equal(t, 1, undone, "%s: it was killed too late to lose anything", l.name)
	meanwhile(id)
	w.tell("DELETE", "/faults", nil, nil)
	w.settle()
	w.say("settled")
	w.now = w.advance(0)

	var done []call
	for _, c := range w.applied(id)[before:] {
		if l.is(c) {
			done = append(done, c)
		}
	}
	require.Len(t, done, 1, l.name)
	count := map[string]int{}
	for _, c := range w.charges(id).Charges {
		count[c.Kind]++
	}
	require.Equal(t, [2]int{l.charges, l.refunds}, [2]int{count["charge"], count["refund"]}, "%s: charges and refunds", l.name)
	w.checkAccount(p)
	w.checkAccess(p)
}

// expire lets a day and an hour go by, on both clocks. The tenant's history is settled by when it was asked for.
func (w *moneyWorld) expire(id string) {
	w.advance(25 * time.Hour)
	_, err := w.db.Exec(w.context(time.Minute), `UPDATE billing.works SET tried_at = tried_at - interval '25 hours' WHERE tenant = $1 AND done_at IS NULL`, id)
	require.NoError(w.t, err)
}

// posted picks the calls that make a new object.
func posted(path string) func(c call) bool {
	return func(c call) bool { return c.Method == http.MethodPost && c.Path == path }
}

// changesPrice picks updates that move a subscription to another price.
func changesPrice(c call) bool {
	_, ok := c.Params["items[0][price]"]
	return ok && c.Method == http.MethodPost && strings.HasPrefix(c.Path, "/v1/subscriptions/")
}

func (w *moneyWorld) register(id string) error {
	_, err := w.api.Register(w.context(time.Minute), client.Register{ID: id, Name: "Tenant " + id, Email: id + "@example.com", Plan: "starter"})
	return err
}

func (w *moneyWorld) raise(id string) error {
	_, err := w.api.Upgrade(w.context(time.Minute), id, client.Upgrade{Plan: "enterprise"})
	return err
}

func (w *moneyWorld) lower(id string) error {
	_, err := w.api.Downgrade(w.context(time.Minute), id, client.Downgrade{Plan: "starter", At: "now"})
	return err
}

func (w *moneyWorld) schedule(id string) error {
	_, err := w.api.Downgrade(w.context(time.Minute), id, client.Downgrade{Plan: "starter", At: "period_end"})
	return err
}

// failing lets the change fail after it was billed, so that its money goes back.
func failing(do func(*moneyWorld, string) error) func(*moneyWorld, string) error {
	return func(w *moneyWorld, id string) error {
		status, body := w.call("POST", w.at.HTTP+"/sample/_control", `{"fail_next":"switch"}`)
		require.Less(w.t, status, 300, body)
		return do(w, id)
	}
}
