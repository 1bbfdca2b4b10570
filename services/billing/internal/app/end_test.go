package app_test

import (
	"net/http"
	"testing"

	"tenure/shared/events"
)

// Who ends on a free plan is credited for the time that is left of what it has paid for: no more, and no less.
func TestTheEndCreditsWhatWasPaidFor(t *testing.T) {
	const month = 19900
	toFree := []events.Payload{
		bill("downgrade1", "professional", "free"),
		&events.DowngradeCompleted{OperationID: "downgrade1", FromPlan: "professional", Plan: "free"},
	}
	for _, tt := range []struct {
		name string
		acts []act
		net  int64
	}{
		{"at once", []act{send(toFree...)}, 0},
		{"while the renewal is a draft", []act{turn, hear, send(toFree...)}, month},
		{"while the renewal is a draft that nobody pays", []act{turn, hear, decline, send(toFree...)}, month},
		{"by coming back for nothing", []act{send(&events.DeletionRequested{}, &events.TenantReactivated{Plan: "free", RestoreData: true})}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stripe := simulate(t, tenant)
			f := database(t).with(t, tenant, stripe)
			f.signUp("professional")
			for _, act := range tt.acts {
				act(f, stripe)
			}
			if main := f.live(stripe); main.Plan != "" {
				t.Errorf("live: %+v", main)
			}
			stripe.collect()
			if net := stripe.net(); net != tt.net {
				t.Errorf("net %d, want %d", net, tt.net)
			}
		})
	}
}

// Who comes back for nothing while a period is unpaid is in default until that is paid, and not for ever.
func TestADefaultEndsWithItsPayment(t *testing.T) {
	stripe := simulate(t, tenant)
	f := database(t).with(t, tenant, stripe)
	f.signUp("professional")
	for _, act := range []act{decline, turn, collect, hear, send(&events.DeletionRequested{}, &events.TenantReactivated{Plan: "free", RestoreData: true})} {
		act(f, stripe)
	}
	f.wantTold("subscription.changed", "payment.failed", "subscription.cancelled", "subscription.cancelled")
	hear(f, stripe)
	f.wantTold()
	stripe.call(http.MethodPost, "/_sim/payment-methods", map[string]any{"tenant": tenant, "outcome": "ok"}, nil)
	stripe.call(http.MethodPost, "/_sim/pay", map[string]any{"tenant": tenant}, nil)
	hear(f, stripe)
	f.wantTold("payment.recovered")
	hear(f, stripe)
	f.wantTold()
}
