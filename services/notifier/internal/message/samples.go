package message

import (
	"time"

	"tenure/shared/events"
)

// Samples are made-up facts for a mail, one for each of the forms that it has: for previews, and to try templates with.
func Samples(t Template) []Facts { return samples[t] }

// SampleView is what a template sees of a sample. The person in it does not exist.
func SampleView(f Facts, baseURL string) View {
	return View{Facts: f, Tenant: "acme", Name: "Ada Lovelace", BaseURL: baseURL, Undo: baseURL + "/l/undo"}
}

var sampleTime = time.Date(2026, 8, 3, 14, 30, 0, 0, time.UTC)

var samples = map[Template][]Facts{
	Welcome:            {{Plan: "starter"}},
	ProvisioningFailed: {{}},
	PlanChanged: {
		{FromPlan: "starter", Plan: "professional", Difference: &Difference{
			Limits: []LimitChange{{"queries", 10_000, 100_000}, {"documents", 5_000, 50_000}, {"storage_gb", 5, 0}},
			Gained: []string{"single sign-on"},
		}},
		{FromPlan: "starter", Plan: "free", Difference: &Difference{
			Limits: []LimitChange{{"queries", 10_000, 100}, {"documents", 5_000, 50}, {"storage_gb", 5, 0.1}},
			Lost:   []string{"mail support"},
		}},
		{FromPlan: "classic", Plan: "starter"},
	},
	DowngradeScheduled: {{FromPlan: "starter", Plan: "free", Until: sampleTime}},
	DowngradeDropped: {
		{Plan: "starter", Reason: "the usage does not fit starter: documents 6000 of 5000", Exceeded: []events.Violation{
			{Metric: "documents", Usage: 6_000, Limit: 5_000}, {Metric: "storage_gb", Usage: 5.5, Limit: 5},
		}},
		{Plan: "starter", Reason: "starter is no plan below free any more"},
	},
	TrialEnded:      {{}},
	PaymentFailed:   {{Until: sampleTime}, {}},
	PaymentReminder: {{Until: sampleTime}},
	PaymentLastCall: {{Until: sampleTime}},
	Suspended:       {{Cause: "payment"}, {Cause: "admin"}},
	Recovered:       {{}},
	UsageAlert: {
		{Metric: "queries", Percent: 80, Usage: 8_000, Limit: 10_000, Plan: "starter", Period: "2026-08"},
		{Metric: "storage_gb", Percent: 80, Usage: 4.1, Limit: 5, Plan: "starter"},
		{Metric: "queries", Percent: 100, Usage: 10_000, Limit: 10_000, Plan: "starter", Period: "2026-08"},
		{Metric: "storage_gb", Percent: 100, Usage: 5.004, Limit: 5, Plan: "starter"},
	},
	ExportReady:       {{ExportID: "exp-1"}},
	ExportExpiring:    {{ExportID: "exp-1", Until: sampleTime}},
	DeletionScheduled: {{Until: sampleTime, RetentionDays: 30}, {Until: sampleTime, RetentionDays: 1}},
	DeletionReminder:  {{Until: sampleTime}, {Until: sampleTime, Last: true}},
	Deleted:           {{Certificate: "certificates/acme/1.json", Generation: 1}},
	Returned:          {{Plan: "starter"}, {Plan: "starter", Fresh: true}},
	WebhookDisabled:   {{EndpointID: "we_1"}},
	OperatorAlert: {
		{Event: "provisioning.failed", OperationID: "op-1"},
		{Event: "compliance.violation", Kind: "purge_late"},
		{Event: "erasure.stuck", OperationID: "op-1", Kind: "documents"},
		{Event: "subject.overdue", OperationID: "req-1", Until: sampleTime},
		{Event: "drift.found", Kind: "plan_differs", SubscriptionID: "sub_1", Plan: "starter", LivePlan: "professional"},
		{Event: "hold.release_requested"},
		{Event: "export.overdue", ExportID: "exp-1", Until: sampleTime},
	},
}
