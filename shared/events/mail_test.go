package events_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"tenure/shared/events"
)

func TestMailOf(t *testing.T) {
	blocked := func(kinds ...string) *events.TenantSuspended {
		p := &events.TenantSuspended{}
		for _, kind := range kinds {
			p.Blocks = append(p.Blocks, events.Block{Kind: kind})
		}
		return p
	}
	for _, c := range []struct {
		event events.Payload
		mail  string
	}{
		{&events.UpgradeCompleted{}, "plan_changed"},
		{&events.DowngradeCancelled{}, ""},
		{&events.DowngradeCancelled{Violations: []events.Violation{{Metric: "documents"}}}, "downgrade_dropped"},
		{&events.PaymentPastDue{Change: events.Change{To: "past_due"}}, "payment_failed"},
		{&events.PaymentPastDue{Change: events.Change{To: "upgrading"}}, ""},
		{blocked("payment"), "suspended"},
		{blocked("trial"), "trial_ended"},
		{blocked("over_limit", "trial"), "trial_ended"},
		{blocked("trial", "admin"), "suspended"},
		{&events.StepRequested{}, ""},
	} {
		require.Equal(t, c.mail, events.MailOf(c.event), "%+v", c.event)
	}
}
