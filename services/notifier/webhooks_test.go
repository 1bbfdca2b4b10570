package notifier_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"tenure/shared/events"
	"tenure/shared/testkit"
)

// receiver is a tenant's system: it keeps what it gets, and answers as told.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	calls  []call
}

type call struct {
	header http.Header
	body   []byte
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calls = append(r.calls, call{request.Header, body})
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) got() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]call{}, r.calls...)
}

// types are those of the events in the calls.
func (r *receiver) types() (types []string) {
	for _, c := range r.got() {
		var body struct{ Type string }
		_ = json.Unmarshal(c.body, &body)
		types = append(types, body.Type)
	}
	return types
}

func (r *receiver) wait(t *testing.T, n int) []call {
	t.Helper()
	testkit.WaitFor(t, soon, fmt.Sprintf("%d calls", n), func() bool { return len(r.got()) >= n })
	return r.got()
}

// call asks the notifier's API.
func (w *world) call(method, path, token string, body any, out any) int {
	w.t.Helper()
	return w.callWithKey("", method, path, token, body, out)
}

func (w *world) callWithKey(key, method, path, token string, body any, out any) int {
	w.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	request := httptest.NewRequest(method, path, bytes.NewReader(text))
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	answer := httptest.NewRecorder()
	w.http.ServeHTTP(answer, request)
	if out != nil {
		if err := json.Unmarshal(answer.Body.Bytes(), out); err != nil {
			w.t.Fatalf("%s %s: %s", method, path, answer.Body)
		}
	}
	return answer.Code
}

type hook struct {
	ID, URL, Secret, Status string
}

// hooked starts a notifier whose tenant acme has one webhook.
func (w *world) hooked(r *receiver, patterns ...string) hook {
	w.t.Helper()
	w.register("acme")
	w.run()
	w.publish("acme", &events.TenantRegistered{Generation: 1})
	testkit.WaitFor(w.t, soon, "acme is known", func() bool {
		return w.call("GET", "/v1/tenants/acme/webhooks", "dev:acme", nil, nil) == http.StatusOK
	})
	var h hook
	status := w.call("POST", "/v1/tenants/acme/webhooks", "dev:acme", map[string]any{"url": r.URL + "/hook?key=secret", "events": patterns}, &h)
	if status != http.StatusCreated || !strings.HasPrefix(h.Secret, "whsec_") || h.Status != "enabled" {
		w.t.Fatalf("%d: %+v", status, h)
	}
	return h
}

func verify(t *testing.T, secret string, c call) {
	t.Helper()
	signer, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := signer.Verify(c.body, c.header); err != nil {
		t.Errorf("the call does not verify: %v", err)
	}
}

func TestAWebhookIsToldOncePerEvent(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t)
	h := w.hooked(r, "tenure.lifecycle.upgrade.*", "tenure.lifecycle.tenant.*")
	w.publish("acme", &events.StepRequested{}, &events.ExportRequested{})
	upgraded := w.publish("acme", &events.UpgradeCompleted{FromPlan: "starter", Plan: "professional"})
	w.publish("other", &events.TenantRegistered{Generation: 1}, &events.TenantActivated{Plan: "free"})
	calls := r.wait(t, 1)
	verify(t, h.Secret, calls[0])
	replay(t, w.bus, upgraded)
	w.publish("acme", &events.TenantSuspended{Blocks: []events.Block{{Kind: "admin"}}})
	r.wait(t, 2)
	if got := r.types(); len(got) != 2 || got[0] != upgraded.Type || got[1] != "tenure.lifecycle.tenant.suspended.v1" {
		t.Errorf("told %v", got)
	}

	var listed struct {
		Items []struct {
			ID, State string
			EventType string `json:"event_type"`
		}
	}
	testkit.WaitFor(t, soon, "both calls are noted", func() bool {
		w.call("GET", "/v1/tenants/acme/webhooks/"+h.ID+"/deliveries", "dev:acme", nil, &listed)
		return len(listed.Items) == 2 && listed.Items[0].State == "delivered" && listed.Items[1].State == "delivered"
	})
	if id := calls[0].header.Get("webhook-id"); listed.Items[1].ID != id {
		t.Errorf("the first call is %q, listed as %+v", id, listed.Items[1])
	}
	if status := w.call("POST", "/v1/tenants/acme/webhooks/"+h.ID+"/deliveries/"+listed.Items[1].ID+"/redeliver", "dev:acme", nil, nil); status != http.StatusAccepted {
		t.Errorf("redeliver: %d", status)
	}
	if again := r.wait(t, 3)[2]; again.header.Get("webhook-id") != listed.Items[1].ID || !bytes.Equal(again.body, calls[0].body) {
		t.Error("what is delivered again is another message")
	}
}

// moveCalls makes the waits of open calls shorter by d: for them the database's clock has moved.
func (w *world) moveCalls(d time.Duration) {
	w.t.Helper()
	_, err := w.db.Exec(w.t.Context(), `UPDATE notifier.deliveries SET next_try_at = next_try_at - $1::interval, created_at = created_at - $1::interval WHERE state = 'queued'`, d)
	if err == nil {
		_, err = w.db.Exec(w.t.Context(), `UPDATE notifier.endpoints SET failing_since = failing_since - $1::interval`, d)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// An endpoint that takes nothing is tried for three days, delays no other and no mail, and is switched off then.
func TestAFailingWebhookIsSwitchedOff(t *testing.T) {
	w := newWorld(t)
	bad, good := newReceiver(t), newReceiver(t)
	bad.answer(http.StatusServiceUnavailable)
	h := w.hooked(bad, "tenure.lifecycle.tenant.activated.v1")
	var other hook
	w.call("POST", "/v1/tenants/acme/webhooks", "dev:acme", map[string]any{"url": good.URL}, &other)
	activated := w.publish("acme", &events.TenantActivated{Plan: "starter"})
	good.wait(t, 1)
	w.wantMails("acme", "acme is ready")
	id := bad.wait(t, 1)[0].header.Get("webhook-id")
	for tries := 2; tries <= 11; tries++ {
		testkit.WaitFor(t, soon, "the failure is noted", func() bool { return w.failures(h.ID) == tries-1 })
		w.moveCalls(22 * time.Hour)
		if c := bad.wait(t, tries)[tries-1]; c.header.Get("webhook-id") != id {
			t.Error("a new try has another id")
		}
	}
	w.wantMails("acme", "acme is ready", "A webhook of acme is switched off")
	var shown hook
	if w.call("GET", "/v1/tenants/acme/webhooks/"+h.ID, "dev:acme", nil, &shown); shown.Status != "disabled" {
		t.Errorf("it is %+v", shown)
	}
	told := w.reported("acme", 3)
	if last := told[len(told)-1]; last.CausationID != activated.ID && told[1].CausationID != activated.ID {
		t.Errorf("told %+v", told)
	}
	w.publish("acme", &events.TenantActivated{Plan: "starter"})
	good.wait(t, 2)
	if n := len(bad.got()); n != 11 {
		t.Errorf("%d calls of a webhook that is switched off", n)
	}
	bad.answer(http.StatusOK)
	w.call("POST", "/v1/tenants/acme/webhooks/"+h.ID+"/enable", "dev:acme", nil, nil)
	w.publish("acme", &events.TenantActivated{Plan: "starter"})
	bad.wait(t, 12)
}

func (w *world) failures(endpoint string) (n int) {
	w.t.Helper()
	if err := w.db.QueryRow(w.t.Context(), `SELECT coalesce(max(failures), 0) FROM notifier.deliveries WHERE endpoint_id = $1`, endpoint).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func TestAWebhookThatIsGoneIsSwitchedOffAtOnce(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t)
	r.answer(http.StatusGone)
	h := w.hooked(r)
	w.publish("acme", &events.TenantActivated{Plan: "starter"})
	w.wantMails("acme", "acme is ready", "A webhook of acme is switched off")
	var shown hook
	if w.call("GET", "/v1/tenants/acme/webhooks/"+h.ID, "dev:acme", nil, &shown); shown.Status != "disabled" {
		t.Errorf("it is %+v", shown)
	}
}

func TestSecretsAreReplacedWithoutAGap(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t)
	old := w.hooked(r)
	var rotated, again hook
	for _, answer := range []*hook{&rotated, &again} { // the same request twice
		w.callWithKey("rotate-1", "POST", "/v1/tenants/acme/webhooks/"+old.ID+"/rotate", "dev:acme", nil, answer)
	}
	if rotated.Secret == old.Secret || again.Secret != rotated.Secret {
		t.Fatal("the secret was not replaced once")
	}
	w.call("POST", "/v1/tenants/acme/webhooks/"+old.ID+"/test", "dev:acme", nil, nil)
	c := r.wait(t, 1)[0]
	verify(t, old.Secret, c)
	verify(t, rotated.Secret, c)
	if _, err := w.db.Exec(t.Context(), `UPDATE notifier.endpoints SET former_until = now() - interval '1 second'`); err != nil {
		t.Fatal(err)
	}
	w.call("POST", "/v1/tenants/acme/webhooks/"+old.ID+"/test", "dev:acme", nil, nil)
	c = r.wait(t, 2)[1]
	verify(t, rotated.Secret, c)
	if n := len(strings.Fields(c.header.Get("webhook-signature"))); n != 1 {
		t.Errorf("%d signatures after the day", n)
	}
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(rotated.Secret, "whsec_")); err != nil || len(raw) != 32 {
		t.Errorf("the secret is of another form: %v", err)
	}
}

func TestWhatNoWebhookMayBe(t *testing.T) {
	w := newWorld(t)
	h := w.hooked(newReceiver(t))
	for body, want := range map[string]struct {
		status int
		code   string
	}{
		`{"url":"https://169.254.169.254/latest/meta-data"}`:              {422, "invalid_url"},
		`{"url":"http://10.0.0.1/"}`:                                      {422, "invalid_url"},
		`{"url":"ftp://example.com"}`:                                     {422, "invalid_url"},
		`{"url":"https://u:p@example.com"}`:                               {422, "invalid_url"},
		`{"url":"https://example.com","events":["tenure.upgrades.done"]}`: {422, "unknown_event"},
		`{"url":7}`: {422, "validation_failed"},
	} {
		var problem struct{ Code string }
		if status := w.call("POST", "/v1/tenants/acme/webhooks", "dev:acme", json.RawMessage(body), &problem); status != want.status || problem.Code != want.code {
			t.Errorf("%s: %d %s", body, status, problem.Code)
		}
	}
	// A foreign tenant is as unknown as one that is not there.
	for _, path := range []string{"/v1/tenants/acme/webhooks", "/v1/tenants/acme/webhooks/" + h.ID, "/v1/tenants/nobody/webhooks"} {
		var problem struct{ Code string }
		if status := w.call("GET", path, "dev:other", nil, &problem); status != http.StatusNotFound || problem.Code != "tenant_not_found" {
			t.Errorf("%s: %d %s", path, status, problem.Code)
		}
	}
	for i := range 9 { // beside the one that is there
		if status := w.call("POST", "/v1/tenants/acme/webhooks", "dev", map[string]any{"url": fmt.Sprintf("https://example.com/%d", i)}, nil); status != http.StatusCreated {
			t.Errorf("webhook %d: %d", i+2, status)
		}
	}
	var problem struct{ Code string }
	if status := w.call("POST", "/v1/tenants/acme/webhooks", "dev", map[string]any{"url": "https://example.com"}, &problem); status != http.StatusConflict || problem.Code != "too_many_webhooks" {
		t.Errorf("one more: %d %s", status, problem.Code)
	}
}

// A purged tenant's webhooks hear of the purge, and are forgotten.
func TestWebhooksEndWithTheirTenant(t *testing.T) {
	w := newWorld(t)
	w.day = 10 * time.Millisecond // that it is looked for what can be forgotten
	r := newReceiver(t)
	w.hooked(r)
	w.publish("acme", &events.PurgeStarted{Generation: 1}, &events.TenantPurged{Generation: 1})
	r.wait(t, 2)
	if got := r.types(); got[len(got)-1] != "tenure.lifecycle.tenant.purged.v1" {
		t.Errorf("told %v", got)
	}
	testkit.WaitFor(t, soon, "the webhook is forgotten", func() bool {
		var n int
		if err := w.db.QueryRow(t.Context(), `SELECT count(*) FROM notifier.endpoints`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
}
