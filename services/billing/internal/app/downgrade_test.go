package app_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/services/billing/internal/plan"
	"tenure/services/billing/internal/store"
	"tenure/shared/events"
)

var due = time.Unix(1769904000, 0).UTC() // when the fake's first period ends

func scheduleTo(name string) *events.DowngradeScheduled {
	return &events.DowngradeScheduled{OperationID: "downgrade1", FromPlan: "professional", Plan: name, DueAt: due}
}

// unfit drops the change because the tenant's data have no room on the lower plan.
func unfit(name string) *events.DowngradeCancelled {
	return &events.DowngradeCancelled{OperationID: "downgrade1", Plan: name, Violations: []events.Violation{{}}}
}

func superseded(name string) *events.DowngradeCancelled {
	return &events.DowngradeCancelled{OperationID: "downgrade1", Plan: name, Superseded: true}
}

func rolledBack() *events.DowngradeRolledBack {
	return &events.DowngradeRolledBack{OperationID: "downgrade1", Plan: "professional"}
}

// act is something that happens to a tenant on professional.
type act func(f *fixture, stripe world)

func send(payloads ...events.Payload) act {
	return func(f *fixture, stripe world) {
		f.Helper()
		for _, p := range payloads {
			e := f.event(p)
			e.Time = stripe.now()
			f.deliver(e)
		}
	}
}

func turn(_ *fixture, stripe world)    { stripe.turnPeriod() }
func collect(_ *fixture, stripe world) { stripe.collect() }
func decline(_ *fixture, stripe world) { stripe.declineCard() }

func hear(f *fixture, _ world) {
	f.Helper()
	f.news(f.account().CustomerID, "customer.subscription.updated")
}

func TestDowngradeAtPeriodEnd(t *testing.T) {
	const month, lower, difference = 19900, 4900, 15000 // cents
	down := bill("downgrade1", "professional", "starter")
	toFree := bill("downgrade1", "professional", "free")
	back := bill("reactivate1", "professional", "professional")
	tests := []struct {
		name string
		acts []act
		told []string
		live plan.Subscription // what of it matters
		net  int64
	}{
		{
			"asked for",
			[]act{send(scheduleTo("starter")), hear},
			[]string{"subscription.scheduled"},
			plan.Subscription{Plan: "professional", ScheduledPlan: "starter"},
			month,
		},
		{
			"done by Stripe",
			[]act{send(scheduleTo("starter")), turn, hear, send(down)},
			[]string{"subscription.scheduled", "subscription.changed", "step.completed"},
			plan.Subscription{Plan: "starter"},
			month + lower,
		},
		{
			"done by Stripe, and the step comes before the news",
			[]act{send(scheduleTo("starter")), turn, send(down), hear},
			[]string{"subscription.scheduled", "subscription.changed", "step.completed"},
			plan.Subscription{Plan: "starter"},
			month + lower,
		},
		{
			"done by us, when Stripe is late",
			[]act{send(scheduleTo("starter"), down), hear},
			[]string{"subscription.scheduled", "subscription.changed", "step.completed"},
			plan.Subscription{Plan: "starter"},
			month - difference,
		},
		{
			"done by Stripe, and the renewal is declined",
			[]act{send(scheduleTo("starter")), decline, turn, collect, hear, send(down)},
			[]string{"subscription.scheduled", "subscription.changed", "payment.failed", "step.completed"},
			plan.Subscription{Plan: "starter", Status: plan.PastDue},
			month,
		},
		{
			"taken back",
			[]act{send(scheduleTo("starter"), &events.DowngradeCancelled{OperationID: "downgrade1", Plan: "starter"}), turn, hear},
			[]string{"subscription.scheduled", "subscription.unscheduled", "subscription.changed"},
			plan.Subscription{Plan: "professional"},
			2 * month,
		},
		{
			"replaced",
			[]act{send(scheduleTo("starter"), superseded("starter"), &events.DowngradeScheduled{
				OperationID: "downgrade2", FromPlan: "professional", Plan: "free", DueAt: due,
			}), turn, hear},
			[]string{"subscription.scheduled", "subscription.unscheduled", "subscription.cancelled", "subscription.cancelled"},
			plan.Subscription{},
			month,
		},
		{
			"no room when it is due",
			[]act{send(scheduleTo("starter"), unfit("starter")), turn, hear},
			[]string{"subscription.scheduled", "subscription.unscheduled", "subscription.changed"},
			plan.Subscription{Plan: "professional"},
			2 * month,
		},
		{
			"no room when Stripe has moved",
			[]act{send(scheduleTo("starter")), turn, hear, send(unfit("starter")), hear},
			[]string{"subscription.scheduled", "subscription.changed", "subscription.changed"},
			plan.Subscription{Plan: "professional"},
			2 * month,
		},
		{
			"no room when Stripe has moved, and no money",
			[]act{send(scheduleTo("starter")), turn, collect, hear, decline, send(unfit("starter")), hear},
			[]string{"subscription.scheduled", "subscription.changed", "subscription.changed", "payment.failed"},
			plan.Subscription{Plan: "professional", Status: plan.PastDue},
			month + lower,
		},
		{
			"rolled back after Stripe has moved",
			[]act{send(scheduleTo("starter")), turn, hear, send(rolledBack()), hear},
			[]string{"subscription.scheduled", "subscription.changed", "subscription.changed"},
			plan.Subscription{Plan: "professional"},
			month + lower,
		},
		{
			"rolled back after Stripe has moved and the step has seen it",
			[]act{send(scheduleTo("starter")), turn, send(down, undo(down), rolledBack()), hear},
			[]string{"subscription.scheduled", "subscription.changed", "step.completed", "step.completed", "subscription.changed"},
			plan.Subscription{Plan: "professional"},
			month + lower,
		},
		{
			"rolled back after the step has moved",
			[]act{send(scheduleTo("starter"), down, undo(down), rolledBack()), hear},
			[]string{"subscription.scheduled", "subscription.changed", "step.completed", "subscription.changed", "step.completed"},
			plan.Subscription{Plan: "professional"},
			month,
		},
		{
			"up instead",
			[]act{send(scheduleTo("starter"), superseded("starter"), bill("upgrade1", "professional", "enterprise"))},
			[]string{"subscription.scheduled", "subscription.unscheduled", "subscription.changed", "step.completed"},
			plan.Subscription{Plan: "enterprise"},
			99900,
		},
		{
			"up instead, when Stripe has moved",
			[]act{send(scheduleTo("starter")), turn, send(superseded("starter"), bill("upgrade1", "professional", "enterprise"))},
			[]string{"subscription.scheduled", "subscription.changed", "subscription.changed", "step.completed"},
			plan.Subscription{Plan: "enterprise"},
			month + 99900,
		},
		{
			"gone instead",
			[]act{send(scheduleTo("starter"), superseded("starter"), &events.DeletionRequested{}), turn, hear},
			[]string{"subscription.scheduled", "subscription.unscheduled", "subscription.cancelled", "subscription.cancelled"},
			plan.Subscription{},
			month,
		},
		{
			"gone instead, when Stripe has moved",
			[]act{send(scheduleTo("starter")), turn, send(superseded("starter"), &events.DeletionRequested{}), turn, hear},
			[]string{"subscription.scheduled", "subscription.changed", "subscription.cancelled", "subscription.cancelled"},
			plan.Subscription{},
			month + lower,
		},
		{
			"gone instead, when Stripe has moved, and back for a moment",
			[]act{send(scheduleTo("starter")), turn, send(superseded("starter"), &events.DeletionRequested{}, back, undo(back)), hear},
			[]string{
				"subscription.scheduled", "subscription.changed", "subscription.cancelled", "subscription.changed", "step.completed",
				"subscription.changed", "subscription.cancelled", "step.completed",
			},
			plan.Subscription{Plan: "starter", CancelAtPeriodEnd: true},
			month + lower,
		},
		{
			"a schedule that nobody took back is in the way",
			[]act{send(scheduleTo("starter"), &events.DeletionRequested{})},
			[]string{"subscription.scheduled", "subscription.cancelled", "subscription.unscheduled"},
			plan.Subscription{Plan: "professional", CancelAtPeriodEnd: true},
			month,
		},
		{
			"to free",
			[]act{
				send(scheduleTo("free")), turn, hear,
				send(toFree, &events.DowngradeCompleted{OperationID: "downgrade1", FromPlan: "professional", Plan: "free"}),
			},
			[]string{"subscription.cancelled", "subscription.cancelled", "step.completed"},
			plan.Subscription{},
			month,
		},
		{
			"to free, taken back",
			[]act{send(scheduleTo("free"), &events.DowngradeCancelled{OperationID: "downgrade1", Plan: "free"}), hear},
			[]string{"subscription.cancelled", "subscription.changed"},
			plan.Subscription{Plan: "professional"},
			month,
		},
		{
			"to free, no room when it has run out",
			[]act{send(scheduleTo("free")), turn, hear, send(unfit("free")), hear},
			[]string{"subscription.cancelled", "subscription.cancelled", "subscription.created"},
			plan.Subscription{Plan: "professional"},
			2 * month,
		},
		{
			"to free, no room when it has run out, and no money",
			[]act{send(scheduleTo("free")), turn, hear, decline, send(unfit("free")), hear},
			[]string{"subscription.cancelled", "subscription.cancelled", "subscription.created", "payment.failed"},
			plan.Subscription{Plan: "professional", Status: plan.Incomplete},
			month,
		},
		{
			"to free, rolled back when it has run out",
			[]act{send(scheduleTo("free")), turn, hear, send(rolledBack()), hear},
			[]string{"subscription.cancelled", "subscription.cancelled", "subscription.created", "payment.confirmed"},
			plan.Subscription{Plan: "professional", Status: plan.Trialing},
			month,
		},
		{
			"to free, stopped by the end of the period",
			[]act{send(scheduleTo("free"), toFree), turn, send(undo(toFree), rolledBack()), hear},
			[]string{"subscription.cancelled", "step.completed", "subscription.cancelled", "step.completed", "subscription.created", "payment.confirmed"},
			plan.Subscription{Plan: "professional", Status: plan.Trialing},
			month,
		},
	}
	db := database(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			play := func(f *fixture, stripe world) {
				t.Helper()
				f.signUp("professional")
				for _, act := range tt.acts {
					act(f, stripe)
				}
				f.wantTold(tt.told...)
				if diff := cmp.Diff(tt.live, f.live(stripe)); diff != "" {
					t.Errorf("live (-want +got):\n%s", diff)
				}
				stripe.collect()
				if net := stripe.net(); net != tt.net {
					t.Errorf("net %d, want %d", net, tt.net)
				}
			}
			t.Run("fake", func(t *testing.T) {
				f := db.of(t, "fake-"+strconv.Itoa(i))
				play(f, f.stripe)
			})
			t.Run("simulator", func(t *testing.T) {
				stripe := simulate(t, "simulated-"+strconv.Itoa(i))
				play(db.with(t, stripe.tenant, stripe), stripe)
			})
		})
	}
}

// live is what matters here of the tenant's main subscription.
func (f *fixture) live(stripe world) plan.Subscription {
	f.Helper()
	all, err := stripe.Subscriptions(f.Context(), f.account().CustomerID)
	if err != nil {
		f.Fatal(err)
	}
	var out plan.Subscription
	if s := plan.Main(all); s != nil {
		out = plan.Subscription{Plan: s.Plan, ScheduledPlan: s.ScheduledPlan, CancelAtPeriodEnd: s.CancelAtPeriodEnd}
		if s.Status != plan.Active {
			out.Status = s.Status
		}
	}
	return out
}

func (f *fixture) account() store.Account {
	f.Helper()
	a, err := f.store.Latest(f.Context(), f.tenant)
	if err != nil {
		f.Fatal(err)
	}
	return a
}

// TestPeriodEndIsArrangedOnce loses the answer of every call in turn, and the outcome of all of them.
func TestPeriodEndIsArrangedOnce(t *testing.T) {
	tests := []struct {
		name      string
		before    []act
		request   events.Payload
		told      []string
		schedules int // ever made
		net       int64
	}{
		{"schedule", nil, scheduleTo("starter"), []string{"subscription.scheduled"}, 1, 19900},
		{"release", []act{send(scheduleTo("starter"))}, unfit("starter"), []string{"subscription.unscheduled"}, 1, 19900},
		{
			"move back up",
			[]act{send(scheduleTo("starter")), turn, hear},
			unfit("starter"),
			[]string{"subscription.changed"},
			1, 2 * 19900,
		},
		{
			"subscribe again",
			[]act{send(scheduleTo("free")), turn, hear},
			unfit("free"),
			[]string{"subscription.created"},
			0, 2 * 19900,
		},
		{
			"leave",
			[]act{send(scheduleTo("starter"))},
			&events.DeletionRequested{},
			[]string{"subscription.cancelled", "subscription.unscheduled"},
			1, 19900,
		},
	}
	for _, tt := range tests {
		for _, interrupt := range []struct {
			name string
			once func(f *fixture, e events.Event)
		}{
			{"first answer lost", func(f *fixture, _ events.Event) { f.stripe.lose, f.stripe.loseAfter = true, 0 }},
			{"second answer lost", func(f *fixture, _ events.Event) { f.stripe.lose, f.stripe.loseAfter = true, 1 }},
			{"crash before the commit", func(f *fixture, e events.Event) {
				if _, err := f.app.React(f.Context(), e); err != nil {
					f.Fatal(err)
				}
			}},
		} {
			t.Run(tt.name+"/"+interrupt.name, func(t *testing.T) {
				f := newFixture(t)
				f.signUp("professional")
				for _, act := range tt.before {
					act(f, f.stripe)
				}
				f.told()
				e := f.event(tt.request)
				interrupt.once(f, e)
				f.deliver(e)
				f.deliver(e)
				f.wantTold(tt.told...)
				if f.stripe.schedules != tt.schedules || f.stripe.charged() != tt.net {
					t.Errorf("%d schedules were made and %d cents charged, want %d and %d", f.stripe.schedules, f.stripe.charged(), tt.schedules, tt.net)
				}
			})
		}
	}
}
