package plan_test

import (
	"slices"
	"testing"
	"time"

	"tenure/services/billing/internal/plan"
	"tenure/shared/events"
)

func operation(id string) events.OperationPlan { return events.OperationPlan{ID: id} }

// TestAgree tells the stories that a log can tell; each event is applied to what the ones before it left.
func TestAgree(t *testing.T) {
	type told struct {
		event events.Payload
		want  plan.Agreement
	}
	agreed := func(generation int64, name string, state plan.State, pending, operation string) plan.Agreement {
		return plan.Agreement{Tenant: "acme", Generation: generation, Plan: name, State: state, PendingPlan: pending, Operation: operation}
	}
	paid := &events.TenantRegistered{Plan: "starter", RequiresPayment: true, Generation: 1}
	soon := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	live := agreed(1, "starter", plan.Live, "", "")

	stories := map[string][]told{
		"a sign-up that is paid for": {
			{paid, agreed(1, "starter", plan.Joining, "", "")},
			{&events.PaymentConfirmed{}, live},
			{&events.ProvisioningStarted{Operation: operation("p")}, agreed(1, "starter", plan.Live, "", "p")},
			{&events.ProvisioningFailed{OperationID: "p"}, agreed(1, "starter", plan.Live, "", "p")},
			{&events.ProvisioningRetried{Operation: operation("q")}, agreed(1, "starter", plan.Live, "", "q")},
			{&events.TenantActivated{Plan: "starter"}, live},
		},
		"one that is not": {
			{paid, agreed(1, "starter", plan.Joining, "", "")},
			{&events.SignupAbandoned{}, agreed(1, "starter", plan.Ended, "", "")},
			{&events.TenantRegistered{Plan: "free", Generation: 2}, agreed(2, "free", plan.Live, "", "")},
		},
		"one that is given up": {
			{paid, agreed(1, "starter", plan.Joining, "", "")},
			{&events.PaymentConfirmed{}, live},
			{&events.ProvisioningStarted{Operation: operation("p")}, agreed(1, "starter", plan.Live, "", "p")},
			{&events.ProvisioningRolledBack{OperationID: "p"}, agreed(1, "starter", plan.Ended, "", "")},
		},
		"a trial, paid for or not": {
			{&events.TenantRegistered{Plan: "starter", Generation: 1, TrialDays: 14, TrialEndsAt: &soon}, live},
			{&events.TrialExpired{}, live},
			{&events.TrialConverted{Plan: "starter"}, live},
		},
		"changes up": {
			{paid, agreed(1, "starter", plan.Joining, "", "")},
			{&events.PaymentConfirmed{}, live},
			{&events.UpgradeStarted{Operation: operation("u")}, agreed(1, "starter", plan.Live, "", "u")},
			{&events.UpgradeRolledBack{OperationID: "u", Plan: "starter"}, live},
			{&events.UpgradeStarted{Operation: operation("v")}, agreed(1, "starter", plan.Live, "", "v")},
			{&events.UpgradeStuck{OperationID: "v"}, agreed(1, "starter", plan.Live, "", "v")},
			{&events.UpgradeCompleted{OperationID: "v", Plan: "professional"}, agreed(1, "professional", plan.Live, "", "")},
		},
		"changes down": {
			{paid, agreed(1, "starter", plan.Joining, "", "")},
			{&events.PaymentConfirmed{}, live},
			{&events.DowngradeScheduled{Plan: "free", DueAt: soon}, agreed(1, "starter", plan.Live, "free", "")},
			{&events.PaymentPastDue{}, agreed(1, "starter", plan.Live, "free", "")},
			{&events.DowngradeCancelled{Plan: "free"}, live},
			{&events.DowngradeScheduled{Plan: "free", DueAt: soon}, agreed(1, "starter", plan.Live, "free", "")},
			{&events.DowngradeStarted{Operation: operation("d")}, agreed(1, "starter", plan.Live, "", "d")},
			{&events.DowngradeRolledBack{OperationID: "d", Plan: "starter"}, live},
			{&events.DowngradeStarted{Operation: operation("e")}, agreed(1, "starter", plan.Live, "", "e")},
			{&events.DowngradeStuck{OperationID: "e"}, agreed(1, "starter", plan.Live, "", "e")},
			{&events.DowngradeCompleted{OperationID: "e", Plan: "free"}, agreed(1, "free", plan.Live, "", "")},
		},
		"leaving, coming back, and leaving for good": {
			{paid, agreed(1, "starter", plan.Joining, "", "")},
			{&events.PaymentConfirmed{}, live},
			{&events.DowngradeScheduled{Plan: "free", DueAt: soon}, agreed(1, "starter", plan.Live, "free", "")},
			{&events.DeletionRequested{}, agreed(1, "starter", plan.Leaving, "", "")},
			{&events.DeletionCancelled{}, agreed(1, "starter", plan.Leaving, "", "")},
			{&events.ReactivationStarted{Operation: operation("r")}, agreed(1, "starter", plan.Leaving, "", "r")},
			{&events.ReactivationFailed{OperationID: "r"}, agreed(1, "starter", plan.Leaving, "", "")},
			{&events.ReactivationStarted{Operation: operation("s")}, agreed(1, "starter", plan.Leaving, "", "s")},
			{&events.DeletionQueued{}, agreed(1, "starter", plan.Leaving, "", "s")},
			{&events.TenantReactivated{OperationID: "s", Plan: "professional"}, agreed(1, "professional", plan.Live, "", "")},
			{&events.DeletionRequested{}, agreed(1, "professional", plan.Leaving, "", "")},
			{&events.PurgeStarted{Operation: operation("x")}, agreed(1, "professional", plan.Leaving, "", "x")},
			{&events.TenantPurged{OperationID: "x", Generation: 1}, agreed(1, "professional", plan.Ended, "", "")},
			{&events.TenantReborn{Plan: "starter", Generation: 2}, agreed(2, "starter", plan.Live, "", "")},
		},
		"a log whose beginning was not seen": {
			{&events.UpgradeCompleted{OperationID: "u", Plan: "professional"}, plan.Agreement{Tenant: "acme"}},
		},
	}
	seen := map[string]bool{}
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			a := plan.Agreement{Tenant: "acme"}
			for _, step := range story {
				before := a
				if a = plan.Agree(a, step.event); a != step.want {
					t.Fatalf("after %s: %+v, want %+v", step.event.EventType(), a, step.want)
				}
				if a != before && !slices.Contains(plan.AgreementEvents, step.event.EventType()) {
					t.Errorf("%s changes the agreement and is not listed", step.event.EventType())
				}
				seen[step.event.EventType()] = true
			}
		})
	}
	for _, listed := range plan.AgreementEvents {
		if !seen[listed] {
			t.Errorf("%s is listed, and no story tells it", listed)
		}
	}
}
