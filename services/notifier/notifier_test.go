package notifier_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/testkit"
)

func TestEachEventReachesItsPersonOnce(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.run()
	activated := w.publish("acme", &events.TenantRegistered{}, &events.TenantActivated{Plan: "starter"})
	w.publish("acme", &events.StepRequested{}, &events.UpgradeCompleted{FromPlan: "starter", Plan: "professional"})
	w.wantMails("acme", "acme is ready", "acme is now on the professional plan")

	sent := w.reported("acme", 2)[0]
	if sent.Type != "tenure.notifier.message.sent.v1" || sent.CausationID != activated.ID || sent.CorrelationID != "command-1" || sent.Sequence != 1 {
		t.Errorf("event: %+v", sent)
	}
	if strings.Contains(string(sent.Data), "@") {
		t.Errorf("the event holds an address: %s", sent.Data)
	}

	// The same event again, beyond the bus's window for duplicates.
	replay(t, w.bus, activated)
	w.publish("acme", &events.PaymentRecovered{})
	w.wantMails("acme", "acme is ready", "acme is now on the professional plan", "Your payment for acme has arrived")
}

// replay publishes an event as a rebuilt stream would: with another Nats-Msg-Id.
func replay(t *testing.T, b *bus.Bus, e events.Event) {
	t.Helper()
	body, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(b.Conn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), events.BusSubject(e.Type, e.Subject), body); err != nil {
		t.Fatal(err)
	}
}

// While the mail server is away nothing is lost, and nothing leaves later that is no longer true.
func TestMailWaitsForItsServer(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.register("other")
	w.mail.Stop()
	stop := w.run()
	w.publish("acme", &events.TenantActivated{Plan: "starter"}, &events.TenantSuspended{Blocks: []events.Block{{Kind: "payment"}}},
		&events.DeletionRequested{}, &events.TenantReactivated{Plan: "starter", RestoreData: true})
	w.publish("other", &events.TenantActivated{Plan: "free"})
	testkit.WaitFor(t, soon, "all events are taken in", func() bool {
		states := w.states()
		return states["queued"] == 3 && states["superseded"] == 2
	})
	stop()
	w.run() // a restart changes nothing
	w.mail.Start()
	w.wantMails("acme", "acme is ready", "Welcome back: acme works again")
	w.wantMails("other", "other is ready")
	testkit.WaitFor(t, soon, "all is noted as sent", func() bool { return w.states()["sent"] == 3 })
}

func TestAWrongAddressDelaysNobody(t *testing.T) {
	w := newWorld(t)
	for _, tenant := range []string{"wrong", "later", "right"} {
		w.register(tenant)
	}
	tries := make(chan struct{}, 100)
	w.mail.Refuse(func(command, address string) int {
		switch {
		case command == "RCPT" && strings.HasPrefix(address, "wrong@"):
			return 550
		case command == "RCPT" && strings.HasPrefix(address, "later@") && len(tries) < 1:
			tries <- struct{}{}
			return 450
		}
		return 0
	})
	w.run()
	for _, tenant := range []string{"wrong", "later", "right", "unknown"} {
		w.publish(tenant, &events.TenantActivated{Plan: "free"})
	}
	w.wantMails("right", "right is ready")
	w.wantMails("later", "later is ready")
	for _, tenant := range []string{"wrong", "unknown"} {
		failed := w.reported(tenant, 1)[0]
		if failed.Type != "tenure.notifier.message.failed.v1" || strings.Contains(string(failed.Data), "@") {
			t.Errorf("%s: %s %s", tenant, failed.Type, failed.Data)
		}
	}
	for _, tenant := range []string{"right", "later"} {
		w.reported(tenant, 1) // a mail arrives before it is marked as sent
	}
	if got := w.states(); got["failed"] != 2 || got["sent"] != 2 {
		t.Errorf("messages: %v", got)
	}
}

// When all is gone the vault has forgotten the address: the last mail has kept it, and forgets it when it has left.
func TestTheLastMailOutlivesItsAddress(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	w.run()
	w.publish("acme", &events.PurgeStarted{})
	testkit.WaitFor(t, soon, "the last mail is held", func() bool { return w.states()["held"] == 1 })
	if err := w.vault.Shred(t.Context(), w.db, "acme", 1); err != nil {
		t.Fatal(err)
	}
	w.mail.Stop()
	w.publish("acme", &events.TenantPurged{Certificate: "certificates/acme/1.json"})
	testkit.WaitFor(t, soon, "it is released", func() bool { return w.states()["queued"] == 1 })
	w.mail.Start()
	w.wantMails("acme", "acme has been deleted")
	if body := w.mail.Mails()[0].Body; !strings.Contains(body, "certificates/acme/1.json") {
		t.Errorf("the certificate is not in the mail:\n%s", body)
	}
	testkit.WaitFor(t, soon, "it is noted as sent", func() bool { return w.states()["sent"] == 1 })
	var left int
	err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM notifier.messages m WHERE m::text LIKE '%@example.com%'`).Scan(&left)
	if err != nil || left != 0 {
		t.Errorf("%d messages still hold an address, %v", left, err)
	}
}

func TestTwoNotifiersShareTheWork(t *testing.T) {
	w := newWorld(t)
	const tenants = 150
	for i := range tenants {
		tenant := fmt.Sprintf("t%d", i)
		w.register(tenant)
		w.publish(tenant, &events.TenantActivated{Plan: "free"})
	}
	w.run()
	w.run()
	testkit.WaitFor(t, soon, "all mails have left", func() bool { return w.states()["sent"] == tenants })
	ids := map[string]bool{}
	for _, m := range w.mail.Mails() {
		ids[m.Header.Get("Message-Id")] = true
	}
	if len(ids) != tenants || len(w.mail.Mails()) != tenants {
		t.Errorf("%d mails with %d ids for %d messages", len(w.mail.Mails()), len(ids), tenants)
	}
}
