package gateway_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tenure/services/lifecycle"
	"tenure/shared/client"
	"tenure/shared/runner"
	"tenure/shared/testkit"
)

// TestNginxAsksTheLifecycle has the real service behind nginx: the path, the token and the answers fit each other.
func TestNginxAsksTheLifecycle(t *testing.T) {
	address := freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- runner.Run(ctx, runner.Environ{
			"TENURE_ENV": "dev", "DATABASE_URL": testkit.Postgres(t), "NATS_URL": testkit.NATS(t).URL(), "TENURE_HTTP_ADDR": address,
			"TENURE_VAULT_KEY": strings.Repeat("ab", 32),
		}, func() { ready <- struct{}{} }, runner.Named{Name: lifecycle.Schema, New: lifecycle.New})
	}()
	t.Cleanup(func() { stop(); testkit.Receive(t, soon, ended) })
	testkit.Receive(t, soon, ready)

	c := client.New("http://"+address, "dev")
	register := func(id, plan string) {
		t.Helper()
		_, err := c.Register(t.Context(), client.Register{ID: id, Name: "Acme", Email: "anna@example.com", Plan: plan})
		require.NoError(t, err)
	}
	url := startNginx(t, "http://"+address, "dev", newApp(t).URL)
	register("acme", "free")
	testkit.WaitFor(t, soon, "the tenant is in", func() bool { return ask(t, "POST", url+"/t/acme/documents").status == 200 })
	register("beta", "starter")
	require.Equal(t, 402, ask(t, "GET", url+"/t/beta/documents").status, "it has not paid yet")
	require.Equal(t, 404, ask(t, "GET", url+"/t/stranger/documents").status)
	require.NoError(t, c.Suspend(t.Context(), "acme", "test"))
	require.Equal(t, 403, ask(t, "GET", url+"/t/acme/documents").status)
}
