package notifier_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tenure/services/notifier"
	"tenure/shared/events"
	"tenure/shared/runner"
	"tenure/shared/testkit"
	"tenure/shared/vault"
)

const (
	paymentFailed = "A payment for acme has failed"
	stillOpen     = "The payment for acme is still open"
	hour          = time.Hour
)

// pastDue is a tenant whose payment has just failed, with a week of grace.
func (w *world) pastDue(tenant string) (graceEnds time.Time) {
	w.t.Helper()
	graceEnds = time.Now().Add(7 * day)
	w.publish(tenant, &events.TenantRegistered{Generation: 1}, &events.PaymentPastDue{
		Change: events.Change{To: "past_due"}, GraceEndsAt: &graceEnds,
	})
	return graceEnds
}

func TestTheLadderOfMails(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	stop := w.run()
	until := w.pastDue("acme").UTC().Format("2 January 2006, 15:04 UTC")
	want := []string{paymentFailed}
	w.wantMails("acme", want...)
	for _, rung := range []struct {
		after   time.Duration
		subject string
	}{
		{56 * hour, stillOpen},
		{56 * hour, stillOpen},
		{32 * hour, "acme will be suspended on " + until},
	} {
		w.advance(rung.after)
		want = append(want, rung.subject)
		w.wantMails("acme", want...)
	}
	stop()
	w.run() // a restart climbs no rung again
	w.publish("acme", &events.TenantSuspended{Blocks: []events.Block{{Kind: "payment"}}})
	w.wantMails("acme", append(want, "acme is suspended")...)
	w.wantStates(map[string]int{"sent": 5})
	ids := map[string]bool{}
	for _, m := range w.mail.Mails() {
		ids[m.Header.Get("Message-Id")] = true
	}
	if len(ids) != 5 {
		t.Errorf("5 mails with %d ids", len(ids))
	}
}

func TestAPaymentEndsTheLadder(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.run()
	w.pastDue("acme")
	w.wantMails("acme", paymentFailed)
	w.advance(56 * hour)
	w.wantMails("acme", paymentFailed, stillOpen)
	w.publish("acme", &events.PaymentRecovered{})
	w.wantMails("acme", paymentFailed, stillOpen, "Your payment for acme has arrived")
	w.wantStates(map[string]int{"sent": 3, "superseded": 2})
}

// The mails of a ladder do not come all at once when the mail server was away.
func TestALateReminderGivesWayToTheNext(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.mail.Stop()
	w.run()
	w.pastDue("acme")
	w.wantStates(map[string]int{"queued": 4})
	w.advance(5 * day)
	w.mail.Start()
	w.wantStates(map[string]int{"sent": 2, "superseded": 1, "queued": 1})
	w.wantMails("acme", paymentFailed, stillOpen)
}

// An operator's suspension stops no grace: when it is lifted within it, the reminders go on.
func TestTheLadderGoesOnAfterAnotherSuspension(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.run()
	w.pastDue("acme")
	w.wantMails("acme", paymentFailed)
	w.publish("acme", &events.TenantSuspended{Blocks: []events.Block{{Kind: "admin"}}})
	w.wantMails("acme", paymentFailed, "acme is suspended")
	w.wantStates(map[string]int{"sent": 2, "held": 3})
	w.advance(5 * day)
	w.publish("acme", &events.TenantReactivated{Change: events.Change{To: "past_due"}, Plan: "starter", RestoreData: true})
	w.wantStates(map[string]int{"sent": 4, "superseded": 1, "queued": 1})
	w.wantMails("acme", paymentFailed, "acme is suspended", stillOpen, "Welcome back: acme works again")
}

func TestRemindersOfADeletion(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.run()
	due := time.Now().Add(30 * day)
	on := "acme will be deleted on " + due.UTC().Format("2 January 2006, 15:04 UTC")
	w.publish("acme", &events.TenantRegistered{Generation: 1}, &events.DeletionRequested{ScheduledFor: due, RetentionDays: 30})
	w.wantMails("acme", on)
	w.wantStates(map[string]int{"sent": 1, "queued": 2})

	// On the way back nothing reminds of the deletion; when the return fails, the deadline is where it was.
	w.publish("acme", &events.DeletionCancelled{}, &events.ReactivationStarted{})
	w.wantStates(map[string]int{"sent": 1, "held": 2})
	w.advance(23 * day)
	w.publish("acme", &events.ReactivationFailed{})
	w.wantMails("acme", on, "Reminder: "+on)
	w.advance(6 * day)
	w.wantMails("acme", on, "Reminder: "+on, "Last reminder: "+on)
	w.wantStates(map[string]int{"sent": 3})
}

func TestAReturnEndsTheRemindersOfADeletion(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.run()
	w.publish("acme", &events.DeletionRequested{ScheduledFor: time.Now().Add(30 * day), RetentionDays: 30})
	w.wantStates(map[string]int{"sent": 1, "queued": 2})
	w.publish("acme", &events.DeletionCancelled{}, &events.ReactivationStarted{}, &events.TenantReactivated{RestoreData: true})
	w.wantStates(map[string]int{"sent": 2, "superseded": 2})
}

// Nothing that a former life was to be told reaches the next one, nor anybody in between, whichever way it comes.
func TestAFormerLifeIsNotRemindedOf(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.run()
	due := time.Now().Add(30 * day)
	formerly := time.Now()
	w.publish("acme", &events.TenantRegistered{Generation: 1}, &events.DeletionRequested{ScheduledFor: due, RetentionDays: 30})
	w.wantStates(map[string]int{"sent": 1, "queued": 2})
	w.publish("acme", &events.PurgeStarted{Generation: 1})
	w.wantStates(map[string]int{"sent": 1, "superseded": 2, "held": 1})
	w.publish("acme", &events.UsageThresholdReached{Metric: "documents", Percent: 80})
	w.wantStates(map[string]int{"sent": 1, "superseded": 3, "held": 1})
	w.publish("acme", &events.TenantPurged{})
	w.wantStates(map[string]int{"sent": 2, "superseded": 3})

	if err := w.vault.Put(t.Context(), w.db, "acme", 2, vault.Contact{Name: "Eve", Email: "acme@example.com"}); err != nil {
		t.Fatal(err)
	}
	w.publish("acme", &events.TenantReborn{Generation: 2}, &events.TenantActivated{Plan: "free"})
	w.wantStates(map[string]int{"sent": 3, "superseded": 3})
	// Reminders that were never taken back are found out by the last look at them.
	if _, err := w.db.Exec(t.Context(), `UPDATE notifier.messages SET state = 'queued' WHERE state = 'superseded'`); err != nil {
		t.Fatal(err)
	}
	w.advance(23 * day)
	testkit.WaitFor(t, soon, "the first reminder is dropped", func() bool { return w.states()["superseded"] == 2 })
	w.advance(6 * day)
	w.wantStates(map[string]int{"sent": 3, "superseded": 3})
	// What billing had to say of the former life comes late.
	w.publishAt(formerly, "acme", &events.UsageThresholdReached{Metric: "documents", Percent: 100})
	w.publish("acme", &events.UsageThresholdReached{Metric: "queries", Percent: 100})
	w.wantMails("acme", "acme will be deleted on "+due.UTC().Format("2 January 2006, 15:04 UTC"), "acme has been deleted",
		"acme is ready", "acme has used up its queries")
}

func TestOtherServicesFactsReachPeople(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.run()
	expires := time.Now().Add(7 * day)
	w.publish("acme", &events.UsageUpdated{}, &events.UsageThresholdReached{Metric: "queries", Percent: 80, Usage: 80, Limit: 100, Plan: "free"})
	w.wantMails("acme", "acme has used 80% of its queries")
	w.publish("acme", &events.ArchiveStarted{}, &events.ArchiveCompleted{ExportID: "exp-1", ExpiresAt: expires})
	w.wantStates(map[string]int{"sent": 1, "queued": 1})
	w.advance(6 * day)
	w.wantMails("acme", "acme has used 80% of its queries", "Your export of acme expires on "+expires.UTC().Format("2 January 2006, 15:04 UTC"))
}

func TestTheOperatorIsAlerted(t *testing.T) {
	w := newWorld(t)
	w.environ["TENURE_OPERATOR_MAIL"] = "The operators <ops@example.com>"
	w.register("acme")
	w.run()
	w.publish("acme", &events.TenantRegistered{Generation: 1}, &events.UpgradeStuck{OperationID: "op-1", Error: "ada@example.com"})
	w.wantMails("ops", "Tenure calls an operator: upgrade.stuck of acme")
	w.publish("acme", &events.DriftFound{Kind: "left_schedule", Healed: true}, &events.DriftFound{Kind: "plan_differs", SubscriptionID: "sub_1"})
	w.wantMails("ops", "Tenure calls an operator: upgrade.stuck of acme", "Tenure calls an operator: drift.found of acme")
	w.publish("acme", &events.PurgeStarted{Generation: 1}, &events.ComplianceViolation{Kind: "residue"}) // of a tenant that is gone
	testkit.WaitFor(t, soon, "the violation is mailed", func() bool { return len(w.subjects("ops")) == 3 })
	for _, m := range w.mail.Mails() {
		if strings.Contains(m.Body, "ada@") {
			t.Errorf("personal data reaches an operator:\n%s", m.Body)
		}
	}
	if got := w.subjects("acme"); got != nil {
		t.Errorf("the tenant gets %q", got)
	}
}

func TestWithoutAnOperatorNobodyIsAlerted(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.run()
	w.publish("acme", &events.UpgradeStuck{OperationID: "op-1"}, &events.PaymentRecovered{})
	w.wantMails("acme", "Your payment for acme has arrived")
	w.wantStates(map[string]int{"sent": 1})
	w.environ["TENURE_OPERATOR_MAIL"] = "nobody"
	if _, err := notifier.New(t.Context(), runner.Deps{Environ: w.environ, Vault: w.vault}); err == nil || !strings.Contains(err.Error(), "TENURE_OPERATOR_MAIL") {
		t.Errorf("an address that is none: %v", err)
	}
}

// A process that is told to stop when a mail has left notes that before it ends: the next one does not send it again.
func TestAStopBetweenSendingAndNoting(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.mail.Refuse(func(command, _ string) int {
		if command == "DATA" {
			cancel()
		}
		return 0
	})
	wait := w.runUntil(ctx)
	w.pastDue("acme")
	wait()
	w.wantStates(map[string]int{"sent": 1, "queued": 3})
	w.mail.Refuse(nil)
	w.run()
	w.advance(56 * hour)
	w.wantMails("acme", paymentFailed, stillOpen)
}

// When the database fails at that moment the mail leaves again, as SMTP cannot be asked: with the same Message-ID, by which
// it is known as one, and noted once.
func TestALostNoteRepeatsTheSameMail(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	stop := w.run()
	stop()
	testkit.FailQuery(t, w.db, testkit.Failure{Table: "notifier.messages", Op: "UPDATE", When: "NEW.state = 'sent'", Times: 1})
	w.run()
	w.publish("acme", &events.TenantActivated{Plan: "free"})
	w.wantStates(map[string]int{"sent": 1})
	w.wantMails("acme", "acme is ready", "acme is ready")
	mails := w.mail.Mails()
	if a, b := mails[0].Header.Get("Message-Id"), mails[1].Header.Get("Message-Id"); a != b {
		t.Errorf("one message with the ids %s and %s", a, b)
	}
	w.reported("acme", 1)
}
