package lifecycle_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"tenure/shared/events"
	"tenure/shared/query"
	"tenure/shared/retention/policyfile"
	"tenure/shared/testkit"
)

// policy writes a retention policy and returns the setting that names it.
func policy(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "retention.yaml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return "TENURE_RETENTION_POLICY=" + path
}

const (
	ownRange = "default: {min: 2, default: 20, max: 60}\n"
	twoMust  = ownRange + "approvals: {delete: true, release_hold: true}\n"
)

// gdpr signs a free tenant up that is under the GDPR.
func (r *rig) gdpr(id string) {
	r.t.Helper()
	a := r.call("dev", "POST", "/v1/tenants", fmt.Sprintf(`{"id":%q,"name":"Acme","email":"a@example.com","plan":"free","gdpr":true}`, id))
	require.Equal(r.t, 202, a.status, a.body)
}

// send publishes a command as somebody.
func (r *rig) send(id, tenant, name, actor, data string) {
	r.publish("tenure.commands."+tenant, fmt.Appendf(nil,
		`{"specversion":"1.0","id":%q,"source":"test","type":"tenure.command.%s.v1","subject":%q,"actor":%q,"data":%s}`, id, name, tenant, actor, data))
}

// answerTo waits for the first event that a command on the bus has led to.
func (r *rig) answerTo(id string) (first events.Event) {
	r.t.Helper()
	for _, e := range r.collect(causedBy(id)) {
		if e.CausationID == id {
			return e
		}
	}
	return first
}

func (r *rig) wantRefused(id, code, says string) {
	r.t.Helper()
	e := r.answerTo(id)
	p, err := e.Payload()
	require.NoError(r.t, err)
	refused, ok := p.(*events.CommandRefused)
	require.True(r.t, ok, "%s led to %s", id, e.Type)
	require.Equal(r.t, code, refused.Code)
	require.Contains(r.t, refused.Message, says)
}

// Whoever asks for a retention that the policy does not have is told what it has, at both doors in the same words.
func TestARetentionOutOfRangeIsRefusedWithTheRange(t *testing.T) {
	t.Parallel()
	r := newRig(t, policy(t, ownRange))
	r.active("acme")
	r.gdpr("strict")
	for i, asked := range []string{
		"0", "1", "-1", "61", "1.5", "20.0000000000000000001", "2e300", "99999999999999999999999999", `"thirty"`, `"20"`, "null", "true", "[20]", "{}",
	} {
		for tenant, limit := range map[string]string{"acme": "60", "strict": "30"} {
			says := "retention_days must be a whole number from 2 to " + limit
			body := fmt.Sprintf(`{"retention_days":%s,"reason":"x"}`, asked)
			a := r.call("dev", "POST", "/v1/tenants/"+tenant+"/delete", body)
			require.Equal(t, 422, a.status, "%s: %s", asked, a.body)
			require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
			require.Equal(t, "retention_out_of_range", a.json(t)["code"], asked)
			require.Equal(t, says, a.json(t)["detail"], asked)
			id := fmt.Sprintf("%s-%d", tenant, i)
			r.send(id, tenant, "delete", "", body)
			r.wantRefused(id, "retention_out_of_range", says)
		}
	}
	require.Empty(t, r.deadLetters())
	require.Equal(t, "active", r.call("dev", "GET", "/v1/tenants/acme", "").json(t)["state"])

	a := r.call("dev", "POST", "/v1/tenants/acme/delete", `{"retention_days":2}`, "Idempotency-Key", "fits")
	require.Equal(t, 202, a.status, a.body)
	require.InDelta(t, 2, a.json(t)["retention_days"], 0)
	shown := r.call("dev", "GET", "/v1/tenants/acme", "").json(t)["deletion"].(map[string]any)
	require.InDelta(t, 2, shown["retention_days"], 0)
	file, err := policyfile.Parse([]byte(ownRange))
	require.NoError(t, err)
	p, err := r.answerTo("fits").Payload()
	require.NoError(t, err)
	require.Equal(t, events.RetentionPolicy{Hash: file.Hash(), Min: 2, Max: 60}, p.(*events.DeletionRequested).Policy)

	a = r.call("dev", "POST", "/v1/tenants/strict/delete", `{}`)
	require.InDelta(t, 20, a.json(t)["retention_days"], 0)
}

func TestADeletionOffersALastExport(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	a := r.call("dev", "POST", "/v1/tenants/acme/delete", `{"reason":"x"}`).json(t)
	offer := a["export_offer"].(map[string]any)
	require.Equal(t, a["deletion_scheduled_for"], offer["until"])
	require.Equal(t, 403, r.call("dev", "GET", "/v1/access/acme", "").status)
	taken := r.call("dev:acme", offer["method"].(string), offer["path"].(string), `{}`)
	require.Equal(t, 202, taken.status, taken.body)
}

// The name is compared and forgotten: it stands in no event.
func TestATenantMustTypeWhatItDeletes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, id := range []string{"acme", "byid", "byname", "onbus"} {
		r.active(id)
	}
	for _, c := range []struct{ token, tenant, body, code string }{
		{"dev:acme", "acme", `{"reason":"x"}`, "confirmation_required"},
		{"dev:acme", "acme", `{"confirm":"","reason":"x"}`, "confirmation_required"},
		{"dev:acme", "acme", `{"confirm":"Acme byid","reason":"x"}`, "confirmation_mismatch"},
		{"dev", "acme", `{"confirm":"byid"}`, "confirmation_mismatch"},
		{"dev:byid", "byid", `{"confirm":"byid"}`, ""},
		{"dev:byname", "byname", `{"confirm":"Acme byname"}`, ""},
		{"dev", "acme", `{"reason":"x"}`, ""},
	} {
		a := r.call(c.token, "POST", "/v1/tenants/"+c.tenant+"/delete", c.body)
		if c.code == "" {
			require.Equal(t, 202, a.status, a.body)
			continue
		}
		require.Equal(t, 422, a.status, a.body)
		require.Equal(t, c.code, a.json(t)["code"])
	}
	r.send("b1", "onbus", "delete", "tenant:onbus", `{}`)
	r.wantRefused("b1", "confirmation_required", "confirm must be")
	r.send("b2", "onbus", "delete", "tenant:onbus", `{"confirm":"Acme byid"}`)
	r.wantRefused("b2", "confirmation_mismatch", "confirm is neither")
	r.send("b3", "onbus", "delete", "tenant:onbus", `{"confirm":"Acme onbus"}`)
	for _, e := range r.collect(causedBy("b3")) {
		require.NotContains(t, string(e.Data), "Acme", e.Type)
	}
	require.Equal(t, "deleting", r.call("dev", "GET", "/v1/tenants/onbus", "").json(t)["state"])
}

// approval is the one request that waits.
func (r *rig) approval(tenant string) map[string]any {
	r.t.Helper()
	list := r.call("dev", "GET", "/v1/tenants/"+tenant, "").json(r.t)["approvals"].([]any)
	require.Len(r.t, list, 1)
	return list[0].(map[string]any)
}

func TestTwoOperatorsDelete(t *testing.T) {
	t.Parallel()
	r := newRig(t, policy(t, twoMust))
	r.active("acme")
	a := r.call("dev+ann", "POST", "/v1/tenants/acme/delete", `{"retention_days":5,"reason":"contract ended"}`, "Idempotency-Key", "asked")
	require.Equal(t, 202, a.status, a.body)
	require.Equal(t, "awaiting_approval", a.json(t)["status"])
	require.NotContains(t, a.json(t), "deletion_scheduled_for")
	require.Equal(t, a.body, r.call("dev+ann", "POST", "/v1/tenants/acme/delete", `{"retention_days":5,"reason":"contract ended"}`, "Idempotency-Key", "asked").body)

	asked := r.approval("acme")
	require.Equal(t, "operator:ann", asked["requested_by"])
	require.Equal(t, "delete", asked["command"])
	require.Equal(t, "contract ended", asked["reason"])
	path := "/v1/tenants/acme/approvals/" + asked["id"].(string)
	require.Equal(t, "active", r.call("dev", "GET", "/v1/tenants/acme", "").json(t)["state"])

	for _, c := range []struct {
		token, path string
		status      int
		code        string
	}{
		{"dev+ann", path, 403, "same_person"},
		{"dev:acme", path, 403, "forbidden"},
		{"dev+bob", "/v1/tenants/acme/approvals/none", 404, "unknown_approval"},
	} {
		a := r.call(c.token, "POST", c.path, "")
		require.Equal(t, c.status, a.status, a.body)
		require.Equal(t, c.code, a.json(t)["code"])
	}
	a = r.call("dev+ann", "POST", "/v1/tenants/acme/delete", `{}`)
	require.Equal(t, 409, a.status, a.body)
	require.Equal(t, "approval_pending", a.json(t)["code"])

	a = r.call("dev+bob", "POST", path, `{"reason":"seen the contract"}`, "Idempotency-Key", "approved")
	require.Equal(t, 200, a.status, a.body)
	require.Equal(t, "deleting", a.json(t)["state"])
	require.Empty(t, a.json(t)["approvals"])
	var actors []string
	for _, item := range r.call("dev", "GET", "/v1/tenants/acme/events", "").json(t)["items"].([]any) {
		e := item.(map[string]any)
		switch name := strings.TrimPrefix(e["event_type"].(string), "tenure.lifecycle."); name {
		case "deletion.approval_requested.v1", "approval.granted.v1", "deletion.requested.v1":
			actors = append(actors, fmt.Sprint(name, " ", e["actor"], " ", e["reason"]))
		}
	}
	require.Equal(t, []string{
		"deletion.approval_requested.v1 operator:ann contract ended", "approval.granted.v1 operator:bob seen the contract",
		"deletion.requested.v1 operator:bob contract ended",
	}, actors)
}

func TestTwoOperatorsOnTheBus(t *testing.T) {
	t.Parallel()
	r := newRig(t, policy(t, twoMust))
	r.active("acme")
	r.send("c1", "acme", "delete", "operator:ann", `{"reason":"contract ended"}`)
	require.Equal(t, "tenure.lifecycle.deletion.approval_requested.v1", r.answerTo("c1").Type)
	id := r.approval("acme")["id"].(string)
	r.send("c2", "acme", "approve", "operator:ann", fmt.Sprintf(`{"approval_id":%q}`, id))
	r.wantRefused("c2", "same_person", "another operator")
	r.send("c3", "acme", "reject", "operator:bob", fmt.Sprintf(`{"approval_id":%q,"reason":"no"}`, id))
	require.Equal(t, "tenure.lifecycle.approval.rejected.v1", r.answerTo("c3").Type)

	r.send("c4", "acme", "delete", "", `{}`) // an upstream service is an operator
	r.answerTo("c4")
	r.send("c5", "acme", "approve", "operator:bob", fmt.Sprintf(`{"approval_id":%q}`, r.approval("acme")["id"]))
	require.Equal(t, "tenure.lifecycle.approval.granted.v1", r.answerTo("c5").Type)
	require.Equal(t, "deleting", r.call("dev", "GET", "/v1/tenants/acme", "").json(t)["state"])
}

func TestATenantNeedsNoOperatorToLeave(t *testing.T) {
	t.Parallel()
	r := newRig(t, policy(t, twoMust))
	r.active("acme")
	a := r.call("dev:acme", "POST", "/v1/tenants/acme/delete", `{"confirm":"acme"}`)
	require.Equal(t, 202, a.status, a.body)
	require.Equal(t, "scheduled", a.json(t)["status"])
}

func TestTwoOperatorsReleaseAHold(t *testing.T) {
	t.Parallel()
	r := newRig(t, policy(t, twoMust))
	r.active("acme")
	require.Equal(t, 422, r.call("dev", "POST", "/v1/tenants/acme/holds", `{"reason":""}`).status)
	require.Equal(t, 201, r.call("dev+ann", "POST", "/v1/tenants/acme/holds", `{"reason":"court"}`).status)
	a := r.call("dev+ann", "DELETE", "/v1/tenants/acme/holds", `{"reason":"case closed"}`)
	require.Equal(t, 202, a.status, a.body)
	require.Len(t, a.json(t)["holds"], 1)
	asked := r.approval("acme")
	path := "/v1/tenants/acme/approvals/" + asked["id"].(string)
	require.Equal(t, 200, r.call("dev+ann", "DELETE", path, `{"reason":"not yet"}`).status)
	require.Equal(t, 404, r.call("dev+bob", "POST", path, "").status)

	require.Equal(t, 202, r.call("dev+ann", "DELETE", "/v1/tenants/acme/holds", `{"reason":"case closed"}`).status)
	a = r.call("dev+bob", "POST", "/v1/tenants/acme/approvals/"+r.approval("acme")["id"].(string), "")
	require.Equal(t, 200, a.status, a.body)
	require.Empty(t, a.json(t)["holds"])
}

// Seven days of the policy, which are 700 ms here.
func TestARequestThatNobodyApprovesLapses(t *testing.T) {
	t.Parallel()
	r := newRig(t, policy(t, twoMust), "TENURE_RETENTION_UNIT=100ms")
	r.active("acme")
	asked := r.call("dev+ann", "POST", "/v1/tenants/acme/delete", `{}`, "Idempotency-Key", "asked")
	require.Equal(t, 202, asked.status, asked.body)
	path := "/v1/tenants/acme/approvals/" + asked.json(t)["approval"].(map[string]any)["id"].(string)
	testkit.WaitFor(t, 10*time.Second, "the request to lapse", func() bool {
		return len(r.call("dev", "GET", "/v1/tenants/acme", "").json(t)["approvals"].([]any)) == 0
	})
	last := r.collect(func(list []events.Event) bool { return strings.Contains(fmt.Sprint(typesOf(list)), "approval.expired") })
	require.Equal(t, "system:timer", last[len(last)-1].Actor)
	require.Equal(t, 404, r.call("dev+bob", "POST", path, "").status)
	require.Equal(t, 202, r.call("dev+ann", "POST", "/v1/tenants/acme/delete", `{}`).status)
}

func TestADryRunOfADeletion(t *testing.T) {
	t.Parallel()
	r := newRig(t, policy(t, twoMust))
	r.active("acme")
	dry := func(token string) map[string]any {
		a := r.call(token, "POST", "/v1/tenants/acme/preview", `{"command":"delete","retention_days":5}`)
		require.Equal(t, 200, a.status, a.body)
		p := a.json(t)
		require.Equal(t, true, p["allowed"], a.body)
		return p
	}
	require.Equal(t, "unavailable", dry("dev")["erasure"].(map[string]any)["source"])

	sub, err := r.nc.Subscribe(query.DeletionInventory, func(m *nats.Msg) {
		_ = m.Respond([]byte(`{"value":{"stores":[
			{"store":"app","targets":["app.documents"],"rows":12,"bytes":3400},
			{"store":"books","targets":["books.invoices"],"rows":3,"bytes":600,"class":"accounting","keep_days":10,"basis":"HGB § 257"},
			{"store":"vectors","targets":[],"rows":0,"bytes":0,"error":"dial tcp 10.0.0.7: refused"}]}}`))
	})
	require.NoError(t, err)
	defer func() { _ = sub.Unsubscribe() }()
	require.NoError(t, r.nc.Flush())

	p := dry("dev")
	require.Equal(t, true, p["needs_approval"])
	require.Equal(t, "deleted", p["end_state"])
	due, err := time.Parse(time.RFC3339Nano, p["due_at"].(string))
	require.NoError(t, err)
	erasure := p["erasure"].(map[string]any)
	require.Equal(t, "stores", erasure["source"])
	require.InDelta(t, 15, erasure["rows"], 0)
	require.InDelta(t, 4000, erasure["bytes"], 0)
	require.Len(t, erasure["stores"], 3)
	require.Contains(t, fmt.Sprint(erasure["stores"]), "app.documents")
	books := erasure["stays"].([]any)[0].(map[string]any)
	require.Equal(t, "the data in books (accounting)", books["what"])
	require.Equal(t, "HGB § 257", books["why"])
	until, err := time.Parse(time.RFC3339Nano, books["until"].(string))
	require.NoError(t, err)
	require.Equal(t, 240*time.Hour, until.Sub(due))
	require.Contains(t, fmt.Sprint(erasure["stays"]), "invoices")

	// A tenant sees what it has, and not how it is kept; it looks without typing its name.
	own := dry("dev:acme")
	require.NotContains(t, own, "needs_approval")
	require.NotContains(t, fmt.Sprint(own["erasure"]), "app.documents")
	require.NotContains(t, fmt.Sprint(own["erasure"]), "10.0.0.7")

	require.Equal(t, 201, r.call("dev", "POST", "/v1/tenants/acme/holds", `{"reason":"court"}`).status)
	held := dry("dev")["erasure"].(map[string]any)["stays"].([]any)[0].(map[string]any)
	require.Equal(t, "everything", held["what"])
	require.Contains(t, held["why"], "court")

	refused := r.call("dev", "POST", "/v1/tenants/acme/preview", `{"command":"delete","retention_days":1.5}`).json(t)
	require.Equal(t, "retention_out_of_range", refused["refusal"].(map[string]any)["code"])
	require.NotContains(t, refused, "erasure")
	require.Equal(t, "active", r.call("dev", "GET", "/v1/tenants/acme", "").json(t)["state"])
}
