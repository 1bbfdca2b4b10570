package notifier_test

import (
	"fmt"
	"testing"
	"time"

	"tenure/shared/events"
	"tenure/shared/testkit"
)

// BenchmarkMails measures how fast events that wait on the bus become mails at the server, each stored, sent and noted as
// sent:
//
//	go run ./services/devstack/cmd/testservers go test -run - -bench Mails -benchtime 5000x ./services/notifier
func BenchmarkMails(b *testing.B) {
	w := newWorld(b)
	for i := range b.N {
		tenant := fmt.Sprintf("t%d", i)
		w.register(tenant)
		w.publish(tenant, &events.TenantActivated{Plan: "free"})
	}
	b.ResetTimer()
	w.run()
	within := time.Minute + time.Duration(b.N)*50*time.Millisecond
	testkit.WaitFor(b, within, "all is noted as sent", func() bool { return w.states()["sent"] == b.N })
	b.StopTimer()
	if sent := len(w.mail.Mails()); sent != b.N {
		b.Errorf("%d mails for %d messages", sent, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
