package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/participant"
	"tenure/shared/testkit"
)

// TestAParticipantAddsFilesToAnExport: through the SDK, over the bus, and until it cannot any more.
func TestAParticipantAddsFilesToAnExport(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.active("acme")
	var asked atomic.Value
	r.takePart("store", map[string]participant.Handler{"export": func(_ context.Context, s participant.Step) (any, error) {
		asked.Store(s.StepRequest)
		if len(s.Include) == 0 {
			return nil, fault.Permanent(errors.New("the index is broken"))
		}
		return events.ExportFiles{Files: []events.ExportFile{{Kind: "documents", URL: "https://store.example/1", Rows: 3}}}, nil
	}})

	export := func(body string) string {
		a := r.call("dev", "POST", "/v1/tenants/acme/export", body)
		require.Equal(t, 202, a.status, a.body)
		return a.json(t)["export_id"].(string)
	}
	operation := func(id string) map[string]any { return r.call("dev", "GET", "/v1/operations/"+id, "").json(t) }
	first := export(`{"since":"2026-01-31T00:00:00Z","include":["documents"]}`)
	testkit.WaitFor(t, 10*time.Second, "the participant's answer", func() bool {
		return operation(first)["steps"].([]any)[0].(map[string]any)["status"] == "done"
	})
	s := asked.Load().(events.StepRequest)
	require.Equal(t, "2026-01-31 00:00:00 +0000 UTC", s.Since.String())
	require.Equal(t, []string{"documents"}, s.Include)
	require.Equal(t, first, s.OperationID)
	require.Equal(t, "running", operation(first)["status"], "the archive is not made yet")
	require.Equal(t, 200, r.call("dev", "POST", "/v1/exports/"+first+"/cancel", "").status)

	second := export(`{}`)
	testkit.WaitFor(t, 10*time.Second, "the export to fail", func() bool { return operation(second)["status"] == "failed" })
	require.Equal(t, "store: the index is broken", operation(second)["error"])
	require.Equal(t, "active", r.call("dev", "GET", "/v1/tenants/acme", "").json(t)["status"])
}

// takePart runs a participant until the test ends.
func (r *rig) takePart(name string, actions map[string]participant.Handler) {
	r.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	registered, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- participant.Run(ctx, participant.Config{
			Name: name, Conn: r.nc, ControlURL: r.base, Token: "dev", Actions: actions, Registered: func() { close(registered) },
		})
	}()
	r.t.Cleanup(func() { stop(); require.NoError(r.t, <-ended) })
	select {
	case <-registered:
	case <-time.After(10 * time.Second):
		r.t.Fatal("the participant does not register")
	}
}

func TestWhatAnExportMayAskFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, "TENURE_EXPORTS_PER_DAY=1")
	r.active("acme")
	r.active("other")
	foreign := r.call("dev", "POST", "/v1/tenants/other/export", `{}`).json(t)["export_id"].(string)
	for body, code := range map[string]string{
		fmt.Sprintf(`{"since":%q}`, foreign): "unknown_export",
		`{"since":"yesterday"}`:              "unknown_export",
		`{"encrypt_to":"age1mine"}`:          "invalid_argument",
		`{"parquet":["documents"]}`:          "not_allowed",
		`{"include":["secrets"]}`:            "not_allowed",
	} {
		a := r.call("dev:acme", "POST", "/v1/tenants/acme/export", body)
		require.Equal(t, 422, a.status, "%s: %s", body, a.body)
		require.Equal(t, code, a.json(t)["code"], body)
	}

	a := r.call("dev:acme", "POST", "/v1/tenants/acme/export",
		`{"encrypt_to":"age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p","parquet":["vectors","usage"]}`)
	require.Equal(t, 202, a.status, a.body)
	require.Equal(t, 200, r.call("dev:acme", "POST", "/v1/exports/"+a.json(t)["export_id"].(string)+"/cancel", "").status)
	a = r.call("dev:acme", "POST", "/v1/tenants/acme/export", `{}`)
	require.Equal(t, 429, a.status, a.body)
	require.Equal(t, "export_limit", a.json(t)["code"])
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	require.NoError(t, err)
	require.InDelta(t, 24*60*60, seconds, 60)
}
