package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tenure/shared/client"
)

// serve makes a client of a server that answers with handler.
func serve(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c := client.New(server.URL, "dev")
	c.RetryFor = 5 * time.Second
	return c
}

func TestACommandWithoutAnswerIsSentAgainWithItsKey(t *testing.T) {
	var keys []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if len(keys) == 1 {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		if len(keys) == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if got := r.Header.Get("Authorization"); got != "Bearer dev" {
			t.Errorf("Authorization: %s", got)
		}
		fmt.Fprint(w, `{"id":"op1","status":"running"}`)
	})
	op, err := c.Upgrade(t.Context(), "acme", client.Upgrade{Plan: "professional"})
	if err != nil {
		t.Fatal(err)
	}
	if op.ID != "op1" || len(keys) != 3 {
		t.Fatalf("operation %q after %d calls", op.ID, len(keys))
	}
	if keys[0] == "" || keys[0] != keys[1] || keys[1] != keys[2] {
		t.Errorf("keys of one command differ: %q", keys)
	}
}

func TestARefusalIsTypedAndFinal(t *testing.T) {
	calls := 0
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"status":409,"code":"operation_in_progress","detail":"an upgrade runs","allowed_commands":["export"]}`)
	})
	_, err := c.Upgrade(t.Context(), "acme", client.Upgrade{Plan: "professional"})
	var refusal *client.Error
	if !errors.As(err, &refusal) {
		t.Fatalf("%v is no *client.Error", err)
	}
	if refusal.Status != http.StatusConflict || refusal.Code != client.CodeOperationInProgress ||
		!slices.Equal(refusal.Allowed, []string{"export"}) {
		t.Errorf("refusal: %+v", refusal)
	}
	if calls != 1 {
		t.Errorf("a refused command was sent %d times", calls)
	}
}

func TestAnAnswerThatIsNoProblemIsAnErrorToo(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusTeapot) })
	_, err := c.Tenant(t.Context(), "acme")
	var refusal *client.Error
	if !errors.As(err, &refusal) || refusal.Status != http.StatusTeapot {
		t.Errorf("got %v", err)
	}
}

func TestListsAreReadToTheirEnd(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("state"); got != "active" {
			t.Errorf("state=%q", got)
		}
		switch cursor := r.URL.Query().Get("cursor"); cursor {
		case "":
			fmt.Fprint(w, `{"items":[{"id":"a"},{"id":"b"}],"next_cursor":"2"}`)
		case "2":
			fmt.Fprint(w, `{"items":[{"id":"c"}],"next_cursor":""}`)
		default:
			t.Errorf("cursor=%q", cursor)
		}
	})
	var ids []string
	for tenant, err := range c.Tenants(t.Context(), client.TenantFilter{State: "active"}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, tenant.ID)
	}
	if got := strings.Join(ids, ""); got != "abc" {
		t.Errorf("tenants %s", got)
	}
}

func TestWatchGoesOnAfterTheStreamBreaks(t *testing.T) {
	streams := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "text/event-stream" {
			fmt.Fprint(w, `{"id":"op1","status":"running","progress":0.5}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		streams++
		if streams == 1 {
			fmt.Fprint(w, "event: operation\ndata: {\"id\":\"op1\",\"status\":\"running\",\"progress\":0.25}\n\n")
			return
		}
		fmt.Fprint(w, "data: {\"id\":\"op1\",\"status\":\"succeeded\",\"progress\":1}\n\n")
	})
	var seen []string
	for op, err := range c.Watch(t.Context(), "op1") {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, fmt.Sprint(op.Status, " ", op.Progress))
	}
	want := []string{"running 0.25", "running 0.5", "succeeded 1"}
	if !slices.Equal(seen, want) {
		t.Errorf("saw %q, want %q", seen, want)
	}
}

func TestTailYieldsEachEventOnce(t *testing.T) {
	// "c" comes late, in front of what was seen; the page it fills pushes "b" to the next one.
	answers := []string{
		`{"items":[{"id":"a"},{"id":"b"}]}`,
		`{"items":[{"id":"a"},{"id":"c"}],"next_cursor":"2"}`,
		`{"items":[{"id":"b"},{"id":"d"}]}`,
		`{"items":[{"id":"b"},{"id":"d"},{"id":"e"}]}`,
	}
	calls := 0
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, answers[min(calls, len(answers)-1)])
		calls++
	})
	var seen []string
	for e, err := range c.Tail(t.Context(), client.EventFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, e.ID); e.ID == "e" {
			break
		}
	}
	if got := strings.Join(seen, ""); got != "abcde" {
		t.Errorf("saw %s", got)
	}
}

func TestAPreviewCarriesTheCommandsFields(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if got := r.Method + " " + r.URL.Path + " " + string(body); got != `POST /v1/tenants/acme/preview {"at":"now","command":"downgrade","plan":"free"}` {
			t.Errorf("asked %s", got)
		}
		fmt.Fprint(w, `{"command":"downgrade","allowed":false,"plan_hash":"abc","cost":{"due_now_cents":-100,"source":"stripe"},
			"access":[{"state":"downgrading","at_most_seconds":60,"blocked":[{"capability":"change_plan","status":409}]}],
			"refusal":{"code":"usage_over_limit","violations":[{"metric":"documents","usage":51,"limit":50}]}}`)
	})
	p, err := c.Preview(t.Context(), "acme", "downgrade", client.Downgrade{Plan: "free", At: "now"})
	if err != nil {
		t.Fatal(err)
	}
	if p.PlanHash != "abc" || p.Cost.DueNowCents != -100 || *p.Access[0].AtMostSeconds != 60 ||
		p.Access[0].Blocked[0].Capability != "change_plan" || p.Refusal.Violations[0].Limit != 50 {
		t.Errorf("preview %+v", p)
	}
	c = serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{}`) })
	if _, err := c.Preview(t.Context(), "acme", "resume", nil); err != nil {
		t.Error(err)
	}
}

func TestAnExemptionBeginsAndEnds(t *testing.T) {
	var calls []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Idempotency-Key") == "" {
			t.Errorf("%s without a key", r.Method)
		}
		calls = append(calls, r.Method+" "+r.URL.Path+" "+string(body))
		fmt.Fprint(w, `{}`)
	})
	if err := errors.Join(c.Exempt(t.Context(), "acme", "disputed"), c.EndExemption(t.Context(), "acme", "settled")); err != nil {
		t.Fatal(err)
	}
	want := []string{`POST /v1/tenants/acme/exemption {"reason":"disputed"}`, `DELETE /v1/tenants/acme/exemption {"reason":"settled"}`}
	if !slices.Equal(calls, want) {
		t.Errorf("called %q", calls)
	}
}

func TestADeletionThatAnotherOperatorHasToApprove(t *testing.T) {
	var calls []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls = append(calls, r.Method+" "+r.URL.Path+" "+string(body))
		if r.URL.Path == "/v1/tenants/acme/delete" {
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, `{"status":"awaiting_approval","retention_days":30,"approval":{"id":"a1","command":"delete","requested_by":"operator:ann"}}`)
			return
		}
		fmt.Fprint(w, `{"id":"acme","approvals":[]}`)
	})
	d, err := c.Delete(t.Context(), "acme", client.Delete{Confirm: "Acme", Reason: "left"})
	if err != nil {
		t.Fatal(err)
	}
	if d.Status != client.DeletionStatusAwaiting || !d.ScheduledFor.IsZero() || d.ExportOffer != nil || d.Approval.ID != "a1" {
		t.Errorf("answered %+v", d)
	}
	_, approved := c.Approve(t.Context(), "acme", d.Approval.ID, "")
	_, rejected := c.Reject(t.Context(), "acme", "a/2", "no")
	if err := errors.Join(approved, rejected); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`POST /v1/tenants/acme/delete {"reason":"left","confirm":"Acme"}`,
		`POST /v1/tenants/acme/approvals/a1 {}`, `DELETE /v1/tenants/acme/approvals/a/2 {"reason":"no"}`,
	}
	if !slices.Equal(calls, want) {
		t.Errorf("called %q", calls)
	}
}

func TestWebhooks(t *testing.T) {
	var calls []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != http.MethodGet && r.Header.Get("Idempotency-Key") == "" {
			t.Errorf("%s %s without a key", r.Method, r.URL)
		}
		calls = append(calls, r.Method+" "+r.URL.String()+" "+string(body))
		switch {
		case r.Method == http.MethodGet && r.URL.RawQuery == "":
			fmt.Fprint(w, `{"items":[{"id":"d2","status":500}],"next_cursor":"x"}`)
		case r.Method == http.MethodGet:
			fmt.Fprint(w, `{"items":[{"id":"d1","status":200}]}`)
		default:
			fmt.Fprint(w, `{"id":"we_1","secret":"whsec_1"}`)
		}
	})
	added, err := c.AddWebhook(t.Context(), "acme", client.NewWebhook{URL: "https://acme.example/hook", Events: []string{"tenure.lifecycle.*"}})
	if err != nil || added.Secret != "whsec_1" {
		t.Fatal(added, err)
	}
	var statuses []int
	for d, err := range c.Deliveries(t.Context(), "acme", added.ID) {
		if err != nil {
			t.Fatal(err)
		}
		statuses = append(statuses, d.Status)
	}
	if !slices.Equal(statuses, []int{500, 200}) {
		t.Errorf("deliveries %v", statuses)
	}
	err = errors.Join(c.TestWebhook(t.Context(), "acme", "we_1"), c.Redeliver(t.Context(), "acme", "we_1", "d2"),
		c.EnableWebhook(t.Context(), "acme", "we_1"), c.RemoveWebhook(t.Context(), "acme", "we_1"))
	if err != nil {
		t.Fatal(err)
	}
	const hook = "/v1/tenants/acme/webhooks/we_1"
	want := []string{
		`POST /v1/tenants/acme/webhooks {"url":"https://acme.example/hook","events":["tenure.lifecycle.*"]}`,
		"GET " + hook + "/deliveries ", "GET " + hook + "/deliveries?cursor=x ",
		"POST " + hook + "/test ", "POST " + hook + "/deliveries/d2/redeliver ", "POST " + hook + "/enable ", "DELETE " + hook + " ",
	}
	if !slices.Equal(calls, want) {
		t.Errorf("called %q", calls)
	}
}
