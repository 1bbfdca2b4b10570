package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tenure/services/cmd/tenure/internal/cli"
	"tenure/services/devstack"
)

// run executes the command line and returns what it printed.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := cli.New()
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// serve answers each "METHOD /path" with its JSON, and returns the flags that lead there.
func serve(t *testing.T, answers map[string]string) []string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"status":404,"code":"tenant_not_found","detail":"there is no such tenant"}`)
			return
		}
		fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	return []string{"--url", server.URL, "--token", "dev"}
}

func TestTheRunningDevIsFound(t *testing.T) {
	flags := serve(t, map[string]string{"GET /v1/tenants/acme": `{"id":"acme","plan":"starter","status":"active"}`})
	dir := t.TempDir()
	if _, err := run(t, "tenants", "show", "acme", "--dir", dir); err == nil || !strings.Contains(err.Error(), "start it") {
		t.Errorf("without a running dev: %v", err)
	}
	content, err := json.Marshal(devstack.Addresses{HTTP: flags[1], OperatorToken: "dev"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, devstack.AddressesFile), content, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "tenants", "show", "acme", "--dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "starter") {
		t.Errorf("printed %q", out)
	}
}

func TestATokenIsNotSentToWhereItDoesNotBelong(t *testing.T) {
	if _, err := run(t, "tenants", "list", "--url", "http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "--token") {
		t.Errorf("got %v", err)
	}
}

func TestListAsTableAndAsJSON(t *testing.T) {
	flags := serve(t, map[string]string{
		"GET /v1/tenants": `{"items":[{"id":"acme","name":"Acme Ltd","plan":"starter","status":"active","created_at":"2026-01-02T03:04:05Z"}]}`,
	})
	out, err := run(t, append([]string{"tenants", "list"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	want := "ID    NAME      PLAN     STATUS  CREATED\n" +
		"acme  Acme Ltd  starter  active  2026-01-02 03:04:05Z\n"
	if out != want {
		t.Errorf("printed\n%swant\n%s", out, want)
	}

	out, err = run(t, append([]string{"tenants", "list", "--json"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 || list[0]["id"] != "acme" {
		t.Errorf("printed %s (%v)", out, err)
	}
}

func TestWatchPrintsTheStepsOnceAndTheEnd(t *testing.T) {
	flags := serve(t, map[string]string{
		"POST /v1/tenants/acme/upgrade": `{"id":"op1","tenant":"acme","kind":"upgrade","status":"running"}`,
		"GET /v1/operations/op1": `{"id":"op1","tenant":"acme","kind":"upgrade","status":"succeeded","progress":1,
			"steps":[{"id":"s1","participant":"billing","action":"bill","status":"done","attempt":1}]}`,
	})
	out, err := run(t, append([]string{"upgrade", "acme", "professional", "--watch"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	want := "  bill             billing      done\nupgrade of acme: succeeded\n"
	if out != want {
		t.Errorf("printed\n%swant\n%s", out, want)
	}
}

func TestAChangeThatFailedIsAnError(t *testing.T) {
	flags := serve(t, map[string]string{
		"POST /v1/tenants/acme/upgrade": `{"id":"op1","tenant":"acme","kind":"upgrade","status":"running"}`,
		"GET /v1/operations/op1":        `{"id":"op1","tenant":"acme","kind":"upgrade","status":"rolled_back","error":"card declined"}`,
	})
	_, err := run(t, append([]string{"upgrade", "acme", "professional", "-w"}, flags...)...)
	if err == nil || !strings.Contains(err.Error(), "rolled_back card declined") {
		t.Errorf("got %v", err)
	}
}

func TestAnExemptionIsShown(t *testing.T) {
	flags := serve(t, map[string]string{
		"POST /v1/tenants/acme/exemption":   `{}`,
		"DELETE /v1/tenants/acme/exemption": `{}`,
		"GET /v1/tenants/acme":              `{"id":"acme","status":"past_due","exempt":true}`,
	})
	for _, args := range [][]string{{"exempt", "acme", "--reason", "disputed"}, {"end-exemption", "acme"}} {
		if out, err := run(t, append(args, flags...)...); err != nil || out != "acme is past_due\n" {
			t.Errorf("%v: printed %q, %v", args, out, err)
		}
	}
	out, err := run(t, append([]string{"tenants", "show", "acme"}, flags...)...)
	if err != nil || !strings.Contains(out, "exempt") {
		t.Errorf("printed %q, %v", out, err)
	}
}

func TestRefusalsAreTold(t *testing.T) {
	flags := serve(t, nil)
	_, err := run(t, append([]string{"suspend", "nobody", "--reason", "test"}, flags...)...)
	if err == nil || !strings.Contains(err.Error(), "there is no such tenant") {
		t.Errorf("got %v", err)
	}
}

func TestVerifyNeedsOneThingToVerify(t *testing.T) {
	for _, args := range [][]string{{"verify"}, {"verify", "--log", "file.zip"}} {
		if _, err := run(t, args...); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
	broken := filepath.Join(t.TempDir(), "broken.zip")
	if err := os.WriteFile(broken, []byte("PK broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "verify", broken); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a broken archive: %v", err)
	}
}
