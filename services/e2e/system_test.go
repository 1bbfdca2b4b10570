// Package e2e tests the whole system as its users meet it: `tenure dev` as a process of its own, driven over HTTP and
// NATS, and killed.
package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenure/shared/client"
	"tenure/shared/testkit"
)

// startTime bounds a start on a busy machine with a cold cache.
const startTime = 90 * time.Second

// binary is `tenure`, built once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tenure-e2e-*")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "tenure")
	out, err := exec.Command("go", "build", "-o", path, "tenure/services/cmd/tenure").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build tenure: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// addresses is DIR/dev.json, as the contract says.
type addresses struct {
	HTTP          string `json:"http"`
	NATS          string `json:"nats"`
	Postgres      string `json:"postgres"`
	Stripe        string `json:"stripe"`
	Mail          string `json:"mail"`
	OperatorToken string `json:"operator_token"`
}

// system is a running `tenure dev`.
type system struct {
	t    *testing.T
	dir  string
	env  []string
	cmd  *exec.Cmd
	log  *os.File
	at   addresses
	api  *client.Client
	http *http.Client
}

// start runs `tenure dev` on a new directory; settings are environment variables.
func start(t *testing.T, settings ...string) *system {
	t.Helper()
	dir, err := os.MkdirTemp("", "tenure-e2e-*")
	require.NoError(t, err)
	s := &system{t: t, dir: dir, env: append(os.Environ(), settings...), http: &http.Client{Timeout: time.Minute}}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	require.NoError(t, err)
	s.log = log
	s.launch()
	t.Cleanup(func() {
		s.stop()
		_ = log.Close()
		if t.Failed() {
			content, _ := os.ReadFile(log.Name())
			t.Logf("its state is kept in %s; the end of its log:\n%s", s.dir, tail(string(content), 60))
			return
		}
		_ = os.RemoveAll(s.dir)
	})
	return s
}

func tail(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// launch starts the process on its directory and waits for dev.json.
func (s *system) launch() {
	s.t.Helper()
	path, err := binary()
	require.NoError(s.t, err)
	state := filepath.Join(s.dir, "state")
	_ = os.Remove(filepath.Join(state, "dev.json"))
	s.cmd = exec.Command(path, "dev", "--dir", state, "--quiet", "--http", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--stripe", "127.0.0.1:0")
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = s.env, s.log, s.log
	require.NoError(s.t, s.cmd.Start())
	testkit.WaitFor(s.t, startTime, "dev.json", func() bool {
		content, err := os.ReadFile(filepath.Join(state, "dev.json"))
		return err == nil && json.Unmarshal(content, &s.at) == nil
	})
	s.api = client.New(s.at.HTTP, s.at.OperatorToken)
}

// kill ends the process as a power switch does.
func (s *system) kill() {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Kill())
	_ = s.cmd.Wait()
}

func (s *system) stop() {
	if s.cmd.ProcessState != nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { defer close(done); _ = s.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(40 * time.Second):
		s.t.Error("SIGTERM did not end it in 40 s")
		_ = s.cmd.Process.Kill()
		<-done
	}
}

func (s *system) context(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	s.t.Cleanup(cancel)
	return ctx
}

// signUp registers a tenant and waits until it is active.
func (s *system) signUp(id, plan string) {
	s.t.Helper()
	ctx := s.context(time.Minute)
	_, err := s.api.Register(ctx, client.Register{ID: id, Name: "Tenant " + id, Email: id + "@example.com", Plan: plan})
	require.NoError(s.t, err)
	s.await(id, "active")
}

// await waits until the tenant is in a state.
func (s *system) await(id, state string) client.Tenant {
	s.t.Helper()
	var tenant client.Tenant
	testkit.WaitFor(s.t, time.Minute, id+" to be "+state, func() bool {
		var err error
		tenant, err = s.api.Tenant(s.context(10*time.Second), id)
		return err == nil && tenant.State == state
	})
	return tenant
}

// call sends a request as the operator and returns status and body.
func (s *system) call(method, url, body string) (int, string) {
	s.t.Helper()
	return s.callAs(s.at.OperatorToken, method, url, body)
}

func (s *system) callAs(token, method, url, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := s.http.Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res.StatusCode, string(content)
}

// charges are what the simulator's Stripe took from a tenant.
type charges struct {
	Charges []struct {
		ID     string `json:"id"`
		Kind   string `json:"kind"`
		Amount int64  `json:"amount"`
	} `json:"charges"`
	Net int64 `json:"net"`
}

func (s *system) charges(tenant string) charges {
	s.t.Helper()
	_, body := s.call("GET", s.at.Stripe+"/_sim/charges?tenant="+tenant, "")
	var c charges
	require.NoError(s.t, json.Unmarshal([]byte(body), &c), body)
	return c
}

func (s *system) database() *pgxpool.Pool {
	s.t.Helper()
	db, err := pgxpool.New(context.Background(), s.at.Postgres)
	require.NoError(s.t, err)
	s.t.Cleanup(db.Close)
	return db
}

// refusal is the problem's code of an error of the client, or "".
func refusal(err error) string {
	var p *client.Error
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}
