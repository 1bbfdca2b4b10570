package message_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tenure/services/notifier/internal/message"
	"tenure/shared/events"
	"tenure/shared/testkit"
)

var when = time.Date(2026, 8, 3, 14, 30, 0, 0, time.UTC)

// asked are events, and the mail that each leads to.
var asked = []struct {
	event events.Payload
	want  message.Draft
}{
	{&events.TenantActivated{Plan: "starter"}, message.Draft{message.Welcome, message.Facts{Plan: "starter"}}},
	{&events.ProvisioningFailed{Error: "secret internals"}, message.Draft{message.ProvisioningFailed, message.Facts{}}},
	{&events.UpgradeCompleted{FromPlan: "starter", Plan: "professional"}, message.Draft{message.PlanChanged, message.Facts{FromPlan: "starter", Plan: "professional"}}},
	{&events.DowngradeCompleted{FromPlan: "starter", Plan: "free"}, message.Draft{message.PlanChanged, message.Facts{FromPlan: "starter", Plan: "free"}}},
	{&events.DowngradeScheduled{FromPlan: "starter", Plan: "free", DueAt: when}, message.Draft{message.DowngradeScheduled, message.Facts{FromPlan: "starter", Plan: "free", Until: when}}},
	{&events.PaymentPastDue{GraceEndsAt: &when}, message.Draft{message.PaymentFailed, message.Facts{Until: when}}},
	{&events.PaymentPastDue{}, message.Draft{message.PaymentFailed, message.Facts{}}},
	{&events.TenantSuspended{Blocks: blocks("payment")}, message.Draft{message.Suspended, message.Facts{Cause: "payment"}}},
	{&events.TenantSuspended{Blocks: blocks("payment", "abuse")}, message.Draft{message.Suspended, message.Facts{Cause: "admin"}}},
	{&events.TrialExpired{Blocks: blocks("trial")}, message.Draft{message.Suspended, message.Facts{Cause: "trial"}}},
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

func reaction(t *testing.T, p events.Payload) message.Reaction {
	t.Helper()
	e, err := events.New(p, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if !message.Wants(e.Type) {
		t.Fatalf("%s is not wanted", e.Type)
	}
	r, err := message.ReactionTo(e)
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
	if got, all := len(begun.Supersede), len(message.Templates()); got != all-1 {
		t.Errorf("the purge takes back %d of %d mails", got, all)
	}
	want := []message.Draft{{message.Deleted, message.Facts{Certificate: "certificates/acme/1.json"}}}
	if diff := cmp.Diff(want, reaction(t, &events.TenantPurged{Certificate: "certificates/acme/1.json"}).Release); diff != "" {
		t.Errorf("release (-want +got):\n%s", diff)
	}
}

func TestAReturnTakesFarewellsBack(t *testing.T) {
	for _, event := range []events.Payload{&events.TenantReactivated{}, &events.ReactivationStarted{}, &events.DeletionCancelled{}} {
		taken := map[message.Template]bool{}
		for _, template := range reaction(t, event).Supersede {
			taken[template] = true
		}
		for _, farewell := range []message.Template{message.Suspended, message.DeletionScheduled, message.PaymentFailed} {
			if !taken[farewell] {
				t.Errorf("after %s the mail %q may still leave", event.EventType(), farewell)
			}
		}
		if taken[message.Welcome] || taken[message.ExportReady] {
			t.Errorf("%s takes back what is still true: %v", event.EventType(), taken)
		}
	}
}

func TestOtherEventsAskForNothing(t *testing.T) {
	for _, eventType := range []string{"tenure.lifecycle.step.requested.v1", "tenure.lifecycle.tenant.exalted.v9", ""} {
		if message.Wants(eventType) {
			t.Errorf("%q is wanted", eventType)
		}
		if r, err := message.ReactionTo(events.Event{Type: eventType}); err != nil || r.Send != nil {
			t.Errorf("%q: %+v, %v", eventType, r, err)
		}
	}
}

func TestBrokenDataIsAnError(t *testing.T) {
	e := events.Event{Type: (&events.TenantActivated{}).EventType(), Data: json.RawMessage(`[]`)}
	if _, err := message.ReactionTo(e); err == nil {
		t.Error("an event that cannot be read asks for nothing in silence")
	}
}

// The golden files show every mail as people get it.
func TestMails(t *testing.T) {
	drafts := []message.Draft{{message.Deleted, message.Facts{Certificate: "certificates/acme/1.json"}}}
	for _, test := range asked {
		drafts = append(drafts, test.want)
	}
	count := map[message.Template]int{}
	for _, d := range drafts {
		mail, err := message.Render(d.Template, message.View{Facts: d.Facts, Tenant: "acme", Name: "Ada Lovelace", BaseURL: "https://tenure.example"})
		if err != nil {
			t.Errorf("%s: %v", d.Template, err)
			continue
		}
		count[d.Template]++
		name := fmt.Sprintf("%s_%d", d.Template, count[d.Template])
		testkit.Golden(t, name+".txt", []byte("Subject: "+mail.Subject+"\n\n"+mail.Text))
		testkit.Golden(t, name+".html", []byte(mail.HTML))
	}
	if len(count) != len(message.Templates()) {
		t.Errorf("%d of %d templates are shown", len(count), len(message.Templates()))
	}
}

func TestNamesCannotBreakAMail(t *testing.T) {
	view := message.View{Tenant: "acme", Name: "Eve\r\nBcc: all@example.com\n\n<script>alert(1)</script>", BaseURL: "https://tenure.example"}
	for _, template := range message.Templates() {
		mail, err := message.Render(template, view)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(mail.Subject, "\r\n") {
			t.Errorf("%s: a name adds lines to the head: %q", template, mail.Subject)
		}
		if bytes.Contains([]byte(mail.HTML), []byte("<script>")) {
			t.Errorf("%s: a name adds markup", template)
		}
	}
}

func TestAnUnknownTemplateIsAnError(t *testing.T) {
	if _, err := message.Render("valentine", message.View{}); err == nil {
		t.Error("an unknown template renders")
	}
}
