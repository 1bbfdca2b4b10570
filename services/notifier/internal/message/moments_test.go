package message_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"tenure/services/notifier/internal/message"
	"tenure/shared/events"
)

// moments are those of a tenant's life that its people are told of, at once or ahead of time.
var moments = []struct {
	what   string
	events []events.Payload
	want   []message.Template
}{
	{"set up", []events.Payload{&events.TenantActivated{Plan: "free"}}, []message.Template{message.Welcome}},
	{"not set up", []events.Payload{&events.ProvisioningFailed{}}, []message.Template{message.ProvisioningFailed}},
	{
		"a higher plan",
		[]events.Payload{&events.UpgradeCompleted{FromPlan: "starter", Plan: "professional"}},
		[]message.Template{message.PlanChanged},
	},
	{
		"a lower plan",
		[]events.Payload{
			&events.DowngradeScheduled{FromPlan: "starter", Plan: "free", DueAt: later},
			&events.DowngradeCompleted{FromPlan: "starter", Plan: "free"},
		},
		[]message.Template{message.DowngradeScheduled, message.PlanChanged},
	},
	{
		"a lower plan that does not fit",
		[]events.Payload{&events.DowngradeCancelled{
			Change: events.Change{Reason: "it does not fit"}, Plan: "free", Violations: []events.Violation{{Metric: "documents", Usage: 2, Limit: 1}},
		}},
		[]message.Template{message.DowngradeDropped},
	},
	{
		"a lower plan that is not sold any more",
		[]events.Payload{&events.DowngradeCancelled{Change: events.Change{Reason: "it is no plan any more"}, Plan: "free"}},
		[]message.Template{message.DowngradeDropped},
	},
	{
		"a payment that fails",
		[]events.Payload{
			&events.PaymentPastDue{Change: pastDue, GraceEndsAt: &later}, &events.TenantSuspended{Blocks: blocks("payment")},
			&events.PaymentRecovered{},
		},
		[]message.Template{
			message.PaymentFailed, message.PaymentReminder, message.PaymentReminder, message.PaymentLastCall,
			message.Suspended, message.Recovered,
		},
	},
	{"the end of a trial", []events.Payload{&events.TrialExpired{Blocks: blocks("trial")}}, []message.Template{message.TrialEnded}},
	{
		"an export",
		[]events.Payload{&events.ExportCompleted{ExportID: "exp-1"}, &events.ArchiveCompleted{ExportID: "exp-1", ExpiresAt: later}},
		[]message.Template{message.ExportReady, message.ExportExpiring},
	},
	{
		"a deletion",
		[]events.Payload{
			&events.DeletionRequested{ScheduledFor: when.Add(30 * day), RetentionDays: 30}, &events.PurgeStarted{},
			&events.TenantPurged{Certificate: "certificates/acme/1.json", Generation: 1},
		},
		[]message.Template{message.DeletionScheduled, message.DeletionReminder, message.DeletionReminder, message.Deleted},
	},
	{"a return", []events.Payload{&events.TenantReactivated{Plan: "free", RestoreData: true}}, []message.Template{message.Returned}},
}

// draftsOf are the mails to the tenant that leave because of events, in their order.
func draftsOf(t *testing.T, all ...events.Payload) (drafts []message.Draft) {
	t.Helper()
	for _, p := range all {
		r := reactionBy(t, "system:timer", p)
		drafts = append(drafts, r.Send...)
		for _, reminder := range r.Schedule {
			drafts = append(drafts, reminder.Draft)
		}
		drafts = append(drafts, r.Release...)
	}
	return drafts
}

func TestPeopleAreToldOfEveryMoment(t *testing.T) {
	told := map[message.Template]bool{}
	for _, test := range moments {
		var got []message.Template
		for _, d := range draftsOf(t, test.events...) {
			got = append(got, d.Template)
			told[d.Template] = true
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.what, diff)
		}
	}
	// What else there is: of a metric that is used up, and of what has no moment in the life of a tenant.
	others := []message.Template{message.UsageAlert, message.WebhookDisabled, message.OperatorAlert}
	for _, template := range others {
		told[template] = true
	}
	for _, template := range message.Templates() {
		if !told[template] {
			t.Errorf("no moment leads to %s", template)
		}
	}
}

// A preview of a command lists the mails that will be sent by events.MailOf, where nothing is sent from.
func TestPreviewsListTheMailsThatAreSent(t *testing.T) {
	previewed := []events.Payload{
		&events.TenantSuspended{Blocks: blocks("over_limit")}, &events.TenantSuspended{Blocks: blocks("over_limit", "trial")},
		&events.TenantSuspended{Blocks: blocks("abuse")}, &events.PaymentPastDue{Change: events.Change{To: "suspended"}, GraceEndsAt: &later},
		&events.ExemptionEnded{Change: pastDue},
	}
	for _, test := range asked {
		previewed = append(previewed, test.event)
	}
	for _, test := range moments {
		previewed = append(previewed, test.events...)
	}
	for _, eventType := range events.Types() {
		p, err := events.Event{Type: eventType, Data: []byte(`{}`)}.Payload()
		if err != nil {
			t.Fatalf("%s: %v", eventType, err)
		}
		previewed = append(previewed, p)
	}
	for _, p := range previewed {
		sent := ""
		if drafts := atOnce(t, p); len(drafts) > 0 {
			sent = string(drafts[0].Template)
		}
		if mail := events.MailOf(p); mail != sent {
			t.Errorf("%s: a preview lists the mail %q, and %q is sent: %+v", p.EventType(), mail, sent, p)
		}
	}
}

// atOnce are the mails that leave for the tenant now, after a command of a person.
func atOnce(t *testing.T, p events.Payload) []message.Draft {
	t.Helper()
	if !message.Wants(p.EventType()) {
		return nil
	}
	r := reactionBy(t, "operator:ops", p)
	return append(r.Send, r.Release...)
}
