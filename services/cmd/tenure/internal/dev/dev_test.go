package dev_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tenure/services/cmd/tenure/internal/dev"
	"tenure/services/devstack"
)

// TestDev runs the whole of it once, as a user sees it.
func TestDev(t *testing.T) {
	t.Chdir(t.TempDir()) // dev changes the working directory; this puts it back
	opts := dev.Options{
		Dir: filepath.Join(t.TempDir(), "state"), HTTP: "127.0.0.1:0", NATS: "127.0.0.1:0", Stripe: "127.0.0.1:0", Out: io.Discard, Quiet: true,
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan devstack.Addresses, 1), make(chan error, 1)
	opts.Ready = func(a devstack.Addresses) { ready <- a }
	go func() { ended <- dev.Run(ctx, opts) }()
	var at devstack.Addresses
	select {
	case at = <-ready:
	case err := <-ended:
		t.Fatalf("it ended before it was ready: %v", err)
	}

	t.Run("the file has the contract's keys", func(t *testing.T) { checkFile(t, opts.Dir) })
	t.Run("one API describes all services", func(t *testing.T) { checkOpenAPI(t, at.HTTP) })
	t.Run("people and machines find their way", func(t *testing.T) {
		for path, want := range map[string]string{"/": "openapi.json", "/healthz": "ok", "/readyz": "ready", "/metrics": "go_goroutines"} {
			if body := get(t, at.HTTP+path); !strings.Contains(body, want) {
				t.Errorf("%s answers %.100q, without %q", path, body, want)
			}
		}
	})
	t.Run("a second one on the directory is refused", func(t *testing.T) {
		second := opts
		second.Ready = nil
		if err := dev.Run(t.Context(), second); err == nil || !strings.Contains(err.Error(), "--dir") {
			t.Errorf("got %v", err)
		}
	})

	cancel()
	if err := <-ended; err != nil {
		t.Errorf("an interrupt ended it with %v", err)
	}
	if _, err := os.Stat(filepath.Join(opts.Dir, devstack.AddressesFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the addresses are still announced: %v", err)
	}
}

func checkFile(t *testing.T, dir string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, devstack.AddressesFile))
	if err != nil {
		t.Fatal(err)
	}
	var file map[string]json.RawMessage
	if err := json.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	want := []string{"http", "mail", "nats", "operator_token", "pids", "postgres", "s3", "stripe", "webhook_secret"}
	if got := slices.Sorted(maps.Keys(file)); !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
	var s3 map[string]string
	if err := json.Unmarshal(file["s3"], &s3); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(s3)); !slices.Equal(got, []string{"access_key", "bucket", "endpoint", "secret_key"}) {
		t.Errorf("keys of s3: %v", got)
	}
}

func checkOpenAPI(t *testing.T, base string) {
	t.Helper()
	var api struct {
		OpenAPI string         `json:"openapi"`
		Paths   map[string]any `json:"paths"`
	}
	if err := json.NewDecoder(bytes.NewBufferString(get(t, base+"/openapi.json"))).Decode(&api); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(api.OpenAPI, "3.1") {
		t.Errorf("openapi %s", api.OpenAPI)
	}
	for _, path := range []string{
		"/v1/tenants", "/v1/tenants/{id}/upgrade", "/v1/exports/{export_id}", "/v1/tenants/{id}/deletion/certificate",
		"/sample/{tenant}/query",
	} {
		if _, ok := api.Paths[path]; !ok {
			t.Errorf("%s is missing", path)
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Errorf("%s answers %s", url, res.Status)
	}
	return string(body)
}
