package meter_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/billing/internal/meter"
	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/services/billing/migrations"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/plans"
	"tenure/shared/testkit"
)

const metric = "embeddings"

var offer = plans.Offer{
	Plans: plans.Catalogue{
		{Name: "free"},
		{Name: "starter", Cents: 1000, Included: map[string]float64{metric: 10}},
		{Name: "professional", Cents: 2000, Included: map[string]float64{metric: 25}},
		{Name: "bare", Cents: 3000},
	},
	Usage: []plans.UsagePrice{{Metric: metric, Cents: 2}},
}

type database struct {
	pool  *pgxpool.Pool
	store *store.Store
	log   *eventlog.Log
}

func open(t *testing.T) database {
	t.Helper()
	url := testkit.Postgres(t)
	if err := pg.Migrate(t.Context(), url, "billing", migrations.Files); err != nil {
		t.Fatal(err)
	}
	db, err := pg.Open(t.Context(), url, "billing")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	log, err := eventlog.Open(t.Context(), db, eventlog.Config{Service: "billing"})
	if err != nil {
		t.Fatal(err)
	}
	return database{db, store.New(db, log), log}
}

// customer is a tenant with a subscription at a fakeStripe of its own.
type customer struct {
	database
	t        *testing.T
	name     string
	stripe   *fakeStripe
	invoices *meter.Invoices
	account  store.Account
	uses     int
}

var start = time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)

func newCustomer(t *testing.T, db database, name, to string, withItem bool) *customer {
	t.Helper()
	c := &customer{database: db, t: t, name: name, stripe: newFakeStripe()}
	c.invoices = meter.NewInvoices(db.store, c.stripe, offer)
	account, err := db.store.Open(t.Context(), store.Account{Tenant: name, Generation: 1, CustomerID: "cus_" + name})
	if err != nil {
		t.Fatal(err)
	}
	c.account = account
	c.stripe.subscribe(account.CustomerID, to, start, withItem)
	c.news()
	return c
}

// news stores what is live, as the reactor does.
func (c *customer) news() {
	c.t.Helper()
	c.account.Belief = plan.Belief{}
	if s := c.stripe.sub; s != nil {
		c.account.Belief = plan.Belief{SubscriptionID: s.ID, Plan: s.Plan, Status: s.Status, CurrentPeriodEnd: s.CurrentPeriodEnd}
	}
	err := pg.WithTx(c.t.Context(), c.pool, func(tx pgx.Tx) error { return c.store.Save(c.t.Context(), tx, c.account) })
	if err == nil {
		c.account, err = c.store.Account(c.t.Context(), c.name, 1)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *customer) use(quantity float64) {
	c.t.Helper()
	c.uses++
	err := c.store.Count(c.t.Context(), []store.Use{
		{Tenant: c.name, ID: fmt.Sprint(c.uses), Metric: metric, Period: "2026-01", Quantity: quantity, Priced: true},
	}, "free")
	if err != nil {
		c.t.Fatal(err)
	}
}

// report tries once; what went wrong is left to the next time.
func (c *customer) report() {
	c.t.Helper()
	if err := c.invoices.Report(c.t.Context(), 0); err != nil {
		c.t.Logf("report: %v", err)
	}
}

// settle reports until nothing is due.
func (c *customer) settle() {
	c.t.Helper()
	for range 10 {
		c.report()
		due, err := c.store.DueUsage(c.t.Context(), 0, 10)
		if err != nil {
			c.t.Fatal(err)
		}
		if len(due) == 0 {
			return
		}
	}
	c.t.Fatal("there is always something left to report")
}

func (c *customer) turn() {
	c.t.Helper()
	c.stripe.turn()
	c.news()
}

// pays checks what all invoices bill, and that the same was told.
func (c *customer) pays(want int64) {
	c.t.Helper()
	if c.stripe.invoiced != want {
		c.t.Errorf("%s: invoices bill %d, want %d", c.name, c.stripe.invoiced, want)
	}
	all, err := c.log.Read(c.t.Context(), c.pool, c.name, 0, 100)
	if err != nil {
		c.t.Fatal(err)
	}
	var told int64
	for _, e := range all {
		p, err := e.Payload()
		if err != nil {
			c.t.Fatal(err)
		}
		if billed, ok := p.(*events.UsageBilled); ok {
			told += billed.Quantity
		}
	}
	if told != c.stripe.invoiced {
		c.t.Errorf("%s: told %d billed, invoices say %d", c.name, told, c.stripe.invoiced)
	}
}

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the tests break things hundreds of times
	os.Exit(m.Run())
}

func TestUseIsInvoicedBeyondWhatThePlanIncludes(t *testing.T) {
	db := open(t)
	for name, withItem := range map[string]bool{"new": true, "old": false} {
		c := newCustomer(t, db, name, "starter", withItem)
		c.use(8)
		c.settle()
		c.use(14.5)
		c.settle()
		c.turn() // 22.5 used, 10 included: 12 billed, the half waits
		c.use(10.5)
		c.settle()
		c.turn() // 11 with the half
		c.use(9)
		c.settle() // within what is included
		c.turn()
		c.settle()
		c.pays(12 + 1)
	}
}

// TestUseAfterTheLastReportIsInTheNextPeriod also when the period turns before anybody has heard of it.
func TestUseAfterTheLastReportIsInTheNextPeriod(t *testing.T) {
	c := newCustomer(t, open(t), "acme", "bare", true)
	c.use(5)
	c.settle()
	c.use(7)
	c.stripe.turn()
	c.report()
	c.pays(5)
	c.news()
	c.turn()
	c.settle()
	c.pays(12)
}

func TestChangeOfPlanMakesNoUseDearerAfterwards(t *testing.T) {
	c := newCustomer(t, open(t), "acme", "professional", true)
	c.use(20)
	c.settle()
	c.stripe.sub.Plan = "starter" // at once
	c.use(6)
	c.settle()
	c.turn() // 26 used, 25 were included in this period
	c.settle()
	c.pays(1)
	c.use(26)
	c.settle()
	c.turn()
	c.settle()
	c.pays(1 + 16)
}

// TestUseFollowsTheTenantToItsNextSubscription unless the old one's last invoice has it.
func TestUseFollowsTheTenantToItsNextSubscription(t *testing.T) {
	db := open(t)
	for name, invoiced := range map[string]bool{"invoiced": true, "forgotten": false} {
		c := newCustomer(t, db, name, "bare", true)
		c.use(30)
		c.settle()
		c.stripe.end(invoiced)
		c.stripe.subscribe(c.account.CustomerID, "bare", start.AddDate(0, 0, 10), true)
		c.news()
		c.use(4)
		c.report()
		c.report()
		if _, err := db.pool.Exec(t.Context(), `UPDATE usage_items SET gone_at = gone_at - interval '3 hours'`); err != nil {
			t.Fatal(err)
		}
		c.settle()
		c.turn()
		c.settle()
		c.pays(34)
	}
}

// TestFreeUseStaysFree: what was used before, in a trial and after the subscription is nothing to a later one.
func TestFreeUseStaysFree(t *testing.T) {
	c := newCustomer(t, open(t), "acme", "bare", true)
	c.stripe.sub.Status = plan.Trialing
	c.news()
	c.use(100)
	c.settle()
	c.stripe.sub.Status = plan.Active
	c.turn()
	c.use(3)
	c.settle()
	c.stripe.end(true)
	c.news()
	c.use(1000)
	c.settle()
	c.stripe.subscribe(c.account.CustomerID, "bare", start.AddDate(1, 0, 0), true)
	c.news()
	c.use(2)
	c.settle()
	c.turn()
	c.settle()
	c.pays(3 + 2)
}

// TestUpgradeThatComesToNothingLeavesNothingToPay: the tenant was subscribed for a moment, and stays on its free plan.
func TestUpgradeThatComesToNothingLeavesNothingToPay(t *testing.T) {
	c := newCustomer(t, open(t), "acme", "bare", true)
	agree := func(version int64, to string) {
		t.Helper()
		err := pg.WithTx(t.Context(), c.pool, func(tx pgx.Tx) error {
			return c.store.Agree(t.Context(), tx, "acme", version, func(a plan.Agreement) plan.Agreement {
				a.Plan, a.State = to, plan.Live
				return a
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	agree(1, "free")
	c.use(40)
	c.settle()
	agree(2, "bare")
	c.use(2)
	c.settle()
	c.turn()
	c.settle()
	c.pays(2)
}

func TestNewLifePaysNothingOfTheOldOne(t *testing.T) {
	c := newCustomer(t, open(t), "acme", "bare", true)
	c.use(50)
	c.settle()
	c.turn()
	c.settle()
	c.use(60)
	c.settle()
	err := pg.WithTx(t.Context(), c.pool, func(tx pgx.Tx) error { return c.store.ForgetUsage(t.Context(), tx, "acme") })
	if err != nil {
		t.Fatal(err)
	}
	c.settle() // Stripe was told 60
	c.use(7)
	c.settle()
	c.turn()
	c.settle()
	c.pays(50 + 7)
}

// story is told to every customer below: 30 used in the first period, 12 in the second, 5 in the third; 10 are included
// in each. after is called between its parts.
func story(c *customer, after func()) {
	for _, part := range []func(){
		func() { c.use(20) }, func() { c.use(10) }, c.turn, func() { c.use(12) }, c.turn, func() { c.use(5) },
	} {
		part()
		after()
	}
	c.settle()
	c.turn()
	c.settle()
}

// TestEveryCallMayFail breaks each call to Stripe of the story, in each way. Whether the report is made again at once, or the
// story goes on first and the period turns meanwhile, nothing is billed twice and nothing is lost.
func TestEveryCallMayFail(t *testing.T) {
	db := open(t)
	calm := newCustomer(t, db, "calm", "bare", false)
	story(calm, calm.report)
	calm.pays(47)

	for _, in := range troubles {
		for at := 1; at <= calm.stripe.calls; at++ {
			for _, again := range []bool{false, true} {
				c := newCustomer(t, db, fmt.Sprintf("c%d-%c-%v", at, in[4], again), "bare", false)
				c.stripe.at, c.stripe.in = at, in
				after := c.report
				if again {
					after = c.settle
				}
				story(c, after)
				c.pays(47)
			}
		}
	}
}

// TestSeveralProcessesReportAtOnce over the same customer, as they do when one of them is slow.
func TestSeveralProcessesReportAtOnce(t *testing.T) {
	c := newCustomer(t, open(t), "acme", "bare", true)
	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for range 3 {
		others.Go(func() {
			for ctx.Err() == nil {
				_ = c.invoices.Report(ctx, 0) // the last report of all, below, has to succeed
			}
		})
	}
	for range 10 {
		for range 10 {
			c.use(3)
			c.report()
		}
		c.turn()
	}
	stop()
	others.Wait()
	c.settle()
	c.turn()
	c.settle()
	c.pays(10 * 10 * 3)
}

// TestEveryWriteMayFail breaks what is written down of a report: as if the process had died in that moment.
func TestEveryWriteMayFail(t *testing.T) {
	db := open(t)
	for _, write := range []struct{ table, op string }{
		{"usage_items", "INSERT"}, {"usage_items", "UPDATE"}, {"usage_billed", "INSERT"}, {"usage_reports", "UPDATE"},
	} {
		for times := 1; times <= 3; times++ {
			for part := 1; part <= 6; part++ { // before which it breaks
				c := newCustomer(t, db, fmt.Sprintf("%s-%s-%d-%d", write.table, write.op, times, part), "bare", true)
				parts, heal := 0, func() {}
				story(c, func() {
					if parts++; parts == part {
						when := ""
						if write.table == "usage_reports" {
							when = "OLD.invoiced <> NEW.invoiced" // the last write of a report
						}
						heal = testkit.FailQuery(t, db.pool, testkit.Failure{Table: "billing." + write.table, Op: write.op, Times: times, When: when})
					}
					c.report()
				})
				heal()
				c.pays(47)
			}
		}
	}
}
