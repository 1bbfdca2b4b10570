package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

const (
	// moneySeeds is how many worlds `make test` plays. TENURE_TEST_MONEY_SEEDS sets another number, to look for rarer
	// interleavings: go test ./services/e2e -run TestMoneyFollowsThePlanHistory -timeout 2h with 50 of them.
	moneySeeds     = 3
	moneySeedsKnob = "TENURE_TEST_MONEY_SEEDS"
	firstSeed      = 20261122
	moneyTenants   = 6
	moneyRounds    = 14
)

// TestMoneyFollowsThePlanHistory plays random commands of several tenants at once against declined cards, faults of
// Stripe, webhooks that come twice, late and in any order, the ends of billing periods, and kill -9. When all has settled,
// each tenant has paid to the cent what its plan history says.
func TestMoneyFollowsThePlanHistory(t *testing.T) {
	seeds := moneySeeds
	if more := os.Getenv(moneySeedsKnob); more != "" {
		var err error
		seeds, err = strconv.Atoi(more)
		require.NoError(t, err, moneySeedsKnob)
	}
	for i := range seeds {
		t.Run(fmt.Sprintf("seed %d", firstSeed+i), func(t *testing.T) {
			t.Parallel()
			playMoney(t, uint64(firstSeed+i))
		})
	}
}

// playMoney plays one world. The seed settles what is asked for; how the answers interleave is the machine's business.
func playMoney(t *testing.T, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 0))
	grace := []string{"0s", "168h"}[seed%2]
	w := newMoneyWorld(t, "TENURE_DUNNING_GRACE="+grace)
	w.dice = dice
	w.say("seed %d, grace %s", seed, grace)
	for i := range moneyTenants {
		w.join(fmt.Sprintf("money-%d", i), rand.New(rand.NewPCG(seed, uint64(1+i))))
	}
	for round := range moneyRounds {
		w.round(round == moneyRounds/2)
	}
	w.end()
	w.check()
}

// moneyWorld is a system with its players. Stripe's clock stands still but between two rounds, so that the time of every
// change is known.
type moneyWorld struct {
	*system
	dice    *rand.Rand
	db      *pgxpool.Pool
	players []*player
	now     time.Time              // Stripe's
	noted   map[string][]time.Time // Stripe's time of each event of a tenant's log
	log     []string
}

// newMoneyWorld starts a system whose history is told when the test fails.
func newMoneyWorld(t *testing.T, settings ...string) *moneyWorld {
	t.Helper()
	s := start(t, append([]string{"TENURE_STRIPE_POLL_INTERVAL=1s"}, settings...)...)
	w := &moneyWorld{system: s, db: s.database(), noted: map[string][]time.Time{}}
	w.now = s.freeze()
	t.Cleanup(func() {
		t.Log(strings.Join(w.log, "\n"))
		if t.Failed() {
			for _, p := range w.players {
				w.tellHistory(p)
			}
		}
	})
	return w
}

// join adds a tenant to the world.
func (w *moneyWorld) join(id string, dice *rand.Rand) *player {
	p := newPlayer(w.system, id, dice)
	w.players = append(w.players, p)
	return p
}

func (w *moneyWorld) say(format string, args ...any) {
	w.log = append(w.log, time.Now().Format("15:04:05.0 ")+w.now.Format(time.DateTime)+"  "+fmt.Sprintf(format, args...))
}

// round lets all players act at once amid trouble, and moves the clock when everything has settled.
func (w *moneyWorld) round(crash bool) {
	w.t.Helper()
	w.cards()
	w.trouble(crash)
	ctx := w.context(2 * time.Minute)
	var wg sync.WaitGroup
	for _, p := range w.players {
		wg.Go(func() { p.play(ctx, 3) })
	}
	w.redeliver()
	if crash {
		<-time.After(time.Duration(100+w.dice.IntN(900)) * time.Millisecond) // the random moment
		w.restart()
	}
	wg.Wait()
	w.say("played")
	w.settle()
	w.say("settled")
	w.advanceBy(w.step())
}

// restart is kill -9, and a new start.
func (w *moneyWorld) restart() {
	w.t.Helper()
	w.say("kill -9")
	w.kill()
	w.launch()
	w.db.Reset() // those connections are broken
}

// trouble adds faults to Stripe. Those that meet no call in this round stay for a later one.
func (w *moneyWorld) trouble(crash bool) {
	paths := []string{
		"/v1/", "/v1/customers", "/v1/subscriptions", "/v1/subscriptions/", "/v1/subscription_schedules", "/v1/invoices", "/v1/refunds", "/v1/events",
	}
	outcomes := []string{"429", "500", "503", "drop_after_apply"}
	if crash {
		outcomes = append(outcomes, "timeout") // the kill ends the wait for an answer
	}
	for range w.dice.IntN(4) {
		fault := map[string]any{
			"path_prefix": pick(w.dice, paths), "method": pick(w.dice, []string{"", "GET", "POST"}),
			"outcome": pick(w.dice, outcomes), "times": 1 + w.dice.IntN(3),
		}
		if fault["outcome"] == "timeout" {
			fault["times"] = 1 // what outlives the kill takes half a minute
		}
		w.say("fault %v", fault)
		w.tell("POST", "/faults", fault, nil)
	}
}

// redeliver sends webhooks once more, of any age and in any order.
func (w *moneyWorld) redeliver() {
	var all []struct {
		ID string `json:"id"`
	}
	w.tell("GET", "/events", nil, &all)
	for range min(len(all), 10) {
		w.tell("POST", "/deliver", map[string]any{"event_id": pick(w.dice, all).ID, "times": 1 + w.dice.IntN(2)}, nil)
	}
}

// cards lets some cards decline, and work again after a round and a move of the clock: after some more Stripe would give
// up on them.
func (w *moneyWorld) cards() {
	for _, p := range w.players {
		switch ctx := w.context(time.Minute); {
		case p.broke:
			p.fix(ctx, w.dice.IntN(2) == 0)
		case p.owes:
			p.pay(ctx)
		case w.dice.IntN(4) == 0:
			p.goBroke(ctx)
		}
	}
}

// step is how far the clock moves: a while, or over the end of somebody's period.
func (w *moneyWorld) step() time.Duration {
	if w.dice.IntN(3) == 0 {
		return time.Duration(1+w.dice.IntN(72)) * time.Hour
	}
	for _, i := range w.dice.Perm(len(w.players)) {
		end := w.ledger(w.players[i].id).end
		if left := end.Sub(w.now); left > 0 && left < 12*24*time.Hour {
			return left + time.Duration(w.dice.IntN(3*3600))*time.Second
		}
	}
	return time.Duration(3+w.dice.IntN(9)) * 24 * time.Hour
}

func (w *moneyWorld) advanceBy(d time.Duration) {
	w.now = w.advance(d)
	w.say("the clock moved by %s", d)
}

// end clears all trouble and lets everybody pay, until nothing is owed any more.
func (w *moneyWorld) end() {
	w.t.Helper()
	w.tell("DELETE", "/faults", nil, nil)
	for _, p := range w.players {
		p.fix(w.context(time.Minute), false)
	}
	w.say("no more trouble")
	for range 10 {
		w.settle()
		w.say("settled")
		if !w.owing() {
			return
		}
		w.advanceBy(61 * time.Minute) // drafts become due
		for _, p := range w.players {
			p.pay(w.context(time.Minute))
		}
	}
	w.t.Error("there are still invoices to be paid")
}

// owing reports whether an invoice is to be paid yet.
func (w *moneyWorld) owing() bool {
	for _, p := range w.players {
		for _, i := range w.invoices(p.id) {
			if i.Status == "draft" || i.Status == "open" {
				w.say("%s owes %s %s of %d cents (%s)", p.id, i.Status, i.ID, i.Total, i.Reason)
				return true
			}
		}
	}
	return false
}

// settle waits until everything is done, and notes when it was done by Stripe's clock.
func (w *moneyWorld) settle() {
	w.t.Helper()
	w.settled(w.db)
	w.digested()
	ctx := w.context(time.Minute)
	for _, p := range w.players {
		var version int
		require.NoError(w.t, w.db.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM lifecycle.log WHERE stream = $1`, p.id).Scan(&version))
		for len(w.noted[p.id]) < version {
			w.noted[p.id] = append(w.noted[p.id], w.now)
		}
	}
}

// ledger is what a tenant should have paid by now.
func (w *moneyWorld) ledger(id string) ledger {
	w.t.Helper()
	var l ledger
	times := w.noted[id]
	for i, e := range readStream(w.t, w.db, id) {
		if i < len(times) {
			require.NoError(w.t, l.take(times[i], e.Time, e.Type, e.Data), "%s %d", id, e.Sequence)
		}
	}
	l.renew(w.now)
	return l
}

func pick[T any](dice *rand.Rand, from []T) T { return from[dice.IntN(len(from))] }
