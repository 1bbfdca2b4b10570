package contribution

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/shared/egress"
	"tenure/shared/events"
	"tenure/shared/fault"
)

type discard struct{ bytes.Buffer }

func (*discard) EndRow() error { return nil }

func TestAServerThatStallsIsLeft(t *testing.T) {
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(`{"id": 1}` + "\n"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	}))
	defer server.Close()
	client := NewClient(egress.Loopback())
	client.stall = 50 * time.Millisecond
	answer, err := json.Marshal(events.ExportFiles{Files: []events.ExportFile{{Kind: "usage", URL: server.URL, Rows: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	store, err := client.Open("crm", time.Now(), answer)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	err = connectors.ReadKind(t.Context(), s, "usage", &discard{})
	if _, waits := fault.Delay(err); !waits || !strings.Contains(err.Error(), "sent nothing") {
		t.Errorf("error is %v", err)
	}
	<-gone
}
