// Package gateway_test holds the gateways' configurations in deploy/gateways to what they promise.
package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/gate"
	"tenure/shared/testkit"
)

const (
	configs = "../../../deploy/gateways"
	soon    = 20 * time.Second
	token   = "operator-token"
)

// tenure stands for the lifecycle's GET /v1/access: it gives the verdicts that the tenants' names stand for.
type tenure struct {
	*httptest.Server
	asked atomic.Int64
	// switched makes every tenant's access another.
	switched atomic.Pointer[gate.Access]
}

var tenants = map[string]gate.Access{
	"active":    {State: gate.Active},
	"unpaid":    {State: gate.Suspended, Blocks: gate.BlockPayment},
	"blocked":   {State: gate.Suspended, Blocks: gate.BlockAdmin},
	"full":      {State: gate.Active, Blocks: gate.BlockOverLimit},
	"moving":    {State: gate.Upgrading, Blocks: gate.BlockReadOnly},
	"gone":      {State: gate.Deleted},
	"preparing": {State: gate.Provisioning},
}

func newTenure(t *testing.T) *tenure {
	s := &tenure{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/access/{tenant}", func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if r.Header.Get("Authorization") != "Bearer "+token || r.Header.Get("Cookie") != "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		capability, err := gate.ParseCapability(r.URL.Query().Get("capability"))
		if err != nil {
			t.Errorf("asked for %s: %v", r.URL, err)
		}
		verdict := gate.UnknownTenant()
		if access, known := tenants[r.PathValue("tenant")]; known {
			if other := s.switched.Load(); other != nil {
				access = *other
			}
			verdict = gate.Decide(access, capability)
		}
		if verdict.Allowed {
			w.WriteHeader(http.StatusOK)
			return
		}
		verdict.ServeHTTP(w, r)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// newApp is the SaaS: it answers what it was asked, and refuses on its own at /t/<tenant>/own.
func newApp(t *testing.T) *httptest.Server {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.HasSuffix(r.URL.Path, "/own") {
			http.Error(w, "the program's own", http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "%s %s as %s: %s", r.Method, r.URL.RequestURI(), r.Header.Get("X-Tenant"), body)
	}))
	t.Cleanup(app.Close)
	return app
}

// startNginx runs the real program with deploy/gateways/nginx.conf, in which nothing but addresses and folders is changed,
// and answers its URL.
func startNginx(t *testing.T, tenureURL, bearer, appURL string, changes ...string) string {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // Debian's place, which is not in every user's PATH
		if _, err := os.Stat(program); err != nil {
			t.Fatal("nginx is missing: run `scripts/setup test` as root, or install Debian's package nginx-light")
		}
	}
	dir := t.TempDir()
	address := freeAddress(t)
	config, err := os.ReadFile(filepath.Join(configs, "nginx.conf"))
	require.NoError(t, err)
	replace := append([]string{
		"lifecycle:8080", strings.TrimPrefix(tenureURL, "http://"),
		"app:8000", strings.TrimPrefix(appURL, "http://"),
		"listen 8000", "listen " + address,
		"/etc/nginx/", dir + "/",
	}, changes...)
	site := string(config)
	for i := 0; i < len(replace); i += 2 {
		replace[i+1] = strings.ReplaceAll(replace[i+1], "$dir", dir)
		require.Contains(t, site, replace[i])
		site = strings.ReplaceAll(site, replace[i], replace[i+1])
	}
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	write("site.conf", site)
	write("tenure-token.conf", `proxy_set_header Authorization "Bearer `+bearer+`";`)
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // the test's folders are root's alone
	}
	write("nginx.conf", user+`
		daemon off; worker_processes 1; pid `+dir+`/pid; error_log stderr warn;
		events {}
		http {
			access_log off;
			client_body_temp_path `+dir+`/body; proxy_temp_path `+dir+`/proxy;
			fastcgi_temp_path `+dir+`/fastcgi; uwsgi_temp_path `+dir+`/uwsgi; scgi_temp_path `+dir+`/scgi;
			include `+dir+`/site.conf;
		}`)
	cmd := exec.CommandContext(t.Context(), program, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out := &log{}
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		testkit.Receive(t, soon, ended)
		if t.Failed() {
			t.Log(out)
		}
	})
	testkit.WaitFor(t, soon, "nginx listens", func() bool {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	return "http://" + address
}

// log is what a process says.
type log struct {
	mu sync.Mutex
	strings.Builder
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(b)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

type answer struct {
	status      int
	retry, body string
	contentType string
}

func ask(t *testing.T, method, url string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("a document")
	}
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	require.NoError(t, err)
	request.Header.Set("Cookie", "session=secret")
	request.Header.Set("X-Tenant", "somebody-else")
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response.StatusCode, response.Header.Get("Retry-After"), string(content), response.Header.Get("Content-Type")}
}

func TestNginx(t *testing.T) {
	url := startNginx(t, newTenure(t).URL, token, newApp(t).URL)
	for _, test := range []struct {
		method, path string
		status       int
		retry, body  string
	}{
		{"GET", "/t/active/documents?q=1", 200, "", "GET /t/active/documents?q=1 as active: "},
		{"POST", "/t/active/documents", 200, "", "POST /t/active/documents as active: a document"},
		{"GET", "/t/active", 200, "", "GET /t/active as active: "},
		{"GET", "/t/active/own", 403, "", "the program's own\n"}, // nginx leaves the program's answers alone
		{"GET", "/t/unpaid/documents", 402, "", `"code":"payment_required"`},
		{"GET", "/t/blocked/documents", 403, "", `"code":"suspended"`},
		{"GET", "/t/full/documents", 200, "", "GET"},
		{"POST", "/t/full/documents", 402, "", `"code":"payment_required"`},
		{"GET", "/t/moving/documents", 200, "", "GET"},
		{"POST", "/t/moving/documents", 423, "2", `"code":"read_only"`},
		{"DELETE", "/t/moving/documents/1", 423, "2", `"code":"read_only"`},
		{"GET", "/t/gone/documents", 410, "", `"code":"gone"`},
		{"GET", "/t/preparing/documents", 503, "2", `"code":"unavailable"`},
		{"GET", "/t/stranger/documents", 404, "", `"code":"unknown_tenant"`},
		{"GET", "/t/blocked/../active/documents", 200, "", "as active"}, // the gate and X-Tenant agree on what the path says
		{"GET", "/t/active/%2e%2e/blocked/documents", 403, "", `"code":"suspended"`},
		{"GET", "/t/a%20b/documents", 404, "", ""},
		{"GET", "/documents", 404, "", ""},
		{"GET", "/_tenure/access", 404, "", ""},
	} {
		got := ask(t, test.method, url+test.path)
		name := test.method + " " + test.path
		require.Equal(t, test.status, got.status, "%s: %s", name, got.body)
		require.Equal(t, test.retry, got.retry, "%s: Retry-After", name)
		require.Contains(t, got.body, test.body, name)
		if strings.HasPrefix(test.body, `"code"`) {
			require.Equal(t, "application/problem+json", got.contentType, name)
			require.JSONEq(t, got.body, got.body, name)
		}
	}
}

// failOpen is what the file says to change for that policy.
var failOpen = []string{"#proxy_cache", "proxy_cache", "/var/cache/nginx/", "$dir/"}

func TestASuspendedTenantIsOutAtOnce(t *testing.T) {
	server := newTenure(t)
	url := startNginx(t, server.URL, token, newApp(t).URL)
	require.Equal(t, 200, ask(t, "GET", url+"/t/active/documents").status)
	server.switched.Store(&gate.Access{State: gate.Suspended, Blocks: gate.BlockAbuse})
	require.Equal(t, 403, ask(t, "GET", url+"/t/active/documents").status)
}

func TestNginxWithoutTenure(t *testing.T) {
	server := newTenure(t)
	url := startNginx(t, server.URL, token, newApp(t).URL)
	require.Equal(t, 200, ask(t, "GET", url+"/t/active/documents").status)
	server.Close()
	for _, tenant := range []string{"active", "unpaid"} {
		got := ask(t, "GET", url+"/t/"+tenant+"/documents")
		require.Equal(t, 503, got.status)
		require.Equal(t, "1", got.retry)
	}
}

func TestNginxThatFailsOpen(t *testing.T) {
	server := newTenure(t)
	url := startNginx(t, server.URL, token, newApp(t).URL, failOpen...)
	began := time.Now()
	for range 50 {
		require.Equal(t, 200, ask(t, "GET", url+"/t/active/documents").status)
	}
	require.LessOrEqual(t, server.asked.Load(), int64(2+time.Since(began)/time.Second), "answers hold for a second")
	require.Equal(t, 402, ask(t, "GET", url+"/t/unpaid/documents").status)

	server.switched.Store(&gate.Access{State: gate.Suspended, Blocks: gate.BlockAbuse})
	testkit.WaitFor(t, soon, "the suspended tenant is out", func() bool { return ask(t, "GET", url+"/t/active/documents").status == 403 })
	server.switched.Store(nil)
	testkit.WaitFor(t, soon, "it is in again", func() bool { return ask(t, "GET", url+"/t/active/documents").status == 200 })

	server.Close()
	away := time.Now()
	testkit.WaitFor(t, soon, "every answer is out of date", func() bool {
		require.Equal(t, 200, ask(t, "GET", url+"/t/active/documents").status)
		require.Equal(t, 402, ask(t, "GET", url+"/t/unpaid/documents").status)
		return time.Since(away) > 3*time.Second
	})
	got := ask(t, "GET", url+"/t/full/documents") // nothing was ever asked about it
	require.Equal(t, 503, got.status)
	require.Equal(t, "1", got.retry)
}
