package lifecycle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"tenure/services/lifecycle"
	"tenure/shared/events"
	"tenure/shared/runner"
	"tenure/shared/testkit"
)

// rig is a running lifecycle service on a database and a bus of its own.
type rig struct {
	t    *testing.T
	base string
	nc   *nats.Conn
	js   jetstream.JetStream
	nats *testkit.NATSServer
	env  runner.Environ
	stop func()
}

func newRig(t *testing.T, settings ...string) *rig {
	t.Helper()
	server := testkit.NATS(t)
	addr := freeAddress(t)
	r := &rig{t: t, base: "http://" + addr, nats: server, env: runner.Environ{
		"TENURE_ENV": "dev", "DATABASE_URL": testkit.Postgres(t), "NATS_URL": server.URL(), "TENURE_HTTP_ADDR": addr,
		"TENURE_VAULT_KEY": strings.Repeat("ab", 32),
	}}
	for _, s := range settings {
		k, v, _ := strings.Cut(s, "=")
		r.env[k] = v
	}
	r.start()
	t.Cleanup(func() { r.stop() })
	var err error
	r.nc, err = nats.Connect(server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(r.nc.Close)
	r.js, err = jetstream.New(r.nc)
	require.NoError(t, err)
	return r
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (r *rig) start() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- runner.Run(ctx, r.env, func() { close(ready) }, runner.Named{Name: lifecycle.Schema, New: lifecycle.New})
	}()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		r.t.Fatalf("the service did not start: %v", err)
	}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("the service ended with %v", err)
		}
	})
}

type answer struct {
	status int
	body   string
	header http.Header
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &m), a.body)
	return m
}

func (r *rig) call(token, method, path, body string, headers ...string) answer {
	r.t.Helper()
	req, err := http.NewRequest(method, r.base+path, strings.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	return answer{res.StatusCode, string(content), res.Header}
}

// active signs a free tenant up, which nobody takes part in: it is active at once.
func (r *rig) active(id string) {
	r.t.Helper()
	a := r.call("dev", "POST", "/v1/tenants", fmt.Sprintf(`{"id":%q,"name":"Acme %s","email":"a@example.com","plan":"free"}`, id, id))
	require.Equal(r.t, 202, a.status, a.body)
	require.Equal(r.t, "active", a.json(r.t)["state"], a.body)
}

func (r *rig) deadLetters() []any {
	r.t.Helper()
	items, _ := r.call("dev", "GET", "/v1/dead-letters", "").json(r.t)["items"].([]any)
	return items
}

func TestSignUpToActiveAndBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	tenant := r.call("dev", "GET", "/v1/tenants/acme", "").json(t)
	require.Equal(t, "Acme acme", tenant["name"])
	require.Contains(t, tenant["allowed_commands"], "upgrade")
	require.Equal(t, float64(100), tenant["limits"].(map[string]any)["queries"])

	a := r.call("dev", "POST", "/v1/tenants/acme/suspend", `{"reason":"abuse report"}`)
	require.Equal(t, 202, a.status, a.body)
	require.Equal(t, "succeeded", a.json(t)["status"])
	op := r.call("dev", "GET", "/v1/operations/"+a.json(t)["id"].(string), "")
	require.Equal(t, 200, op.status, op.body)
	require.Equal(t, 403, r.call("dev", "GET", "/v1/access/acme", "").status)
	require.Equal(t, 202, r.call("dev", "POST", "/v1/tenants/acme/resume", `{"reason":"cleared"}`).status)
	require.Equal(t, "active", r.call("dev", "GET", "/v1/tenants/acme", "").json(t)["state"])
	require.Equal(t, 200, r.call("dev", "GET", "/v1/access/acme", "").status)

	found := r.call("dev", "GET", "/v1/tenants?q=Acme", "").json(t)["items"].([]any)
	require.Len(t, found, 1)
	stats := r.call("dev", "GET", "/v1/stats", "").json(t)
	require.Equal(t, float64(1), stats["tenants"].(map[string]any)["active"])
}

func TestTheTimelineHoldsEverythingAndItsHashes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	r.call("dev", "POST", "/v1/tenants/acme/downgrade", `{"plan":"free"}`)
	items := r.call("dev", "GET", "/v1/tenants/acme/events", "").json(t)["items"].([]any)
	require.NotEmpty(t, items)
	for i, item := range items {
		e := item.(map[string]any)
		require.Equal(t, float64(i+1), e["version"])
		require.Len(t, e["hash"], 64)
	}
	require.Equal(t, "tenure.lifecycle.command.refused.v1", items[len(items)-1].(map[string]any)["event_type"])
	before := items[0].(map[string]any)["time"].(string)
	then := r.call("dev", "GET", "/v1/tenants/acme?as_of="+before, "")
	require.Equal(t, 200, then.status, then.body)
	require.Equal(t, 404, r.call("dev", "GET", "/v1/tenants/acme?as_of=2020-01-01T00:00:00Z", "").status)
}

func TestTheSameKeyHasTheSameAnswerAndOneEffect(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const body = `{"name":"Acme","email":"a@example.com","plan":"free"}`
	first := r.call("dev", "POST", "/v1/tenants", body, "Idempotency-Key", "k1")
	again := r.call("dev", "POST", "/v1/tenants", body, "Idempotency-Key", "k1")
	require.Equal(t, 202, first.status, first.body)
	require.Equal(t, first.body, again.body)
	other := r.call("dev", "POST", "/v1/tenants", strings.Replace(body, "Acme", "Other", 1), "Idempotency-Key", "k1")
	require.Equal(t, 409, other.status, other.body)
	require.Equal(t, "idempotency_key_reused", other.json(t)["code"])

	id := first.json(t)["id"].(string)
	refused := r.call("dev", "POST", "/v1/tenants/"+id+"/upgrade", `{"plan":"nope"}`, "Idempotency-Key", "k2")
	repeated := r.call("dev", "POST", "/v1/tenants/"+id+"/upgrade", `{"plan":"nope"}`, "Idempotency-Key", "k2")
	require.Equal(t, 422, refused.status, refused.body)
	require.Equal(t, refused.body, repeated.body)
}

func TestAPreviewChangesNothingAndItsHashHolds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	require.Equal(t, 200, r.call("dev", "PUT", "/v1/participants/store", `{"actions":["provision"]}`).status)
	before := r.call("dev", "GET", "/v1/tenants/acme", "").body
	p := r.call("dev", "POST", "/v1/tenants/acme/preview", `{"command":"upgrade","plan":"starter"}`)
	require.Equal(t, 200, p.status, p.body)
	require.Equal(t, true, p.json(t)["allowed"])
	require.NotEmpty(t, p.json(t)["steps"])
	require.Equal(t, before, r.call("dev", "GET", "/v1/tenants/acme", "").body)

	stale := r.call("dev", "POST", "/v1/tenants/acme/upgrade", `{"plan":"starter","plan_hash":"old"}`)
	require.Equal(t, 409, stale.status)
	require.Equal(t, "plan_changed", stale.json(t)["code"])
	taken := r.call("dev", "POST", "/v1/tenants/acme/upgrade", fmt.Sprintf(`{"plan":"starter","plan_hash":%q}`, p.json(t)["plan_hash"]))
	require.Equal(t, 202, taken.status, taken.body)
	refused := r.call("dev", "POST", "/v1/tenants/acme/preview", `{"command":"upgrade","plan":"enterprise"}`)
	require.Equal(t, false, refused.json(t)["allowed"])
}

func TestOneOfFiftyUpgradesIsTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	require.Equal(t, 200, r.call("dev", "PUT", "/v1/participants/store", `{"actions":["provision"]}`).status)
	statuses := make(chan int, 50)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { statuses <- r.call("dev", "POST", "/v1/tenants/acme/upgrade", `{"plan":"starter"}`).status })
	}
	wg.Wait()
	close(statuses)
	count := map[int]int{}
	for s := range statuses {
		count[s]++
	}
	require.Equal(t, map[int]int{202: 1, 409: 49}, count)
}

func TestOtherTenantsDoNotExist(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	r.active("other")
	export := r.call("dev", "POST", "/v1/tenants/other/export", `{}`).json(t)["export_id"].(string)
	routes := []struct{ method, path, body string }{
		{"GET", "/v1/tenants/%s", ""},
		{"GET", "/v1/tenants/%s/events", ""},
		{"GET", "/v1/tenants/%s?as_of=2030-01-01T00:00:00Z", ""},
		{"POST", "/v1/tenants/%s/upgrade", `{"plan":"starter"}`},
		{"POST", "/v1/tenants/%s/downgrade", `{"plan":"free"}`},
		{"POST", "/v1/tenants/%s/cancel-signup", ``},
		{"POST", "/v1/tenants/%s/pending-change/cancel", ``},
		{"POST", "/v1/tenants/%s/preview", `{"command":"upgrade","plan":"starter"}`},
		{"POST", "/v1/tenants/%s/suspend", `{"reason":"x"}`},
		{"POST", "/v1/tenants/%s/resume", `{"reason":"x"}`},
		{"POST", "/v1/tenants/%s/export", `{}`},
		{"POST", "/v1/tenants/%s/delete", `{"reason":"x"}`},
		{"POST", "/v1/tenants/%s/deletion/cancel", ``},
		{"POST", "/v1/tenants/%s/reactivate", `{}`},
		{"POST", "/v1/tenants/%s/holds", `{"reason":"x"}`},
		{"DELETE", "/v1/tenants/%s/holds", `{"reason":"x"}`},
		{"POST", "/v1/tenants/%s/approvals/a1", `{"reason":"x"}`},
		{"DELETE", "/v1/tenants/%s/approvals/a1", `{"reason":"x"}`},
		{"GET", "/v1/access/%s", ""},
	}
	for _, route := range routes {
		theirs := r.call("dev:acme", route.method, fmt.Sprintf(route.path, "other"), route.body)
		unknown := r.call("dev:acme", route.method, fmt.Sprintf(route.path, "nobody"), route.body)
		require.Equal(t, 404, theirs.status, "%s %s: %s", route.method, route.path, theirs.body)
		require.Equal(t, unknown.body, theirs.body, route.path)
	}
	for _, path := range []string{"/v1/operations/" + export, "/v1/operations/other.1"} {
		require.Equal(t, r.call("dev:acme", "GET", "/v1/operations/nothing", "").body, r.call("dev:acme", "GET", path, "").body)
	}
	require.Equal(t, r.call("dev:acme", "POST", "/v1/exports/nothing/cancel", "").body, r.call("dev:acme", "POST", "/v1/exports/"+export+"/cancel", "").body)
	own := r.call("dev:acme", "GET", "/v1/tenants", "").json(t)["items"].([]any)
	require.Len(t, own, 1)
	for _, path := range []string{"/v1/events", "/v1/stats", "/v1/dead-letters", "/v1/violations", "/v1/participants"} {
		require.Equal(t, 403, r.call("dev:acme", "GET", path, "").status, path)
		require.Equal(t, 401, r.call("", "GET", path, "").status, path)
	}
}

func TestBadInputIsRefusedOverHTTP(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	cases := []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"malformed", "POST", "/v1/tenants", `{`, 400, "malformed_json"},
		{"too large", "POST", "/v1/tenants", `{"name":"` + strings.Repeat("x", 64<<10) + `"}`, 413, "too_large"},
		{"injection", "POST", "/v1/tenants", `{"id":"x' OR 1=1","name":"n","email":"a@example.com","plan":"free"}`, 422, "invalid_tenant_id"},
		{"subject", "POST", "/v1/tenants", `{"id":"a.>","name":"n","email":"a@example.com","plan":"free"}`, 422, "invalid_tenant_id"},
		{"wildcard", "GET", "/v1/tenants/*", ``, 422, "invalid_tenant_id"},
		{"plan", "POST", "/v1/tenants", `{"name":"n","email":"a@example.com","plan":"gold"}`, 422, "unknown_plan"},
		{"taken", "POST", "/v1/tenants", `{"id":"acme","name":"n","email":"a@example.com","plan":"free"}`, 409, "invalid_transition"},
		{"retention 0", "POST", "/v1/tenants/acme/delete", `{"retention_days":0,"reason":"x"}`, 422, "retention_out_of_range"},
		{"retention -1", "POST", "/v1/tenants/acme/delete", `{"retention_days":-1,"reason":"x"}`, 422, "retention_out_of_range"},
		{"retention 91", "POST", "/v1/tenants/acme/delete", `{"retention_days":91,"reason":"x"}`, 422, "retention_out_of_range"},
		{"retention 1.5", "POST", "/v1/tenants/acme/delete", `{"retention_days":1.5,"reason":"x"}`, 422, "retention_out_of_range"},
		{"retention text", "POST", "/v1/tenants/acme/delete", `{"retention_days":"thirty","reason":"x"}`, 422, "retention_out_of_range"},
		{"same plan", "POST", "/v1/tenants/acme/upgrade", `{"plan":"free"}`, 422, "not_an_upgrade"},
		{"cursor", "GET", "/v1/tenants/acme/events?cursor=x", ``, 422, "invalid_cursor"},
		{"no such path", "GET", "/v1/nothing", ``, 404, "not_found"},
	}
	for _, c := range cases {
		a := r.call("dev", c.method, c.path, c.body)
		require.Equal(t, c.status, a.status, "%s: %s", c.name, a.body)
		require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), c.name)
		require.Equal(t, c.code, a.json(t)["code"], c.name)
	}
	require.Equal(t, "active", r.call("dev", "GET", "/v1/tenants/acme", "").json(t)["state"])
}

// publish sends raw bytes to a subject of the command stream.
func (r *rig) publish(subject string, body []byte) {
	r.t.Helper()
	_, err := r.js.Publish(r.t.Context(), subject, body)
	require.NoError(r.t, err)
}

func command(t *testing.T, id, tenant string, p events.Payload) []byte {
	t.Helper()
	e, err := events.New(p, tenant)
	require.NoError(t, err)
	e.ID, e.Source, e.Time = id, "test", time.Unix(1, 0)
	body, err := events.Encode(e)
	require.NoError(t, err)
	return body
}

// collect receives lifecycle events until done says so.
func (r *rig) collect(done func([]events.Event) bool) []events.Event {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	c, err := r.js.OrderedConsumer(ctx, "TENURE_EVENTS", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"tenure.events.lifecycle.>"}})
	require.NoError(r.t, err)
	var got []events.Event
	for !done(got) {
		batch, err := c.Fetch(100, jetstream.FetchMaxWait(100*time.Millisecond))
		require.NoError(r.t, err)
		for m := range batch.Messages() {
			e, err := events.Decode(m.Headers(), m.Data())
			require.NoError(r.t, err)
			got = append(got, e)
		}
		if ctx.Err() != nil {
			r.t.Fatalf("not in time; got %d events", len(got))
		}
	}
	return got
}

func causedBy(id string) func([]events.Event) bool {
	return func(list []events.Event) bool {
		for _, e := range list {
			if e.CausationID == id {
				return true
			}
		}
		return false
	}
}

func TestCommandsOverTheBus(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.publish("tenure.commands.acme", command(t, "c1", "acme", &events.Register{Name: "Acme", Email: "a@example.com", Plan: "free"}))
	r.publish("tenure.commands.acme", command(t, "c1", "acme", &events.Register{Name: "Acme", Email: "a@example.com", Plan: "free"}))
	r.publish("tenure.commands.acme", command(t, "c2", "acme", &events.Upgrade{Plan: "free"}))
	got := r.collect(causedBy("c2"))
	refused := got[len(got)-1]
	require.Equal(t, "tenure.lifecycle.command.refused.v1", refused.Type)
	for i, e := range got {
		require.Equal(t, int64(i+1), e.Sequence, "the sequence has no gaps")
		require.NotContains(t, string(e.Data), "example.com", "personal data in %s", e.Type)
	}
	require.Equal(t, 1, strings.Count(fmt.Sprint(typesOf(got)), "tenant.registered"))
}

func typesOf(list []events.Event) []string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = e.Type
	}
	return out
}

func TestGarbageOnTheBusIsPutAsideAndTheFlowGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	good := command(t, "good", "acme", &events.Register{Name: "Acme", Email: "a@example.com", Plan: "free"})
	garbage := map[string][]byte{
		"malformed_json":          []byte(`{"specversion":`),
		"unsupported_specversion": bytes.Replace(good, []byte(`"1.0"`), []byte(`"0.3"`), 1),
		"missing_id":              bytes.Replace(good, []byte(`"id":"good",`), nil, 1),
		"too_large":               append(bytes.TrimSuffix(good, []byte("}")), []byte(`,"x":"`+strings.Repeat("x", 64<<10)+`"}`)...),
		"subject_mismatch":        command(t, "other", "other", &events.Register{Name: "O", Email: "o@example.com", Plan: "free"}),
		"unknown_command":         bytes.Replace(good, []byte("command.register"), []byte("command.explode"), 1),
		"missing_field":           bytes.Replace(good, []byte(`"plan":"free"`), []byte(`"x":1`), 1),
	}
	for _, body := range garbage {
		r.publish("tenure.commands.acme", body)
	}
	r.publish("tenure.commands.acme", good)
	r.collect(causedBy("good"))
	testkit.WaitFor(t, 10*time.Second, "all garbage to be put aside", func() bool { return len(r.deadLetters()) == len(garbage) })
	for _, item := range r.deadLetters() {
		letter := item.(map[string]any)
		_, expected := garbage[letter["reason"].(string)]
		require.True(t, expected, "%v: %v", letter["reason"], letter["error"])
		require.NotEmpty(t, letter["payload"])
	}
}

func TestCommandsAreTakenWhileTheBusIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.nats.Stop()
	r.active("acme")
	r.nats.Start()
	got := r.collect(func(list []events.Event) bool { return len(list) >= 3 })
	require.Equal(t, "tenure.lifecycle.tenant.registered.v1", got[0].Type)
}

func TestARestartGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, "TENURE_RETENTION_UNIT=1s")
	r.active("acme")
	a := r.call("dev", "POST", "/v1/tenants/acme/delete", `{"retention_days":1,"reason":"x"}`)
	require.Equal(t, 202, a.status, a.body)
	require.NotEmpty(t, a.json(t)["deletion_window"].(map[string]any)["earliest"])
	require.Equal(t, "deleting", r.call("dev", "GET", "/v1/tenants/acme", "").json(t)["state"])
	r.stop()
	r.start()
	testkit.WaitFor(t, 15*time.Second, "the purge to begin by itself", func() bool {
		return r.call("dev", "GET", "/v1/tenants/acme", "").json(t)["state"] == "purging"
	})
}

func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	spec := r.call("", "GET", "/openapi.json", "")
	require.Equal(t, 200, spec.status)
	require.True(t, strings.HasPrefix(spec.json(t)["openapi"].(string), "3.1"))
	require.Contains(t, spec.json(t)["paths"], "/v1/tenants/{id}/upgrade")
}
