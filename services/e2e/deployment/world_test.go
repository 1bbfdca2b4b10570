package deployment_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/emersion/go-smtp"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"tenure/services/billing"
	"tenure/services/connectors/s3/s3test"
	"tenure/services/deletion"
	"tenure/services/export"
	"tenure/services/lifecycle"
	"tenure/services/notifier"
	"tenure/shared/pgserver"
	"tenure/shared/runner"
	"tenure/shared/testkit"
)

// patience is for a busy machine; nothing waits that long.
const patience = 90 * time.Second

// TestMain is also the services' main: the tests run each in a process of its own, with the environment of its container
// and nothing else.
func TestMain(m *testing.M) {
	services := map[string]runner.New{
		"lifecycle": lifecycle.New, "billing": billing.New, "export": export.New, "deletion": deletion.New, "notifier": notifier.New,
	}
	if len(os.Args) == 3 && os.Args[1] == "service" {
		os.Exit(runner.Main(os.Args[2], services[os.Args[2]]))
	}
	os.Exit(m.Run())
}

// world is the deployment without its containers: PostgreSQL and NATS as the files of deploy/ set them up, an S3 server, a
// mail server, and the five services.
type world struct {
	project   *types.Project
	variables map[string]string
	postgres  *pgserver.Server
	nats      *server.Server
	letters   chan string      // the bodies of mails
	public    *httptest.Server // the proxy
	routes    []route
	addresses map[string]string // of the services
	overrides map[string]string
	stops     []func() // of the services that run
}

// campaigns have one mail to whoever leaves, at any time of the day.
const campaigns = `
campaigns:
  - name: leaving
    triggers: [deletion_requested]
    ends_after_days: 28
    steps:
      - name: why
        after_days: 2
        texts: {en: {subject: Come back, body: "{{.Link}}"}}
`

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{letters: make(chan string, 100), addresses: map[string]string{}}
	store := s3test.Settings(t)
	_, bucket := s3test.Bucket(t)
	datamap := filepath.Join(t.TempDir(), "datamap.yaml")
	require.NoError(t, os.WriteFile(datamap, []byte("stores: []\n"), 0o600))
	campaignFile := filepath.Join(t.TempDir(), "campaigns.yaml")
	require.NoError(t, os.WriteFile(campaignFile, []byte(campaigns), 0o600))
	planFile, err := filepath.Abs(filepath.Join(root, "deploy", "plans.example.yaml"))
	require.NoError(t, err)

	w.variables = made(t)
	maps.Copy(w.variables, forPeople())
	maps.Copy(w.variables, map[string]string{
		"DATAMAP_FILE": datamap, "PLANS_FILE": planFile, "CAMPAIGNS_FILE": campaignFile,
		"S3_ACCESS_KEY": store.AccessKey, "S3_SECRET_KEY": store.SecretKey,
		"TENURE_S3_PUBLIC_URL": store.Endpoint, "TENURE_SLACK_WEBHOOK": "http://127.0.0.1:1", "SMTP_URL": "smtp://" + startMail(t, w.letters),
	})
	w.project = project(t, w.variables)
	w.startNATS(t)
	w.startPostgres(t)
	for _, service := range tenure {
		w.addresses[service] = freeAddress(t)
	}
	w.routes = parseRoutes(mounted(t, w.project, "proxy")["/etc/caddy/Caddyfile"])
	w.public = httptest.NewServer(proxy(w.routes, w.addresses))
	t.Cleanup(w.public.Close)

	// Beyond what the containers get: where the parts are in this test, and days of 100 ms, for which dev is needed.
	w.overrides = map[string]string{
		"AWS_ENDPOINT_URL": store.Endpoint, "TENURE_S3_BUCKET": bucket, "STRIPE_API_BASE": "http://127.0.0.1:1",
		"TENURE_ENV": "dev", "TENURE_RETENTION_UNIT": "100ms", "TENURE_IDLE_AFTER_DAYS": "0",
	}
	w.start(t)
	return w
}

// startNATS runs an empty server on deploy/nats/nats.conf.
func (w *world) startNATS(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for target, content := range mounted(t, w.project, "nats") {
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(target)), []byte(content), 0o600))
	}
	opts, err := server.ProcessConfigFile(filepath.Join(dir, "nats.conf"))
	require.NoError(t, err)
	require.True(t, opts.SyncAlways, "a confirmed message must be on the disk")
	require.Equal(t, "/data", opts.StoreDir, "the volume is there")
	opts.Host, opts.Port, opts.HTTPPort, opts.StoreDir = "127.0.0.1", server.RANDOM_PORT, 0, t.TempDir()
	opts.NoLog, opts.NoSigs = true, true
	w.nats, err = server.NewServer(opts)
	require.NoError(t, err)
	w.nats.Start()
	t.Cleanup(w.nats.Shutdown)
	require.True(t, w.nats.ReadyForConnections(patience))
}

// startPostgres runs a server as the image does: the database, then the scripts by their names.
func (w *world) startPostgres(t *testing.T) {
	t.Helper()
	var err error
	w.postgres, err = pgserver.Start(t.Context(), pgserver.Config{Dir: t.TempDir(), Settings: map[string]string{"fsync": "off"}})
	require.NoError(t, err)
	t.Cleanup(w.postgres.Stop)
	w.exec(t, "postgres", "CREATE DATABASE "+*w.project.Services["postgres"].Environment["POSTGRES_DB"])
	scripts := mounted(t, w.project, "postgres")
	for _, target := range slices.Sorted(maps.Keys(scripts)) {
		if strings.HasPrefix(target, "/docker-entrypoint-initdb.d/") {
			w.exec(t, "tenure", scripts[target])
		}
	}
}

// exec runs SQL as the superuser and answers the last statement's first value, if there is one.
func (w *world) exec(t *testing.T, database, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), strings.Replace(w.postgres.URL(), "/postgres?", "/"+database+"?", 1))
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	require.NoError(t, err)
	if last := results[len(results)-1]; len(last.Rows) > 0 {
		return string(last.Rows[0][0])
	}
	return ""
}

// local puts the servers of this test in the place of those of the network that compose makes.
func (w *world) local(content string) string {
	database, _, _ := strings.Cut(w.postgres.URL()[strings.Index(w.postgres.URL(), "@")+1:], "/")
	return strings.NewReplacer("@postgres:5432/", "@"+database+"/", "@nats:4222", "@"+w.nats.Addr().String()).Replace(content)
}

// start runs the services as depends_on says: the lifecycle first, the others when it is ready.
func (w *world) start(t *testing.T) {
	t.Helper()
	for _, service := range tenure {
		dependsOn := w.project.Services[service].DependsOn
		require.Contains(t, dependsOn, "postgres")
		require.Equal(t, service != "lifecycle", dependsOn["lifecycle"].Condition == types.ServiceConditionHealthy, service)
		w.run(t, service)
		if service == "lifecycle" {
			w.waitReady(t, service)
		}
	}
	for _, service := range tenure {
		w.waitReady(t, service)
	}
}

// run starts one service in a process of its own, which ends with the test.
func (w *world) run(t *testing.T, service string) {
	t.Helper()
	environ := settings(w.project.Services[service])
	environ["TENURE_HTTP_ADDR"] = w.addresses[service]
	for target, content := range mounted(t, w.project, service) {
		path := filepath.Join(t.TempDir(), filepath.Base(target))
		require.NoError(t, os.WriteFile(path, []byte(w.local(content)), 0o600))
		for name, value := range environ {
			if value == target {
				environ[name] = path
			}
		}
	}
	known := readsOf(t, service)
	for name, value := range w.overrides {
		if _, ok := known[name]; ok {
			environ[name] = value
		}
	}
	var log bytes.Buffer
	cmd := exec.Command(os.Args[0], "service", service) //nolint:noctx // its end is the cleanup's: drained, not killed
	cmd.Stdout, cmd.Stderr = &log, &log
	for name, value := range environ {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	require.NoError(t, cmd.Start())
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s ended with %v", service, err)
		}
		if t.Failed() {
			t.Logf("--- %s\n%s", service, &log)
		}
	})
	w.stops = append(w.stops, stop)
	t.Cleanup(stop)
}

// stop ends the services, as `docker compose stop` does.
func (w *world) stop() {
	for _, stop := range w.stops {
		stop()
	}
	w.stops = nil
}

func (w *world) waitReady(t *testing.T, service string) {
	t.Helper()
	testkit.WaitFor(t, patience, service+" is ready", func() bool {
		status, _ := get(t, "http://"+w.addresses[service]+"/readyz")
		return status == http.StatusOK
	})
}

// get answers status 0 when nobody is there.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(content)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}

// startMail takes all mail, as mailpit does, and answers its address.
func startMail(t *testing.T, letters chan<- string) string {
	t.Helper()
	l := listen(t)
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return session{letters}, nil }))
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// session is one SMTP conversation.
type session struct{ letters chan<- string }

func (s session) Mail(string, *smtp.MailOptions) error { return nil }
func (s session) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s session) Reset()                               {}
func (s session) Logout() error                        { return nil }

func (s session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	select {
	case s.letters <- string(content):
		return nil
	default:
		return fmt.Errorf("nobody reads %d letters", cap(s.letters))
	}
}
