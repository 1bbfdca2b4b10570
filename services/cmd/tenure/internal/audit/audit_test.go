package audit_test

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tenure/services/cmd/tenure/internal/audit"
	"tenure/shared/client"
	"tenure/shared/eventlog"
	"tenure/shared/events"
)

// history is a log of two tenants, chained as the service chains it.
func history() []client.LogEvent {
	var out []client.LogEvent
	heads := map[string][]byte{}
	for i, tenant := range []string{"acme", "other", "acme", "acme"} {
		e := events.Event{
			Subject: tenant, Type: "tenure.lifecycle.tenant.registered.v1", Actor: "operator:dev",
			Sequence: 1, Time: time.Unix(1700000000+int64(i), 123456000).UTC(), Data: json.RawMessage(`{"plan":"a<b"}`),
		}
		for _, before := range out {
			if before.Tenant == tenant {
				e.Sequence++
			}
		}
		heads[tenant] = eventlog.ChainHash(heads[tenant], tenant, e)
		out = append(out, client.LogEvent{
			Tenant: tenant, Version: e.Sequence, Type: e.Type, Actor: e.Actor, Time: e.Time, Data: e.Data,
			Hash: hex.EncodeToString(heads[tenant]),
		})
	}
	return out
}

func verify(t *testing.T, log []client.LogEvent, tenant string) (audit.Report, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		items := []client.LogEvent{}
		for _, e := range log {
			if want := r.URL.Query().Get("tenant"); want == "" || want == e.Tenant {
				items = append(items, e)
			}
		}
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false) // as the API does: the data's bytes are what the chain was made of
		if err := enc.Encode(map[string]any{"items": items}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return audit.VerifyLog(t.Context(), client.New(server.URL, "dev"), tenant, &audit.Roots{})
}

func TestAnUntouchedLogIsWhole(t *testing.T) {
	for tenant, want := range map[string]audit.Report{"": {Events: 4, Tenants: 2}, "acme": {Events: 3, Tenants: 1}} {
		got, err := verify(t, history(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("tenant %q: %+v, want %+v", tenant, got, want)
		}
	}
	if _, err := verify(t, history(), "nobody"); err == nil {
		t.Error("a tenant without events was found whole")
	}
}

func TestWhatWasChangedShows(t *testing.T) {
	for name, change := range map[string]func([]client.LogEvent) []client.LogEvent{
		"edited":  func(l []client.LogEvent) []client.LogEvent { l[0].Actor = "operator:eve"; return l },
		"removed": func(l []client.LogEvent) []client.LogEvent { return append(l[:2:2], l[3:]...) },
		"swapped": func(l []client.LogEvent) []client.LogEvent { l[2], l[3] = l[3], l[2]; return l },
	} {
		if _, err := verify(t, change(history()), ""); err == nil || !strings.Contains(err.Error(), "acme") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
