package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/events"
)

// monthly are the prices in cents. They stand here once more, as the rule of proration does below, so that the test does
// not believe what it tests.
var monthly = map[string]int64{"free": 0, "starter": 4_900, "professional": 19_900, "enterprise": 99_900}

// ledger works out what a tenant should have paid from the history of its plan and nothing else. All times are Stripe's.
type ledger struct {
	cents int64
	book  []string // why, for people

	plan string // the tenant's
	// What Stripe should charge for: a subscription that renews by the month from its anchor.
	live       bool
	charged    string
	trial      bool
	anchor     time.Time
	months     int
	start, end time.Time
	leaving    bool   // it ends with the period
	pending    string // the plan that it goes over to with the period
	signedUp   time.Time
	bills      bool // the reactivation under way has a step of billing's
	reborn     bool // it begins a new life, which is not charged for yet
}

// fact is what the ledger reads of an event of the lifecycle.
type fact struct {
	Plan            string     `json:"plan"`
	To              string     `json:"to_state"`
	Reason          string     `json:"reason"`
	RequiresPayment bool       `json:"requires_payment"`
	TrialEndsAt     *time.Time `json:"trial_ends_at"`
	TrialDays       int        `json:"trial_days"`
	Superseded      bool       `json:"superseded"`
}

// bills reports whether the operation that an event begins has a step of billing's.
func bills(data []byte) bool {
	var started struct {
		Operation events.OperationPlan `json:"operation"`
	}
	return json.Unmarshal(data, &started) == nil &&
		slices.ContainsFunc(started.Operation.Steps, func(s events.StepPlan) bool { return s.Participant == "billing" })
}

// take enters an event that happened at a time of Stripe's, and was written at one of ours.
func (l *ledger) take(at, written time.Time, eventType string, data []byte) error {
	var f fact
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	l.renew(at)
	switch _, name := events.SplitType(eventType); name {
	case "tenant.registered":
		l.register(at, f)
	case "payment.confirmed":
		l.subscribe(l.signedUp, l.plan, "signed up")
	case "signup.abandoned", "provisioning.rolled_back":
		l.giveBack(at)
	case "upgrade.completed":
		l.change(at, f.Plan, "upgraded")
		l.plan = f.Plan
	case "downgrade.scheduled":
		l.pending = f.Plan
	case "downgrade.cancelled":
		l.pending = ""
		if !f.Superseded {
			l.change(at, l.plan, "stayed after all")
		}
	case "downgrade.rolled_back":
		l.goBack(at, written)
	case "downgrade.completed":
		l.pending = ""
		l.change(at, f.Plan, "downgraded")
		l.plan = f.Plan
	case "deletion.requested":
		l.leaving = true
	case "tenant.purged":
		l.live, l.leaving = false, false
	case "tenant.reborn":
		l.plan, l.reborn = f.Plan, true
	case "tenant.activated":
		if l.reborn {
			l.change(at, l.plan, "began anew")
			l.reborn = false
		}
	case "reactivation.started":
		l.bills = bills(data)
	case "tenant.reactivated":
		if l.bills || f.Plan == "free" {
			l.leaving = false
			l.change(at, f.Plan, "came back")
		}
		l.plan = f.Plan
	}
	return nil
}

func (l *ledger) register(at time.Time, f fact) {
	*l = ledger{cents: l.cents, book: l.book, plan: f.Plan, signedUp: at}
	if f.TrialEndsAt != nil {
		l.try(at, *f.TrialEndsAt, f.TrialDays)
	}
}

// try begins a period that costs nothing. Stripe takes no end that is past for it: then the days count from its clock.
func (l *ledger) try(at, ends time.Time, days int) {
	ends = ends.Truncate(time.Second)
	if !ends.After(at) {
		ends = at.Add(time.Duration(days) * 24 * time.Hour)
	}
	l.live, l.trial, l.charged, l.start, l.end, l.anchor, l.months = true, true, l.plan, at, ends, ends, 0
}

// goBack undoes a downgrade. A failure of ours costs nothing, even when the subscription has run out meanwhile.
func (l *ledger) goBack(at, written time.Time) {
	l.pending = ""
	if l.live {
		l.charged = l.plan
		return
	}
	l.try(at, written.AddDate(0, 1, 0), 30)
}

// renew lets every period end that is over at a time.
func (l *ledger) renew(at time.Time) {
	for l.live && !l.end.After(at) {
		switch {
		case l.leaving, l.pending == "free":
			l.live = false
			return
		case l.pending != "":
			l.charged = l.pending
		}
		l.trial = false
		l.begin(l.end, "renewed")
	}
}

// begin charges a period in advance.
func (l *ledger) begin(at time.Time, why string) {
	l.months++
	l.start, l.end = at, addMonths(l.anchor, l.months)
	l.enter(at, monthly[l.charged], why+": "+l.charged)
}

// giveBack ends a sign-up that came to nothing: whatever it has paid goes back.
func (l *ledger) giveBack(at time.Time) {
	if l.live && !l.trial {
		l.enter(at, -monthly[l.charged], "given up")
	}
	l.live = false
}

func (l *ledger) subscribe(at time.Time, plan, why string) {
	l.live, l.trial, l.charged, l.anchor, l.months = true, false, plan, at, 0
	l.begin(at, why)
}

// change goes over to a plan now: the rest of the period is paid back at the old price and paid at the new one, each to
// the cent.
func (l *ledger) change(at time.Time, plan, why string) {
	switch {
	case l.live && l.charged == plan, !l.live && plan == "free":
	case !l.live:
		l.subscribe(at, plan, why)
	case l.trial:
		l.charged = plan
	default:
		l.enter(at, l.rest(at, monthly[plan])-l.rest(at, monthly[l.charged]), why+": "+l.charged+" to "+plan)
		l.charged = plan
	}
	if plan == "free" {
		l.live = false
	}
}

// rest is the part of a month's price that falls on what is left of the period, by the second, rounded to the cent.
func (l *ledger) rest(at time.Time, price int64) int64 {
	left, whole := int64(l.end.Sub(at)/time.Second), int64(l.end.Sub(l.start)/time.Second)
	return (2*price*left + whole) / (2 * whole)
}

func (l *ledger) enter(at time.Time, cents int64, why string) {
	l.cents += cents
	l.book = append(l.book, fmt.Sprintf("%s %9.2f  %s", at.Format(time.DateTime), float64(cents)/100, why))
}

// addMonths keeps the day, or takes the last one of a month that is too short for it.
func addMonths(t time.Time, n int) time.Time {
	first := time.Date(t.Year(), t.Month(), 1, t.Hour(), t.Minute(), t.Second(), 0, time.UTC).AddDate(0, n, 0)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}

// TestTheLedger checks the oracle against sums that were done by hand.
func TestTheLedger(t *testing.T) {
	t.Parallel()
	day := func(month, d int) time.Time { return time.Date(2026, time.Month(month), d, 0, 0, 0, 0, time.UTC) }
	type entry struct {
		at   time.Time
		name string
		data string
	}
	signUp := []entry{
		{day(4, 1), "tenant.registered", `{"plan":"starter","requires_payment":true}`},
		{day(4, 1), "payment.confirmed", `{}`},
	}
	for _, c := range []struct {
		name    string
		history []entry
		until   time.Time
		want    int64
	}{
		{"nothing is paid in advance of the payment", signUp[:1], day(9, 1), 0},
		{"three months", signUp, day(6, 30), 3 * 4_900},
		{"a third of April on a dearer plan", append(slices.Clip(signUp), // 20 of 30 days are left
			entry{day(4, 11), "upgrade.completed", `{"plan":"professional"}`}), day(4, 30), 4_900 - 3_267 + 13_267},
		{"down at once, and to nothing later", append(slices.Clip(signUp),
			entry{day(4, 1), "upgrade.completed", `{"plan":"professional"}`},
			entry{day(4, 16), "downgrade.completed", `{"plan":"starter"}`},
			entry{day(5, 1), "downgrade.completed", `{"plan":"free"}`}), day(9, 1), 19_900 - 9_950 + 2_450},
		{"down at the period's end", append(slices.Clip(signUp),
			entry{day(4, 1), "upgrade.completed", `{"plan":"professional"}`},
			entry{day(4, 16), "downgrade.scheduled", `{"plan":"starter"}`},
			entry{day(5, 2), "downgrade.completed", `{"plan":"starter"}`}), day(5, 31), 19_900 + 4_900},
		{"a trial and what comes of it", []entry{
			{day(4, 1), "tenant.registered", `{"plan":"starter","trial_days":14,"trial_ends_at":"2026-04-15T00:00:00Z"}`},
			{day(4, 3), "upgrade.completed", `{"plan":"professional"}`},
		}, day(5, 20), 2 * 19_900},
		{"gone with the period, and back again", append(slices.Clip(signUp),
			entry{day(4, 16), "deletion.requested", `{}`},
			entry{day(5, 10), "reactivation.started", `{"operation":{"steps":[{"participant":"billing"}]}}`},
			entry{day(5, 10), "tenant.reactivated", `{"plan":"starter"}`}), day(6, 9), 2 * 4_900},
		{"purged within the period, and born again", append(slices.Clip(signUp),
			entry{day(4, 1), "tenant.activated", `{"plan":"starter"}`},
			entry{day(4, 16), "deletion.requested", `{}`},
			entry{day(4, 17), "tenant.purged", `{}`},
			entry{day(5, 20), "tenant.reborn", `{"plan":"professional"}`},
			entry{day(5, 20), "tenant.activated", `{"plan":"professional"}`}), day(6, 19), 4_900 + 19_900},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l ledger
			for _, e := range c.history {
				require.NoError(t, l.take(e.at, e.at, "tenure.lifecycle."+e.name+".v1", []byte(e.data)))
			}
			l.renew(c.until)
			require.Equal(t, c.want, l.cents, "%v", l.book)
		})
	}
	require.Equal(t, day(2, 28), addMonths(day(1, 31), 1))
	require.Equal(t, day(3, 31), addMonths(day(1, 31), 2))
}
