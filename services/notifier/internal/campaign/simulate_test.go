package campaign_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tenure/services/notifier/internal/campaign"
	"tenure/shared/events"
	"tenure/shared/plans"
)

const day = 24 * time.Hour

// begin is a Monday, before Europe's and America's clocks change.
var begin = time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)

func text(words string) map[string]campaign.Text {
	return map[string]campaign.Text{"en": {Subject: words, Body: "{{.Link}}"}}
}

func yes() *bool { b := true; return &b }

// busy is a file in which everything there is bounds something.
var busy = campaign.File{
	Frequency: campaign.Frequency{Mails: 2, Days: 7},
	Quiet:     campaign.Quiet{From: 19 * 60, To: 8 * 60, Weekends: true},
	Zones:     map[string]string{"": "UTC", "eu": "Europe/Berlin", "us": "America/New_York", "in": "Asia/Kolkata"},
	Offers: []campaign.Offer{
		{Name: "few", Coupon: "FEW", Says: "20% off", Budget: 50, Days: 14},
		{Name: "short", Coupon: "SHORT", Says: "10% off", Days: 7, Until: begin.Add(40 * day)},
	},
	Campaigns: []campaign.Campaign{
		{
			Name: "leaving", Triggers: []campaign.Trigger{campaign.DeletionRequested}, Holdout: 10, Ends: 28,
			Segment:  campaign.Segment{Plans: []string{"starter", "professional"}},
			Variants: []campaign.Variant{{Name: "a", Weight: 2}, {Name: "b"}},
			Steps: []campaign.Step{
				{Name: "one", After: 1, Texts: text("one")},
				{Name: "two", After: 2, Texts: text("two"), Variants: []string{"a"}},
				{Name: "three", After: 3, Texts: text("three"), Offer: "few"},
				{Name: "four", After: 20, Texts: text("four"), Offer: "short", WithoutOffer: true},
			},
		},
		{
			Name: "unpaid", Triggers: []campaign.Trigger{campaign.SuspendedForNonPayment, campaign.TrialExpired}, Holdout: 20, Ends: 90,
			Steps: []campaign.Step{
				{Name: "one", After: 0, Texts: text("one")},
				{Name: "two", After: 2, Texts: text("two"), Offer: "few"},
				{Name: "three", After: 30, Texts: text("three"), OnlyIf: campaign.Condition{Clicked: yes()}},
			},
		},
		{
			Name: "free", Triggers: []campaign.Trigger{campaign.Cancelled}, Steps: []campaign.Step{{Name: "one", After: 5, Texts: text("one")}},
		},
	},
}

// told is what became true of a tenant, and when.
type told struct {
	at      time.Time
	payload events.Payload
}

// life is a random tenant's: churned in some way, and then back, gone, held, or nothing of it.
func life(dice *rand.Rand, id string) (story []told) {
	at := begin.Add(time.Duration(dice.IntN(30*24*60)) * time.Minute)
	say := func(wait time.Duration, p events.Payload) {
		at = at.Add(wait)
		story = append(story, told{at, p})
	}
	some := func(days int) time.Duration { return time.Duration(dice.IntN(days*24*60)) * time.Minute }
	plan := []string{"starter", "professional", "enterprise"}[dice.IntN(3)]
	region := []string{"eu", "us", "in", "moon"}[dice.IntN(4)]
	say(0, &events.TenantRegistered{Change: events.Change{To: "pending_payment"}, Plan: plan, Region: region, GDPR: region == "eu", Generation: 1})
	say(time.Second, &events.TenantActivated{Change: events.Change{To: "active"}, Plan: plan})
	if dice.IntN(10) == 0 {
		say(some(2), &events.ConfigChanged{Config: events.TenantConfig{Values: map[string]string{"time_zone": "Pacific/Auckland"}}})
	}
	back := func(plan string) *events.TenantReactivated {
		return &events.TenantReactivated{Change: events.Change{To: "active"}, Plan: plan, RestoreData: true}
	}
	for range 1 + dice.IntN(3) {
		switch dice.IntN(4) {
		case 0:
			say(some(20), &events.TenantSuspended{Change: events.Change{To: "suspended"}, Blocks: []events.Block{{Kind: "payment"}}})
		case 1:
			say(some(20), &events.TrialExpired{Change: events.Change{To: "suspended"}, Blocks: []events.Block{{Kind: "trial"}}})
		case 2:
			requested := at.Add(some(20))
			say(requested.Sub(at), &events.DeletionRequested{Change: events.Change{To: "deleting"}, ScheduledFor: requested.Add(30 * day)})
		case 3:
			say(some(20), &events.DowngradeCompleted{Change: events.Change{To: "active"}, FromPlan: plan, Plan: "free"})
		}
		switch dice.IntN(6) {
		case 0, 1:
			say(some(25), &events.ReactivationStarted{Change: events.Change{To: "reactivating"}})
			say(time.Second, back(plan))
		case 2:
			say(30*day, &events.PurgeStarted{Change: events.Change{To: "purging"}, Generation: 1})
			say(time.Second, &events.TenantPurged{Change: events.Change{To: "deleted"}, Generation: 1})
			return story
		case 3:
			say(some(25), &events.HoldPlaced{HoldID: id + "-hold"})
		case 4:
			say(some(25), &events.UpgradeCompleted{Change: events.Change{To: "active"}, Plan: "professional"})
		}
	}
	return story
}

// Whatever happens to 10,000 tenants within 120 days: caps, budgets, quiet hours, segments, holdouts and suppression hold,
// nothing goes to whom is gone, held, or back.
func TestTenThousandTenants(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			play(t, rand.New(rand.NewPCG(seed, 1)), 10_000)
		})
	}
}

func play(t *testing.T, dice *rand.Rand, tenants int) {
	type dated struct {
		tenant string
		told
	}
	var all []dated
	for i := range tenants {
		id := fmt.Sprintf("tenant-%d", i)
		for _, s := range life(dice, id) {
			all = append(all, dated{id, s})
		}
	}
	slices.SortStableFunc(all, func(a, b dated) int { return a.at.Compare(b.at) })
	catalogue := plans.Default()
	sim := campaign.NewSimulation(busy, catalogue, day, zone(t))
	suppressed := map[string]time.Time{}
	check := &checker{t: t, zone: zone(t), profiles: map[string]campaign.Profile{}, sent: map[string][]time.Time{}, offered: map[string][]time.Time{}, suppressed: suppressed, catalogue: catalogue}
	versions := map[string]int64{}
	for _, d := range all {
		e, err := events.New(d.payload, d.tenant)
		if err != nil {
			t.Fatal(err)
		}
		versions[d.tenant]++
		e.Time, e.Sequence, e.ID, e.Source = d.at, versions[d.tenant], fmt.Sprintf("%s.%d", d.tenant, versions[d.tenant]), "tenure/lifecycle"
		if dice.IntN(200) == 0 {
			sim.Suppress(d.tenant, "unsubscribed")
			if _, before := suppressed[d.tenant]; !before {
				suppressed[d.tenant] = check.at
			}
		}
		if err := sim.Take(e); err != nil {
			t.Fatal(err)
		}
		check.decisions(sim)
		check.event(e)
	}
	sim.Advance(begin.Add(120 * day))
	check.decisions(sim)
	if len(sim.Log) == 0 || check.mails == 0 || check.withOffer == 0 {
		t.Fatal("nothing was sent: the test shows nothing")
	}
	t.Log(check.report())
}

// checker holds a simulation to what it must never do, from its log and the same events.
type checker struct {
	t          *testing.T
	zone       func(string) *time.Location
	catalogue  plans.Catalogue
	profiles   map[string]campaign.Profile
	sent       map[string][]time.Time
	offered    map[string][]time.Time
	suppressed map[string]time.Time
	seen       int
	at         time.Time
	mails      int
	withOffer  int
	counts     map[string]int
}

func (c *checker) event(e events.Event) {
	payload, err := e.Payload()
	if err != nil {
		c.t.Fatal(err)
	}
	c.profiles[e.Subject], _ = campaign.Evolve(c.profiles[e.Subject], e, payload, c.catalogue)
	c.at = e.Time
}

func (c *checker) decisions(sim *campaign.Simulation) {
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	for ; c.seen < len(sim.Log); c.seen++ {
		entry := sim.Log[c.seen]
		c.counts[fmt.Sprintf("%-8s %-7s %s", entry.Enrollment.Campaign, entry.Verdict.Action, strings.TrimSpace(entry.Step+" "+entry.Verdict.Reason))]++
		if entry.Verdict.Action == campaign.Send {
			c.mail(entry)
		}
	}
}

func (c *checker) mail(m campaign.Entry) {
	tenant := m.Enrollment.Tenant
	p := c.profiles[tenant]
	fail := func(format string, args ...any) {
		c.t.Helper()
		c.t.Errorf("%s at %v, %s/%s: %s", tenant, m.At, m.Enrollment.Campaign, m.Step, fmt.Sprintf(format, args...))
	}
	switch {
	case p.Gone():
		fail("the tenant is %s", p.State)
	case len(p.Holds) > 0:
		fail("the tenant is held")
	case p.Generation != m.Enrollment.Generation:
		fail("it is of another life")
	case !p.Lost(m.Enrollment.Trigger, c.catalogue):
		fail("the tenant is back: %s on %s", p.State, p.Plan)
	case m.Enrollment.Holdout:
		fail("the tenant is held out")
	case m.Enrollment.Campaign == "leaving" && p.Plan == "enterprise":
		fail("the tenant is of another segment")
	case m.Step == "two" && m.Enrollment.Variant == "b":
		fail("it is of another variant")
	}
	if since, is := c.suppressed[tenant]; is && m.At.After(since.Add(day)) {
		fail("suppressed since %v", since)
	}
	local := m.At.In(c.zone(busy.ZoneOf(p)))
	if hour := local.Hour(); hour < 8 || hour >= 19 || local.Weekday() == time.Saturday || local.Weekday() == time.Sunday {
		fail("it is %v there", local)
	}
	within := 0
	for _, at := range c.sent[tenant] {
		if m.At.Sub(at) < 7*day {
			within++
		}
	}
	if within >= 2 {
		fail("it is number %d within a week", within+1)
	}
	c.sent[tenant] = append(c.sent[tenant], m.At)
	c.mails++
	offer := m.Verdict.Offer
	if offer.Name == "" {
		return
	}
	c.withOffer++
	holding := 0
	for _, at := range c.offered[offer.Name] {
		if m.At.Sub(at) < time.Duration(offer.Days)*day {
			holding++
		}
	}
	if offer.Budget > 0 && holding >= offer.Budget {
		fail("%d hold the offer %s", holding+1, offer.Name)
	}
	if !offer.Until.IsZero() && !m.At.Before(offer.Until) {
		fail("the offer %s is over", offer.Name)
	}
	c.offered[offer.Name] = append(c.offered[offer.Name], m.At)
}

func (c *checker) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d mails, %d with an offer\n", c.mails, c.withOffer)
	for _, line := range slices.Sorted(maps.Keys(c.counts)) {
		fmt.Fprintf(&b, "%7d %s\n", c.counts[line], line)
	}
	return b.String()
}

// zone looks zones up once each: reading one takes longer than everything else.
func zone(t *testing.T) func(string) *time.Location {
	known := map[string]*time.Location{}
	return func(name string) *time.Location {
		if known[name] == nil {
			loaded, err := time.LoadLocation(name)
			if err != nil {
				t.Fatal(err)
			}
			known[name] = loaded
		}
		return known[name]
	}
}
