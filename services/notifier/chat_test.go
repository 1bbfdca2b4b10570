package notifier_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"tenure/shared/events"
	"tenure/shared/testkit"
)

// Operators are alerted in their chat while the mail server is away, once each, and the chat's own trouble delays no mail.
func TestOperatorsAreAlertedInTheirChat(t *testing.T) {
	w := newWorld(t)
	w.register("acme")
	room := newReceiver(t)
	room.answer(http.StatusInternalServerError)
	w.environ["TENURE_SLACK_WEBHOOK"] = room.URL + "/services/T0/B0/secret"
	w.environ["TENURE_OPERATOR_MAIL"] = "ops@example.com"
	w.run()
	w.publish("acme", &events.TenantActivated{Plan: "starter"}, &events.ComplianceViolation{Kind: "purge_late"})
	w.wantMails("acme", "acme is ready")
	room.wait(t, 2) // it is tried again and again
	w.mail.Stop()
	room.answer(http.StatusOK)
	w.publish("acme", &events.UpgradeStuck{OperationID: "op-<1>"})
	texts := func() (texts []string) {
		for _, c := range room.got() {
			var said struct{ Text string }
			if err := json.Unmarshal(c.body, &said); err != nil {
				t.Fatal(err)
			}
			texts = append(texts, said.Text)
		}
		return texts
	}
	testkit.WaitFor(t, soon, "both alerts are there", func() bool {
		all := texts()
		return len(all) > 1 && strings.Contains(all[len(all)-1], "op-&lt;1&gt;") && strings.Contains(all[len(all)-2], "purge_late")
	})
	testkit.WaitFor(t, soon, "both are noted as sent", func() bool { return w.states()["sent"] >= 3 })
	for _, e := range w.reported("acme", 1) {
		if strings.Contains(string(e.Data), "secret") {
			t.Errorf("an event holds the chat's address: %s", e.Data)
		}
	}
}
