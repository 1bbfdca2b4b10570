package lifecycle_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"tenure/shared/events"
	"tenure/shared/query"
	"tenure/shared/testkit"
)

// bills plays billing for one tenant: it tells facts in the order of its log, and answers the bill's steps.
type bills struct {
	*rig
	tenant string
	told   int64
}

func (b *bills) publish(p events.Payload) {
	b.t.Helper()
	e, err := events.New(p, b.tenant)
	require.NoError(b.t, err)
	b.send(e)
}

func (b *bills) send(e events.Event) {
	b.t.Helper()
	b.told++
	e.ID, e.Source, e.Sequence, e.Time = fmt.Sprintf("%s.%d", b.tenant, b.told), "tenure/billing", b.told, time.Unix(1, 0)
	body, err := events.Encode(e)
	require.NoError(b.t, err)
	b.rig.publish(events.BusSubject(e.Type, b.tenant), body)
}

func (b *bills) done(step string) {
	b.t.Helper()
	e, err := events.Answer(b.tenant, events.StepCompletedName, events.StepAnswer{StepID: step, Participant: "billing"})
	require.NoError(b.t, err)
	b.send(e)
}

func (b *bills) show() map[string]any {
	b.t.Helper()
	return b.call("dev", "GET", "/v1/tenants/"+b.tenant, "").json(b.t)
}

func (b *bills) waitFor(field, want string) {
	b.t.Helper()
	testkit.WaitFor(b.t, 10*time.Second, fmt.Sprintf("%s's %s to be %s", b.tenant, field, want), func() bool { return b.show()[field] == want })
}

// paying signs a tenant up that has paid for the next ten days.
func (r *rig) paying(id, plan string) *bills {
	r.t.Helper()
	b := &bills{rig: r, tenant: id}
	a := r.call("dev", "POST", "/v1/tenants", fmt.Sprintf(`{"id":%q,"name":"Acme","email":"a@example.com","plan":%q}`, id, plan))
	require.Equal(r.t, 202, a.status, a.body)
	end := time.Now().AddDate(0, 0, 10)
	b.publish(&events.BillingPaymentConfirmed{SubscriptionID: "sub_1", Status: "active", CurrentPeriodEnd: &end})
	b.waitFor("state", "active")
	return b
}

func (b *bills) post(path, body string) map[string]any {
	b.t.Helper()
	a := b.call("dev", "POST", "/v1/tenants/"+b.tenant+path, body)
	require.Less(b.t, a.status, 300, a.body)
	return a.json(b.t)
}

func TestADowngradeFallsDueByBillingsWord(t *testing.T) {
	t.Parallel()
	b := newRig(t).paying("acme", "professional")
	op := b.post("/downgrade", `{"plan":"starter"}`)["id"].(string)
	change := b.show()["pending_change"].(map[string]any)
	require.Equal(t, "starter", change["plan"])
	require.Equal(t, "refuse", change["resolution"])

	next := time.Now().AddDate(0, 1, 10)
	moved := &events.SubscriptionChanged{SubscriptionID: "sub_1", FromPlan: "professional", Plan: "starter", Status: "active", CurrentPeriodEnd: &next}
	b.publish(moved)
	b.waitFor("state", "downgrading")
	b.done(op + "-1")
	b.waitFor("plan", "starter")
	require.Nil(t, b.show()["pending_change"])

	// The new period is the one that the next downgrade waits for.
	b.post("/downgrade", `{"plan":"free"}`)
	due, err := time.Parse(time.RFC3339, b.show()["pending_change"].(map[string]any)["due_at"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, next, due, time.Second)

	// It never fits, when Stripe ends the subscription: the tenant stays, and hears why.
	b.publish(&events.UsageUpdated{Documents: 51, Period: time.Now().UTC().Format("2006-01")})
	b.publish(&events.SubscriptionCancelled{SubscriptionID: "sub_1", AtPeriodEnd: true})
	b.publish(&events.SubscriptionCancelled{SubscriptionID: "sub_1"})
	got := b.collect(func(list []events.Event) bool {
		return strings.Count(fmt.Sprint(typesOf(list)), "downgrade.cancelled") == 1
	})
	var dropped events.DowngradeCancelled
	require.NoError(t, json.Unmarshal(got[len(got)-1].Data, &dropped))
	require.Equal(t, []events.Violation{{Metric: "documents", Usage: 51, Limit: 50}}, dropped.Violations)
	require.Contains(t, dropped.Reason, "documents 51 of 50")
	require.Equal(t, "starter", b.show()["plan"])

	// Nothing is paid for any more: there is nothing to wait for.
	b.post("/downgrade", `{"plan":"free","resolution":"freeze"}`)
	b.waitFor("state", "downgrading")
}

func TestAPendingChangeIsReplacedAndCancelled(t *testing.T) {
	t.Parallel()
	b := newRig(t).paying("acme", "professional")
	b.post("/downgrade", `{"plan":"starter"}`)
	b.post("/downgrade", `{"plan":"free","resolution":"freeze"}`)
	require.Equal(t, "free", b.show()["pending_change"].(map[string]any)["plan"])
	b.publish(&events.SubscriptionChanged{SubscriptionID: "sub_1", Plan: "starter", Status: "active"}) // of the schedule that was replaced
	require.Nil(t, b.post("/pending-change/cancel", ``)["pending_change"])
	refused := b.call("dev", "POST", "/v1/tenants/acme/pending-change/cancel", "")
	require.Equal(t, 409, refused.status, refused.body)
	require.Equal(t, "active", b.show()["state"])
}

func TestARefusedDowngradeListsWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	b := newRig(t).paying("acme", "professional")
	b.publish(&events.UsageUpdated{Queries: 200, Documents: 51, StorageGB: 0.5, Period: time.Now().UTC().Format("2006-01")})
	testkit.WaitFor(t, 10*time.Second, "the usage to be known", func() bool {
		return b.show()["usage"].(map[string]any)["documents"] == 51.0
	})
	want := []any{
		map[string]any{"metric": "queries", "usage": 200.0, "limit": 100.0},
		map[string]any{"metric": "documents", "usage": 51.0, "limit": 50.0},
		map[string]any{"metric": "storage_gb", "usage": 0.5, "limit": 0.1},
	}
	for range 2 { // and so does the repeated answer
		refused := b.call("dev", "POST", "/v1/tenants/acme/downgrade", `{"plan":"free"}`, "Idempotency-Key", "k")
		require.Equal(t, 422, refused.status, refused.body)
		require.Equal(t, "usage_over_limit", refused.json(t)["code"])
		require.Equal(t, want, refused.json(t)["violations"])
	}
	got := b.collect(causedBy("k"))
	var recorded events.CommandRefused
	require.NoError(t, json.Unmarshal(got[len(got)-1].Data, &recorded))
	require.Len(t, recorded.Violations, 3)
}

func TestAnExemptionOverHTTP(t *testing.T) {
	t.Parallel()
	b := newRig(t, "TENURE_DUNNING_GRACE=0s").paying("acme", "starter")
	b.publish(&events.BillingPaymentFailed{SubscriptionID: "sub_1", Status: "past_due"})
	b.waitFor("state", "suspended") // without a grace at once

	require.Equal(t, 403, b.call("dev:acme", "POST", "/v1/tenants/acme/exemption", `{"reason":"please"}`).status)
	require.Equal(t, 422, b.call("dev", "POST", "/v1/tenants/acme/exemption", `{}`).status, "a reason is needed")
	a := b.call("dev", "POST", "/v1/tenants/acme/exemption", `{"reason":"disputed"}`)
	require.Equal(t, 201, a.status, a.body)
	require.Equal(t, true, a.json(t)["exempt"])
	require.Equal(t, "past_due", b.show()["state"])
	require.Equal(t, 409, b.call("dev", "POST", "/v1/tenants/acme/exemption", `{"reason":"again"}`).status)

	ended := b.call("dev", "DELETE", "/v1/tenants/acme/exemption", `{"reason":"settled"}`)
	require.Equal(t, 200, ended.status, ended.body)
	require.Equal(t, false, ended.json(t)["exempt"])
	b.waitFor("state", "suspended")
}

// quotes answers as billing does, with one quote for all, and notes what was asked.
func (r *rig) quotes(quote query.Quote) <-chan query.QuoteRequest {
	r.t.Helper()
	asked := make(chan query.QuoteRequest, 10)
	sub, err := r.nc.Subscribe(query.BillingQuote, func(m *nats.Msg) {
		var q query.QuoteRequest
		_ = json.Unmarshal(m.Data, &q)
		asked <- q
		body, _ := json.Marshal(map[string]any{"value": quote})
		_ = m.Respond(body)
	})
	require.NoError(r.t, err)
	require.NoError(r.t, r.nc.Flush())
	r.t.Cleanup(func() { _ = sub.Unsubscribe() })
	return asked
}

func (b *bills) preview(body string) map[string]any {
	b.t.Helper()
	a := b.call("dev", "POST", "/v1/tenants/"+b.tenant+"/preview", body)
	require.Equal(b.t, 200, a.status, a.body)
	return a.json(b.t)
}

func TestAPreviewTellsTheWholeWay(t *testing.T) {
	t.Parallel()
	r := newRig(t, "TENURE_PLANS=../../deploy/plans.example.yaml")
	b := r.paying("acme", "starter")
	require.Equal(t, 200, r.call("dev", "PUT", "/v1/participants/store", `{"actions":["provision","restore"],"needs_drain":true,"timeout":"10s"}`).status)
	before := r.call("dev", "GET", "/v1/tenants/acme", "").body

	p := b.preview(`{"command":"upgrade","plan":"professional"}`)
	require.Equal(t, true, p["allowed"], p["refusal"])
	require.Equal(t, []any{"active", "upgrading", "active"}, []any{p["from_state"], p["to_state"], p["end_state"]})
	require.Equal(t, map[string]any{"gained": []any{"single sign-on"}, "lost": []any{}}, p["features"])
	require.Len(t, p["limits"].(map[string]any)["gained"], 3)
	stages := p["access"].([]any)
	require.Len(t, stages, 2)
	changing := stages[0].(map[string]any)
	require.Equal(t, "upgrading", changing["state"])
	require.Equal(t, 140.0, changing["at_most_seconds"], "provision 10 s, drain 60 s, bill 60 s, restore 10 s")
	require.Equal(t, "change_plan", changing["blocked"].([]any)[0].(map[string]any)["capability"])
	require.Len(t, changing["blocked"], 1)
	require.Nil(t, stages[1].(map[string]any)["at_most_seconds"])
	require.Equal(t, []any{map[string]any{"event": "tenure.lifecycle.upgrade.completed.v1", "mail": "plan_changed"}}, p["notifications"])
	require.Len(t, p["steps"], 4)
	cost := p["cost"].(map[string]any)
	require.Equal(t, "estimate", cost["source"], "nobody answers for billing")
	require.InDelta(t, 5_000, cost["due_now_cents"], 200, "a third of the difference")
	require.Equal(t, 19_900.0, cost["next_cents"])

	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	asked := r.quotes(query.Quote{Currency: "usd", DueNowCents: 4_812, NextCents: 19_900, NextAt: &at, Lines: []query.Line{
		{Description: "Unused time on starter", AmountCents: -1_588, Proration: true},
		{Description: "Remaining time on professional", AmountCents: 6_400, Proration: true},
	}})
	cost = b.preview(`{"command":"upgrade","plan":"professional"}`)["cost"].(map[string]any)
	require.Equal(t, query.QuoteRequest{Tenant: "acme", Generation: 1, Plan: "professional"}, testkit.Receive(t, 10*time.Second, asked))
	require.Equal(t, "stripe", cost["source"])
	require.Equal(t, 4_812.0, cost["due_now_cents"])
	require.Equal(t, 15_000.0, cost["monthly_cents"])
	require.Equal(t, "2030-01-02T03:04:05Z", cost["next_at"])
	require.Len(t, cost["lines"], 2)

	p = b.preview(`{"command":"downgrade","plan":"free"}`)
	require.Equal(t, query.QuoteRequest{Tenant: "acme", Generation: 1, Plan: "free", AtPeriodEnd: true}, testkit.Receive(t, 10*time.Second, asked))
	require.Equal(t, []any{"active", "active"}, []any{p["to_state"], p["end_state"]})
	require.Len(t, p["access"], 3)
	require.Equal(t, []any{"mail support"}, p["features"].(map[string]any)["lost"])
	require.NotEmpty(t, p["due_at"])
	require.Equal(t, "downgrade_scheduled", p["notifications"].([]any)[0].(map[string]any)["mail"])

	p = b.preview(`{"command":"delete"}`)
	require.Equal(t, query.QuoteRequest{Tenant: "acme", Generation: 1, Plan: "starter", AtPeriodEnd: true, Cancel: true}, testkit.Receive(t, 10*time.Second, asked))
	require.Equal(t, []any{"deleting", "deleted"}, []any{p["to_state"], p["end_state"]})
	require.Equal(t, []any{"deletion_scheduled", "deleted"}, mails(p))
	leaving := p["access"].([]any)[0].(map[string]any)
	require.Equal(t, 30*86_400.0, leaving["at_most_seconds"])
	require.NotContains(t, fmt.Sprint(leaving["blocked"]), "export")
	require.Contains(t, fmt.Sprint(leaving["blocked"]), "query")

	p = b.preview(`{"command":"downgrade","plan":"enterprise"}`)
	require.Equal(t, "not_a_downgrade", p["refusal"].(map[string]any)["code"])
	require.Equal(t, []any{}, p["access"])
	require.Empty(t, asked, "what is refused costs nothing")
	require.Equal(t, before, r.call("dev", "GET", "/v1/tenants/acme", "").body)
}

func mails(preview map[string]any) []any {
	var out []any
	for _, n := range preview["notifications"].([]any) {
		out = append(out, n.(map[string]any)["mail"])
	}
	return out
}

// Billing that takes too long makes a preview an estimate, not an error.
func TestAPreviewDoesNotWaitForStripe(t *testing.T) {
	t.Parallel()
	b := newRig(t).paying("acme", "starter")
	silent, err := b.nc.SubscribeSync(query.BillingQuote)
	require.NoError(t, err)
	require.NoError(t, b.nc.Flush())
	began := time.Now()
	cost := b.preview(`{"command":"upgrade","plan":"enterprise"}`)["cost"].(map[string]any)
	require.Less(t, time.Since(began), 5*time.Second)
	require.Equal(t, "estimate", cost["source"])
	pending, _, err := silent.Pending()
	require.NoError(t, err)
	require.Equal(t, 1, pending)
}

// What a person agreed to is what happens, or nothing.
func TestAPlanHashHoldsForEveryCommandAboutMoney(t *testing.T) {
	t.Parallel()
	b := newRig(t).paying("acme", "professional")
	for _, c := range []struct{ path, command, body string }{
		{"/upgrade", "upgrade", `"plan":"enterprise"`},
		{"/downgrade", "downgrade", `"plan":"starter"`},
		{"/delete", "delete", `"reason":"x"`},
	} {
		hash := b.preview(fmt.Sprintf(`{"command":%q,%s}`, c.command, c.body))["plan_hash"]
		require.NotEmpty(t, hash, c.command)
		stale := b.call("dev", "POST", "/v1/tenants/acme"+c.path, fmt.Sprintf(`{%s,"plan_hash":"old"}`, c.body))
		require.Equal(t, 409, stale.status, stale.body)
		require.Equal(t, "plan_changed", stale.json(t)["code"])
	}
	require.NotContains(t, b.preview(`{"command":"suspend","reason":"x"}`), "plan_hash")

	hash := b.preview(`{"command":"delete"}`)["plan_hash"]
	b.post("/downgrade", `{"plan":"starter"}`) // the facts move
	stale := b.call("dev", "POST", "/v1/tenants/acme/delete", fmt.Sprintf(`{"plan_hash":%q}`, hash))
	require.Equal(t, "plan_changed", stale.json(t)["code"], stale.body)
	b.post("/delete", fmt.Sprintf(`{"plan_hash":%q}`, b.preview(`{"command":"delete"}`)["plan_hash"]))

	back := b.preview(`{"command":"reactivate"}`)
	stale = b.call("dev", "POST", "/v1/tenants/acme/reactivate", `{"plan_hash":"old"}`)
	require.Equal(t, "plan_changed", stale.json(t)["code"], stale.body)
	b.post("/reactivate", fmt.Sprintf(`{"plan_hash":%q}`, back["plan_hash"]))
}

// A trial that nobody says anything about ends all the same, a little later.
func TestATrialEndsWithoutAWord(t *testing.T) {
	t.Parallel()
	r := newRig(t, "TENURE_RETENTION_UNIT=1s", "TENURE_TRIAL_SETTLE=1s")
	a := r.call("dev", "POST", "/v1/tenants", `{"id":"acme","name":"Acme","email":"a@example.com","plan":"starter","trial_days":1}`)
	require.Equal(t, 202, a.status, a.body)
	b := &bills{rig: r, tenant: "acme"}
	b.waitFor("state", "suspended")
	got := b.collect(func(list []events.Event) bool { return strings.Contains(fmt.Sprint(typesOf(list)), "trial.expired") })
	over, err := time.Parse(time.RFC3339, a.json(t)["trial_ends_at"].(string))
	require.NoError(t, err)
	require.GreaterOrEqual(t, got[len(got)-1].Time.Sub(over), time.Second)
}
