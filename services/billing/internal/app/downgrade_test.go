package app_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/services/billing/internal/plan"
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

// send and the others are what happens to a tenant on professional.
func send(payloads ...events.Payload) func(*fixture) {
	return func(f *fixture) {
		for _, p := range payloads {
			f.send(p)
		}
	}
}

func turn(f *fixture) { f.stripe.turnPeriod() }

func hear(f *fixture) { f.news("cus_acme1", "customer.subscription.updated") }

func decline(f *fixture) { f.stripe.decline = true }

func TestDowngradeAtPeriodEnd(t *testing.T) {
	const month, lower, difference = 19900, 4900, 15000 // cents
	down := bill("downgrade1", "professional", "starter")
	toFree := bill("downgrade1", "professional", "free")
	tests := []struct {
		name string
		acts []func(*fixture)
		told []string
		live plan.Subscription // what of it matters
		net  int64
	}{
		{
			"asked for",
			[]func(*fixture){send(scheduleTo("starter")), hear},
			[]string{"subscription.scheduled"},
			plan.Subscription{Plan: "professional", ScheduledPlan: "starter"}, month,
		},
		{
			"done by Stripe",
			[]func(*fixture){send(scheduleTo("starter")), turn, hear, send(down)},
			[]string{"subscription.scheduled", "subscription.changed", "step.completed"},
			plan.Subscription{Plan: "starter"}, month + lower,
		},
		{
			"done by Stripe, and the step comes before the news",
			[]func(*fixture){send(scheduleTo("starter")), turn, send(down), hear},
			[]string{"subscription.scheduled", "subscription.changed", "step.completed"},
			plan.Subscription{Plan: "starter"}, month + lower,
		},
		{
			"done by us, when Stripe is late",
			[]func(*fixture){send(scheduleTo("starter"), down), hear},
			[]string{"subscription.scheduled", "subscription.changed", "step.completed"},
			plan.Subscription{Plan: "starter"}, month - difference,
		},
		{
			"done by Stripe, and the renewal is declined",
			[]func(*fixture){send(scheduleTo("starter")), turn, func(f *fixture) { f.stripe.subs[0].Status = plan.PastDue }, hear, send(down)},
			[]string{"subscription.scheduled", "subscription.changed", "payment.failed", "step.completed"},
			plan.Subscription{Plan: "starter", Status: plan.PastDue}, month + lower,
		},
		{
			"taken back",
			[]func(*fixture){send(scheduleTo("starter"), &events.DowngradeCancelled{OperationID: "downgrade1", Plan: "starter"}), turn, hear},
			[]string{"subscription.scheduled", "subscription.unscheduled", "subscription.changed"},
			plan.Subscription{Plan: "professional"}, 2 * month,
		},
		{
			"replaced",
			[]func(*fixture){send(scheduleTo("starter"), superseded("starter"), &events.DowngradeScheduled{
				OperationID: "downgrade2", FromPlan: "professional", Plan: "free", DueAt: due,
			}), turn, hear},
			[]string{"subscription.scheduled", "subscription.unscheduled", "subscription.cancelled", "subscription.cancelled"},
			plan.Subscription{}, month,
		},
		{
			"no room when it is due",
			[]func(*fixture){send(scheduleTo("starter"), unfit("starter")), turn, hear},
			[]string{"subscription.scheduled", "subscription.unscheduled", "subscription.changed"},
			plan.Subscription{Plan: "professional"}, 2 * month,
		},
		{
			"no room when Stripe has moved",
			[]func(*fixture){send(scheduleTo("starter")), turn, hear, send(unfit("starter")), hear},
			[]string{"subscription.scheduled", "subscription.changed", "subscription.changed"},
			plan.Subscription{Plan: "professional"}, 2 * month,
		},
		{
			"no room when Stripe has moved, and no money",
			[]func(*fixture){send(scheduleTo("starter")), turn, hear, decline, send(unfit("starter")), hear},
			[]string{"subscription.scheduled", "subscription.changed", "subscription.changed", "payment.failed"},
			plan.Subscription{Plan: "professional", Status: plan.PastDue}, month + lower,
		},
		{
			"rolled back after Stripe has moved",
			[]func(*fixture){send(scheduleTo("starter")), turn, hear, send(rolledBack()), hear},
			[]string{"subscription.scheduled", "subscription.changed", "subscription.changed"},
			plan.Subscription{Plan: "professional"}, month + lower,
		},
		{
			"rolled back after Stripe has moved and the step has seen it",
			[]func(*fixture){send(scheduleTo("starter")), turn, send(down, undo(down), rolledBack()), hear},
			[]string{"subscription.scheduled", "subscription.changed", "step.completed", "step.completed", "subscription.changed"},
			plan.Subscription{Plan: "professional"}, month + lower,
		},
		{
			"rolled back after the step has moved",
			[]func(*fixture){send(scheduleTo("starter"), down, undo(down), rolledBack()), hear},
			[]string{"subscription.scheduled", "subscription.changed", "step.completed", "subscription.changed", "step.completed"},
			plan.Subscription{Plan: "professional"}, month,
		},
		{
			"up instead",
			[]func(*fixture){send(scheduleTo("starter"), superseded("starter"), bill("upgrade1", "professional", "enterprise"))},
			[]string{"subscription.scheduled", "subscription.unscheduled", "subscription.changed", "step.completed"},
			plan.Subscription{Plan: "enterprise"}, 99900,
		},
		{
			"up instead, when Stripe has moved",
			[]func(*fixture){send(scheduleTo("starter")), turn, send(superseded("starter"), bill("upgrade1", "professional", "enterprise"))},
			[]string{"subscription.scheduled", "subscription.changed", "subscription.changed", "step.completed"},
			plan.Subscription{Plan: "enterprise"}, month + 99900,
		},
		{
			"gone instead",
			[]func(*fixture){send(scheduleTo("starter"), superseded("starter"), &events.DeletionRequested{}), turn, hear},
			[]string{"subscription.scheduled", "subscription.unscheduled", "subscription.cancelled", "subscription.cancelled"},
			plan.Subscription{}, month,
		},
		{
			"gone instead, when Stripe has moved",
			[]func(*fixture){send(scheduleTo("starter")), turn, send(superseded("starter"), &events.DeletionRequested{}), turn, hear},
			[]string{"subscription.scheduled", "subscription.changed", "subscription.cancelled", "subscription.cancelled"},
			plan.Subscription{}, month + lower,
		},
		{
			"a schedule that nobody took back is in the way",
			[]func(*fixture){send(scheduleTo("starter"), &events.DeletionRequested{})},
			[]string{"subscription.scheduled", "subscription.cancelled", "subscription.unscheduled"},
			plan.Subscription{Plan: "professional", CancelAtPeriodEnd: true}, month,
		},
		{
			"to free",
			[]func(*fixture){
				send(scheduleTo("free")), turn, hear,
				send(toFree, &events.DowngradeCompleted{OperationID: "downgrade1", FromPlan: "professional", Plan: "free"}),
			},
			[]string{"subscription.cancelled", "subscription.cancelled", "step.completed"},
			plan.Subscription{}, month,
		},
		{
			"to free, taken back",
			[]func(*fixture){send(scheduleTo("free"), &events.DowngradeCancelled{OperationID: "downgrade1", Plan: "free"}), hear},
			[]string{"subscription.cancelled", "subscription.changed"},
			plan.Subscription{Plan: "professional"}, month,
		},
		{
			"to free, no room when it has run out",
			[]func(*fixture){send(scheduleTo("free")), turn, hear, send(unfit("free")), hear},
			[]string{"subscription.cancelled", "subscription.cancelled", "subscription.created"},
			plan.Subscription{Plan: "professional"}, 2 * month,
		},
		{
			"to free, no room when it has run out, and no money",
			[]func(*fixture){send(scheduleTo("free")), turn, hear, decline, send(unfit("free")), hear},
			[]string{"subscription.cancelled", "subscription.cancelled", "subscription.created", "payment.failed"},
			plan.Subscription{Plan: "professional", Status: plan.Incomplete}, month,
		},
		{
			"to free, rolled back when it has run out",
			[]func(*fixture){send(scheduleTo("free")), turn, hear, send(rolledBack()), hear},
			[]string{"subscription.cancelled", "subscription.cancelled", "subscription.created", "payment.confirmed"},
			plan.Subscription{Plan: "professional", Status: plan.Trialing}, month,
		},
		{
			"to free, stopped by the end of the period",
			[]func(*fixture){send(scheduleTo("free"), toFree), turn, send(undo(toFree), rolledBack()), hear},
			[]string{"subscription.cancelled", "step.completed", "subscription.cancelled", "step.completed", "subscription.created", "payment.confirmed"},
			plan.Subscription{Plan: "professional", Status: plan.Trialing}, month,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.signUp("professional")
			for _, act := range tt.acts {
				act(f)
			}
			f.wantTold(tt.told...)
			s := f.subscription()
			got := plan.Subscription{Plan: s.Plan, ScheduledPlan: s.ScheduledPlan, CancelAtPeriodEnd: s.CancelAtPeriodEnd}
			if s.Status != plan.Active {
				got.Status = s.Status
			}
			if diff := cmp.Diff(tt.live, got); diff != "" {
				t.Errorf("live (-want +got):\n%s", diff)
			}
			if net := f.stripe.net() - f.stripe.credit; net != tt.net {
				t.Errorf("net %d, want %d", net, tt.net)
			}
		})
	}
}

// TestPeriodEndIsArrangedOnce loses the answer of every call in turn, and the outcome of all of them.
func TestPeriodEndIsArrangedOnce(t *testing.T) {
	tests := []struct {
		name      string
		before    []func(*fixture)
		request   events.Payload
		told      []string
		schedules int // ever made
		net       int64
	}{
		{"schedule", nil, scheduleTo("starter"), []string{"subscription.scheduled"}, 1, 19900},
		{"release", []func(*fixture){send(scheduleTo("starter"))}, unfit("starter"), []string{"subscription.unscheduled"}, 1, 19900},
		{
			"move back up",
			[]func(*fixture){send(scheduleTo("starter")), turn, hear}, unfit("starter"), []string{"subscription.changed"}, 1, 2 * 19900,
		},
		{
			"subscribe again",
			[]func(*fixture){send(scheduleTo("free")), turn, hear}, unfit("free"), []string{"subscription.created"}, 0, 2 * 19900,
		},
		{
			"leave",
			[]func(*fixture){send(scheduleTo("starter"))}, &events.DeletionRequested{},
			[]string{"subscription.cancelled", "subscription.unscheduled"}, 1, 19900,
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
					act(f)
				}
				f.told()
				e := f.event(tt.request)
				interrupt.once(f, e)
				f.deliver(e)
				f.deliver(e)
				f.wantTold(tt.told...)
				if f.stripe.schedules != tt.schedules || f.stripe.net() != tt.net {
					t.Errorf("%d schedules were made and %d cents charged, want %d and %d", f.stripe.schedules, f.stripe.net(), tt.schedules, tt.net)
				}
			})
		}
	}
}
