package message_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/services/notifier/internal/message"
	"tenure/shared/events"
	"tenure/shared/plans"
)

var (
	when  = time.Date(2026, 8, 3, 14, 30, 0, 0, time.UTC)
	later = when.Add(7 * day)
)

var pastDue = events.Change{To: "past_due"}

// asked are events, and the mail that each leads to.
var asked = []struct {
	event events.Payload
	want  message.Draft
}{
	{&events.TenantActivated{Plan: "starter"}, message.Draft{message.Welcome, message.Facts{Plan: "starter"}}},
	{&events.ProvisioningFailed{Error: "secret internals"}, message.Draft{message.ProvisioningFailed, message.Facts{}}},
	{
		&events.UpgradeCompleted{FromPlan: "starter", Plan: "professional"},
		message.Draft{message.PlanChanged, message.Facts{FromPlan: "starter", Plan: "professional", Difference: &message.Difference{
			Limits: []message.LimitChange{{"queries", 10_000, 100_000}, {"documents", 5_000, 50_000}, {"storage_gb", 5, 0}},
			Gained: []string{"single sign-on"},
		}}},
	},
	{
		&events.DowngradeCompleted{FromPlan: "professional", Plan: "free"},
		message.Draft{message.PlanChanged, message.Facts{FromPlan: "professional", Plan: "free", Difference: &message.Difference{
			Limits: []message.LimitChange{{"queries", 100_000, 100}, {"documents", 50_000, 5_000}},
			Lost:   []string{"mail support", "single sign-on"},
		}}},
	},
	{&events.DowngradeCompleted{FromPlan: "gone", Plan: "free"}, message.Draft{message.PlanChanged, message.Facts{FromPlan: "gone", Plan: "free"}}},
	{&events.UpgradeCompleted{FromPlan: "free", Plan: "free"}, message.Draft{message.PlanChanged, message.Facts{FromPlan: "free", Plan: "free"}}},
	{&events.DowngradeScheduled{FromPlan: "starter", Plan: "free", DueAt: when}, message.Draft{message.DowngradeScheduled, message.Facts{FromPlan: "starter", Plan: "free", Until: when}}},
	{&events.PaymentPastDue{Change: pastDue, GraceEndsAt: &later}, message.Draft{message.PaymentFailed, message.Facts{Until: later}}},
	{&events.PaymentPastDue{Change: pastDue}, message.Draft{message.PaymentFailed, message.Facts{}}},
	{&events.TenantSuspended{Blocks: blocks("payment")}, message.Draft{message.Suspended, message.Facts{Cause: "payment"}}},
	{&events.TenantSuspended{Blocks: blocks("payment", "abuse")}, message.Draft{message.Suspended, message.Facts{Cause: "admin"}}},
	{&events.TenantSuspended{Blocks: blocks("payment", "trial")}, message.Draft{message.Suspended, message.Facts{Cause: "payment"}}},
	{&events.TenantSuspended{Blocks: blocks("trial")}, message.Draft{message.TrialEnded, message.Facts{}}},
	{&events.TrialExpired{Blocks: blocks("trial")}, message.Draft{message.TrialEnded, message.Facts{}}},
	{&events.TrialExpired{Blocks: blocks("trial", "admin")}, message.Draft{message.Suspended, message.Facts{Cause: "admin"}}},
	{&events.ExemptionEnded{Change: pastDue, GraceEndsAt: &later}, message.Draft{message.PaymentFailed, message.Facts{Until: later}}},
	{
		&events.UsageThresholdReached{Metric: "queries", Percent: 80, Usage: 8000, Limit: 10000, Plan: "starter", Period: "2026-08"},
		message.Draft{message.UsageAlert, message.Facts{Metric: "queries", Percent: 80, Usage: 8000, Limit: 10000, Plan: "starter", Period: "2026-08"}},
	},
	{
		&events.UsageThresholdReached{Metric: "storage_gb", Percent: 100, Usage: 5.004, Limit: 5, Plan: "starter"},
		message.Draft{message.UsageAlert, message.Facts{Metric: "storage_gb", Percent: 100, Usage: 5.004, Limit: 5, Plan: "starter"}},
	},
	{&events.PaymentRecovered{}, message.Draft{message.Recovered, message.Facts{}}},
	{&events.ExportCompleted{ExportID: "exp-1"}, message.Draft{message.ExportReady, message.Facts{ExportID: "exp-1"}}},
	{&events.DeletionRequested{ScheduledFor: when, RetentionDays: 30}, message.Draft{message.DeletionScheduled, message.Facts{Until: when, RetentionDays: 30}}},
	{&events.TenantReactivated{Plan: "free", RestoreData: true}, message.Draft{message.Returned, message.Facts{Plan: "free"}}},
	{&events.TenantReactivated{Plan: "free"}, message.Draft{message.Returned, message.Facts{Plan: "free", Fresh: true}}},
}

func blocks(kinds ...string) (list []events.Block) {
	for _, kind := range kinds {
		list = append(list, events.Block{Kind: kind})
	}
	return list
}

// rules are those of a deployment with days of 24 hours.
var rules = message.Rules{Day: 24 * time.Hour, Plans: plans.Catalogue{
	{Name: "free", Limits: plans.Limits{Queries: 100, Documents: 5_000}},
	{Name: "starter", Limits: plans.Limits{Queries: 10_000, Documents: 5_000, StorageGB: 5}, Features: []string{"mail support"}},
	{Name: "professional", Limits: plans.Limits{Queries: 100_000, Documents: 50_000}, Features: []string{"mail support", "single sign-on"}},
}}

// reaction is that to an event at when, of nobody in particular.
func reaction(t *testing.T, p events.Payload) message.Reaction {
	t.Helper()
	return reactionBy(t, "", p)
}

func reactionBy(t *testing.T, actor string, p events.Payload) message.Reaction {
	t.Helper()
	e, err := events.New(p, "acme")
	if err != nil {
		t.Fatal(err)
	}
	e.Time, e.Actor = when, actor
	if !message.Wants(e.Type) {
		t.Fatalf("%s is not wanted", e.Type)
	}
	r, err := rules.ReactionTo(e)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEventsAskForMails(t *testing.T) {
	for _, test := range asked {
		if diff := cmp.Diff([]message.Draft{test.want}, reaction(t, test.event).Send); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.event.EventType(), diff)
		}
	}
}

// The last mail is prepared while the address is known, and leaves when all else is gone.
func TestTheLastMailIsHeldUntilThePurgeIsDone(t *testing.T) {
	begun := reaction(t, &events.PurgeStarted{})
	if len(begun.Send) != 0 || len(begun.Hold) != 1 || begun.Hold[0].Template != message.Deleted {
		t.Errorf("at the start of the purge: %+v", begun)
	}
	for _, template := range message.Templates() {
		survives := template == message.Deleted || template == message.OperatorAlert
		if slices.Contains(begun.Supersede, template) == survives {
			t.Errorf("the purge takes %q back: %v", template, !survives)
		}
	}
	want := []message.Draft{{message.Deleted, message.Facts{Certificate: "certificates/acme/1.json", Generation: 1}}}
	if diff := cmp.Diff(want, reaction(t, &events.TenantPurged{Certificate: "certificates/acme/1.json", Generation: 1}).Release); diff != "" {
		t.Errorf("release (-want +got):\n%s", diff)
	}
}

// What an event does to mails that have not left yet.
func TestMailsAreTakenBack(t *testing.T) {
	var (
		dunning  = []message.Template{message.PaymentFailed, message.PaymentReminder, message.PaymentLastCall}
		partings = []message.Template{message.Suspended, message.TrialEnded, message.DeletionScheduled, message.DeletionReminder}
		both     = append(slices.Clone(partings), dunning...)
	)
	for _, test := range []struct {
		event                       events.Payload
		supersede, holdBack, resume []message.Template
	}{
		{event: &events.PaymentRecovered{}, supersede: dunning},
		{event: &events.TenantExempted{}, supersede: dunning},
		{event: &events.TrialExpired{}, supersede: dunning},
		{event: &events.PaymentPastDue{GraceEndsAt: &later}, supersede: append(slices.Clone(dunning), message.Recovered)},
		{event: &events.TenantSuspended{Blocks: blocks("payment")}, supersede: append(slices.Clone(dunning), message.Recovered)},
		{event: &events.TenantSuspended{Blocks: blocks("admin")}, supersede: []message.Template{message.Recovered}, holdBack: dunning},
		{
			event:     &events.DeletionRequested{},
			supersede: []message.Template{message.Suspended, message.TrialEnded, message.DowngradeScheduled, message.UsageAlert},
			holdBack:  dunning,
		},
		{event: &events.DeletionCancelled{}, holdBack: partings},
		{event: &events.ReactivationStarted{}, holdBack: partings},
		{event: &events.ReactivationFailed{}, resume: partings},
		{event: &events.TenantReactivated{Change: events.Change{To: "active"}}, supersede: both},
		{event: &events.TenantReactivated{Change: events.Change{To: "past_due"}}, supersede: partings, resume: dunning},
		{event: &events.UpgradeCompleted{}, supersede: []message.Template{message.UsageAlert}},
		{event: &events.DowngradeCancelled{}, supersede: []message.Template{message.DowngradeScheduled}},
		{event: &events.DowngradeCompleted{}, supersede: []message.Template{message.DowngradeScheduled}},
		{event: &events.TenantActivated{}, supersede: []message.Template{message.ProvisioningFailed}},
	} {
		got := reaction(t, test.event)
		for _, change := range []struct {
			what      string
			got, want []message.Template
		}{
			{"superseded", got.Supersede, test.supersede}, {"held back", got.HoldBack, test.holdBack}, {"resumed", got.Resume, test.resume},
		} {
			if diff := cmp.Diff(sorted(change.want), sorted(change.got)); diff != "" {
				t.Errorf("%s by %s (-want +got):\n%s", change.what, test.event.EventType(), diff)
			}
		}
	}
}

func sorted(templates []message.Template) []message.Template {
	return slices.Sorted(slices.Values(templates))
}

func TestLives(t *testing.T) {
	for _, test := range []struct {
		event events.Payload
		want  message.Life
	}{
		{&events.TenantRegistered{Generation: 1}, message.Life{Generation: 1}},
		{&events.TenantReborn{Generation: 2}, message.Life{Generation: 2}},
		{&events.PurgeStarted{Generation: 2}, message.Life{Generation: 2, Ended: true}},
	} {
		got := reaction(t, test.event)
		if diff := cmp.Diff(&test.want, got.Life); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.event.EventType(), diff)
		}
		if !slices.Contains(got.Supersede, message.PaymentReminder) || slices.Contains(got.Supersede, message.Deleted) {
			t.Errorf("%s takes back %v", test.event.EventType(), got.Supersede)
		}
	}
	if got := reaction(t, &events.PaymentRecovered{}).Life; got != nil {
		t.Errorf("a payment is a life: %+v", got)
	}
}

func TestWhoCallsAChangeOffIsNotTold(t *testing.T) {
	outgrown := []events.Violation{{Metric: "documents", Usage: 60, Limit: 50}}
	told := func(exceeded []events.Violation) []message.Draft {
		return []message.Draft{{message.DowngradeDropped, message.Facts{Plan: "starter", Reason: "it does not fit", Exceeded: exceeded}}}
	}
	for _, test := range []struct {
		actor      string
		violations []events.Violation
		superseded bool
		want       []message.Draft
	}{
		{actor: "system:timer", violations: outgrown, want: told(outgrown)},
		{actor: "service:billing", violations: outgrown, want: told(outgrown)},
		{actor: "operator:ops", violations: outgrown, want: told(outgrown)}, // it was due, and waited for what the operator did
		{actor: "system:timer", want: told(nil)},                            // the plan is not sold any more
		{actor: "service:billing", superseded: true},
		{actor: "operator:ops"},
		{actor: "tenant:acme"},
		{actor: "service:crm"},
	} {
		got := reactionBy(t, test.actor, &events.DowngradeCancelled{
			Change: events.Change{Reason: "it does not fit"}, Plan: "starter", Violations: test.violations, Superseded: test.superseded,
		})
		if diff := cmp.Diff(test.want, got.Send); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test, diff)
		}
	}
}

// alarming are the events that call an operator, and what he is told.
var alarming = []struct {
	event events.Payload
	want  message.Facts
}{
	{&events.ProvisioningFailed{OperationID: "op-1", Error: "secret internals"}, message.Facts{Event: "provisioning.failed", OperationID: "op-1"}},
	{&events.UpgradeStuck{OperationID: "op-1", Error: "secret internals"}, message.Facts{Event: "upgrade.stuck", OperationID: "op-1"}},
	{&events.DowngradeStuck{OperationID: "op-1", Error: "secret internals"}, message.Facts{Event: "downgrade.stuck", OperationID: "op-1"}},
	{&events.ComplianceViolation{Kind: "purge_late", Detail: "details"}, message.Facts{Event: "compliance.violation", Kind: "purge_late"}},
	{
		&events.DriftFound{Kind: "plan_differs", Detail: "details", SubscriptionID: "sub_1", Plan: "starter", LivePlan: "professional"},
		message.Facts{Event: "drift.found", Kind: "plan_differs", SubscriptionID: "sub_1", Plan: "starter", LivePlan: "professional"},
	},
	{&events.ArchiveOverdue{ExportID: "exp-1", DueBy: when}, message.Facts{Event: "export.overdue", ExportID: "exp-1", Until: when}},
	{&events.PurgeStepFailed{OperationID: "op-1", Error: "secret internals"}, message.Facts{Event: "purge.step_failed", OperationID: "op-1"}},
	{&events.ErasureStuck{OperationID: "op-1", Operation: "retention", Error: "secret internals"}, message.Facts{Event: "erasure.stuck", OperationID: "op-1", Kind: "retention"}},
	{&events.SubjectOverdue{RequestID: "req-1", DueBy: when}, message.Facts{Event: "subject.overdue", OperationID: "req-1", Until: when}},
	{&events.DeletionApprovalRequested{}, message.Facts{Event: "deletion.approval_requested"}},
	{&events.HoldReleaseRequested{}, message.Facts{Event: "hold.release_requested"}},
}

func TestEventsCallAnOperator(t *testing.T) {
	for _, test := range alarming {
		want := []message.Draft{{message.OperatorAlert, test.want}}
		if diff := cmp.Diff(want, reaction(t, test.event).Alert); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.event.EventType(), diff)
		}
	}
	for _, calm := range []events.Payload{&events.DriftFound{Kind: "left_schedule", Healed: true}, &events.TenantSuspended{}, &events.PurgeStarted{}} {
		if got := reaction(t, calm).Alert; got != nil {
			t.Errorf("%s calls an operator: %+v", calm.EventType(), got)
		}
	}
}

func TestOtherEventsAskForNothing(t *testing.T) {
	for _, eventType := range []string{"tenure.lifecycle.step.requested.v1", "tenure.lifecycle.tenant.exalted.v9", ""} {
		if message.Wants(eventType) {
			t.Errorf("%q is wanted", eventType)
		}
		if r, err := rules.ReactionTo(events.Event{Type: eventType}); err != nil || r.Send != nil {
			t.Errorf("%q: %+v, %v", eventType, r, err)
		}
	}
}

func TestBrokenDataIsAnError(t *testing.T) {
	e := events.Event{Type: (&events.TenantActivated{}).EventType(), Data: json.RawMessage(`[]`)}
	if _, err := rules.ReactionTo(e); err == nil {
		t.Error("an event that cannot be read asks for nothing in silence")
	}
}
