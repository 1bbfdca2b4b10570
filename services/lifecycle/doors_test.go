package lifecycle_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/events"
	"tenure/shared/testkit"
)

// reasons lists why messages were put aside, in their order.
func (r *rig) reasons() string {
	var out []string
	for _, letter := range r.deadLetters() {
		out = append(out, letter.(map[string]any)["reason"].(string))
	}
	return strings.Join(out, " ")
}

// Texts come back in events, some of them twice. One that makes an event too large for the bus would be tried for ever,
// and every tenant's commands would wait behind it.
func TestNobodyWaitsBehindTooManyWords(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	const limit = 1000 // characters of a reason
	long := func(n int) string { return strings.Repeat("€", n) }
	r.publish("tenure.commands.acme", command(t, "reason", "acme", &events.Suspend{Reason: long(limit + 1)}))
	r.publish("tenure.commands.acme", command(t, "plan", "acme", &events.Upgrade{Plan: long(limit)}))
	r.publish("tenure.commands.acme", command(t, "fits", "acme", &events.Suspend{Reason: long(limit)}))
	r.collect(causedBy("fits"))
	require.Equal(t, "out_of_range out_of_range", r.reasons())

	for route, body := range map[string]string{"upgrade": `{"plan":%q}`, "reactivate": `{"reason":%q}`, "holds": `{"reason":%q}`} {
		a := r.call("dev", "POST", "/v1/tenants/acme/"+route, fmt.Sprintf(body, long(limit+1)))
		require.Equal(t, 422, a.status, a.body)
		require.Equal(t, "out_of_range", a.json(t)["code"], a.body)
	}
}

// PostgreSQL reads no NUL: stored as text in one tenant's state, it would fail the lists of all.
func TestNULsStayOutside(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	for route, body := range map[string]string{
		"/v1/tenants":              `{"id":"other","name":"O\u0000","email":"o@example.com","plan":"free"}`,
		"/v1/tenants/acme/suspend": `{"reason":"\u0000"}`,
		"/v1/tenants/acme/holds":   `{"reason":"\u0000"}`,
		"/v1/tenants/acme/delete":  `{"reason":"\u0000"}`,
	} {
		a := r.call("dev", "POST", route, body)
		require.Equal(t, 422, a.status, "%s: %s", route, a.body)
		require.Equal(t, events.CodeUnstorableData, a.json(t)["code"])
	}
	for _, path := range []string{"/v1/tenants?q=%00", "/v1/tenants?state=%00", "/v1/events?tenant=%00", "/v1/operations/%00", "/v1/tenants/%00"} {
		require.Equal(t, 422, r.call("dev", "GET", path, "").status, path)
	}
	require.Equal(t, 200, r.call("dev", "GET", "/v1/tenants", "").status)
	require.Equal(t, 200, r.call("dev", "GET", "/v1/stats", "").status)
}

// Stripe's news of strangers travel under this name.
func TestNoTenantMayTakeTheReservedName(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	a := r.call("dev", "POST", "/v1/tenants", `{"id":"_","name":"U","email":"u@example.com","plan":"free"}`)
	require.Equal(t, 422, a.status, a.body)
	require.Equal(t, events.CodeInvalidTenantID, a.json(t)["code"])
	r.publish("tenure.commands._", command(t, "c1", "_", &events.Register{Name: "U", Email: "u@example.com", Plan: "free"}))
	testkit.WaitFor(t, 10*time.Second, "the command to be put aside", func() bool { return r.reasons() == events.CodeInvalidTenantID })
}

// The same id with another body is quarantined; the same body in another spelling is a repetition.
func TestAUsedIDOnTheBus(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	send := func(id, data string) {
		r.publish("tenure.commands.acme", fmt.Appendf(nil,
			`{"specversion":"1.0","id":%q,"source":"test","type":"tenure.command.suspend.v1","subject":"acme","data":%s}`, id, data))
	}
	send("c1", `{"reason":"x","block":"abuse"}`)
	send("c1", `{ "block": "abuse", "reason": "x" }`)
	send("c1", `{"reason":"another"}`)
	send("c2", `{"reason":"y"}`)
	got := r.collect(causedBy("c2"))
	require.Equal(t, 1, strings.Count(fmt.Sprint(typesOf(got)), "tenant.suspended"))
	testkit.WaitFor(t, 10*time.Second, "the other body to be put aside", func() bool { return r.reasons() == "id_conflict" })
}

// A participant's answer can be of any size below the bus's limit; what follows from it has to fit as well.
func TestWordyParticipants(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	require.Equal(t, 200, r.call("dev", "PUT", "/v1/participants/store", `{"actions":["provision"]}`).status)
	op := r.call("dev", "POST", "/v1/tenants/acme/upgrade", `{"plan":"starter"}`).json(t)["id"].(string)
	answer := func(name string, a events.StepAnswer) {
		a.StepID, a.Participant = op+"-1", "store"
		e, err := events.Answer("acme", name, a)
		require.NoError(t, err)
		e.ID, e.Source, e.Time = name, "test", time.Unix(1, 0)
		body, err := events.Encode(e)
		require.NoError(t, err)
		r.publish("tenure.events.store.acme."+name, body)
	}
	answer(events.StepFailedName, events.StepAnswer{Error: strings.Repeat("x", 60_000)})
	r.collect(func(list []events.Event) bool { return strings.Contains(fmt.Sprint(typesOf(list)), "step.errored") })
	answer(events.StepCompletedName, events.StepAnswer{Result: bytes.Repeat([]byte("1"), 60_000)})
	r.collect(func(list []events.Event) bool { return strings.Contains(fmt.Sprint(typesOf(list)), "step.done") })
}

func TestWhatComesInHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	a := r.call("dev", "POST", "/v1/tenants/acme/suspend", `{"reason":"x"}`, "traceparent", trace, "Idempotency-Key", "c1")
	require.Equal(t, 202, a.status, a.body)
	got := r.collect(causedBy("c1"))
	require.Equal(t, trace, got[len(got)-1].TraceParent)

	a = r.call("dev", "POST", "/v1/tenants/acme/resume", `{"reason":"x"}`, "Idempotency-Key", "\xff")
	require.Equal(t, 422, a.status, a.body)
}
