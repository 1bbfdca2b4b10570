package export_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors/s3"
	"tenure/services/connectors/s3/s3test"
	"tenure/services/export"
	"tenure/services/export/verify"
	"tenure/shared/bus"
	"tenure/shared/bus/bustest"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/pg"
	"tenure/shared/runner"
	"tenure/shared/testkit"
)

// patience is for a busy machine; nothing waits that long.
const patience = 60 * time.Second

// app are the tables of a SaaS, and dataMap what it says of them.
const (
	app = `
	CREATE SCHEMA app;
	CREATE TABLE app.documents (tenant_id text, id text, name text, content text, metadata jsonb, created_at timestamptz,
		PRIMARY KEY (tenant_id, id));
	CREATE TABLE app.vectors (tenant_id text, id text, values real[], metadata jsonb, PRIMARY KEY (tenant_id, id));
	CREATE TABLE app.usage (tenant_id text, id text, metric text, quantity float8, time timestamptz, PRIMARY KEY (tenant_id, id));`
	dataMap = `
stores:
  - name: app
    postgres:
      url_env: APP_DATABASE_URL
      tables:
        - {table: app.documents, tenant: tenant_id, key: [id], kind: documents, columns: [id, name, content, metadata, created_at]}
        - {table: app.vectors, tenant: tenant_id, key: [id], kind: vectors, columns: [id, values, metadata]}
        - {table: app.usage, tenant: tenant_id, key: [id], kind: usage, columns: [id, metric, quantity, time]}
`
)

// world is the export service as production runs it, with the logs of its neighbours to write to.
type world struct {
	t         *testing.T
	db        *pgxpool.Pool
	environ   runner.Environ
	s3        *testkit.Proxy
	client    *awss3.Client
	bucket    string
	lifecycle *eventlog.Log
	billing   *eventlog.Log
	base      string
}

// newWorld starts the service, with settings beside the usual as pairs of name and value.
func newWorld(t *testing.T, settings ...string) *world {
	t.Helper()
	return newWorldOf(t, dataMap, settings...)
}

// newWorldOf is newWorld with another data map.
func newWorldOf(t *testing.T, dataMap string, settings ...string) *world {
	t.Helper()
	url, nats := testkit.Postgres(t), testkit.NATS(t)
	db, err := pgxpool.New(t.Context(), url)
	check(t, err)
	t.Cleanup(db.Close)
	_, err = db.Exec(t.Context(), app)
	check(t, err)

	w := &world{t: t, db: db}
	w.client, w.bucket = s3test.Bucket(t)
	server := s3test.Settings(t)
	proxy, endpoint := testkit.ProxyURL(t, server.Endpoint)
	w.s3 = proxy
	path := filepath.Join(t.TempDir(), "datamap.yaml")
	check(t, os.WriteFile(path, []byte(dataMap), 0o600))
	w.environ = runner.Environ{
		"TENURE_ENV": "dev", "DATABASE_URL": url, "NATS_URL": nats.URL(), "TENURE_HTTP_ADDR": freeAddr(t),
		"TENURE_DATAMAP": path, "APP_DATABASE_URL": url, "TENURE_S3_BUCKET": w.bucket,
		"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": server.Region,
		"AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey,
	}
	for pair := range slices.Chunk(settings, 2) {
		w.environ[pair[0]] = pair[1]
	}
	w.base = "http://" + w.environ["TENURE_HTTP_ADDR"]
	w.start()
	w.lifecycle, w.billing = w.newLog(url, "lifecycle"), w.newLog(url, "billing")
	return w
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().String()
}

// start runs the service until the test ends.
func (w *world) start() {
	w.t.Helper()
	bustest.Streams(w.t, w.environ["NATS_URL"])
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- runner.Run(ctx, w.environ, func() { close(ready) }, runner.Named{Name: "export", New: export.New})
	}()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the service ended: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		w.t.Fatalf("the service did not start: %v", err)
	}
}

// newLog is a neighbour's log, published as the neighbour does.
func (w *world) newLog(url, service string) *eventlog.Log {
	w.t.Helper()
	check(w.t, pg.CreateSchema(w.t.Context(), url, service))
	db, err := pg.Open(w.t.Context(), url, service)
	check(w.t, err)
	log, err := eventlog.Open(w.t.Context(), db, eventlog.Config{Service: service})
	check(w.t, err)
	b, err := bus.Connect(w.t.Context(), bus.Config{URL: w.environ["NATS_URL"], Name: service})
	check(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- log.Relay(ctx, b) }()
	w.t.Cleanup(func() {
		cancel()
		<-ended
		b.Close()
		db.Close()
	})
	return log
}

// tell appends an event to a neighbour's log.
func (w *world) tell(log *eventlog.Log, tenant string, payload events.Payload) {
	w.t.Helper()
	e, err := events.New(payload, tenant)
	check(w.t, err)
	e.Actor, e.CorrelationID, e.CausationID = "operator:ada", "c-1", "c-1"
	schema := strings.TrimPrefix(log.Source(), "tenure/")
	check(w.t, pg.WithTx(w.t.Context(), w.db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(w.t.Context(), `SET LOCAL search_path = `+schema); err != nil {
			return err
		}
		return log.Append(w.t.Context(), tx, eventlog.Entry{Stream: tenant, Events: []events.Event{e}})
	}))
	log.Kick()
}

var active = events.Change{From: "active", To: "active"}

func (w *world) request(tenant, id string) {
	w.t.Helper()
	w.tell(w.lifecycle, tenant, &events.ExportRequested{Change: events.Change{From: "active", To: "exporting"}, ExportID: id})
}

// shown is the answer of GET /v1/exports/{id}.
type shown struct {
	Status      string    `json:"status"`
	SHA256      string    `json:"sha256"`
	Bytes       int64     `json:"bytes"`
	Error       string    `json:"error"`
	DownloadURL string    `json:"download_url"`
	ExpiresAt   time.Time `json:"expires_at"`
	Progress    struct{ Done, Total int64 }
	Manifest    struct {
		ExpectedCounts map[string]int64 `json:"expected_counts"`
	}
}

func (w *world) get(token, id string) (status int, body string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.base+"/v1/exports/"+id, nil)
	check(w.t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	return w.do(request)
}

func (w *world) do(request *http.Request) (status int, body string) {
	w.t.Helper()
	response, err := http.DefaultClient.Do(request)
	check(w.t, err)
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	check(w.t, err)
	return response.StatusCode, string(all)
}

func (w *world) waitFor(id string, holds func(shown) bool) (last shown) {
	w.t.Helper()
	testkit.WaitFor(w.t, patience, "export "+id, func() bool {
		status, body := w.get("dev", id)
		if status != http.StatusOK {
			return false
		}
		last = shown{}
		check(w.t, json.Unmarshal([]byte(body), &last))
		return holds(last)
	})
	return last
}

func is(status string) func(shown) bool { return func(s shown) bool { return s.Status == status } }

func (w *world) download(link string) (int, []byte) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, link, nil)
	check(w.t, err)
	status, body := w.do(request)
	return status, []byte(body)
}

// lines are the rows of one file of an archive.
func lines(t *testing.T, archive []byte, name string) []string {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	check(t, err)
	f, err := r.Open(name)
	check(t, err)
	content, err := io.ReadAll(f)
	check(t, err)
	if len(content) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.db.Exec(w.t.Context(), sql, args...)
	check(w.t, err)
}

func TestExport(t *testing.T) {
	w := newWorld(t)
	w.exec(`INSERT INTO app.documents SELECT t, 'doc-' || n, 'a name/../' || n, 'line' || chr(10) || n, '{"n": 1}', '2026-03-01T12:00:00Z'
		FROM generate_series(1, 500) AS n, unnest(ARRAY['acme', 'acme-2']) AS t`)
	w.exec(`INSERT INTO app.vectors SELECT 'acme', 'vec-' || n, ARRAY[n, 0.5, -1]::real[], NULL FROM generate_series(1, 300) AS n`)
	w.exec(`INSERT INTO app.usage VALUES ('acme', 'u-1', 'queries', 2, '2026-03-01T12:00:00Z')`)
	w.tell(w.lifecycle, "acme", &events.TenantRegistered{Change: events.Change{To: "active", Reason: "signed \"up\" <é>"}, Plan: "starter", Generation: 1})
	w.tell(w.billing, "acme", &events.SubscriptionCreated{SubscriptionID: "sub_1", Plan: "starter", Status: "active"})
	w.tell(w.billing, "acme", &events.UsageUpdated{Queries: 2})
	w.waitForBilling("acme", 2)
	w.request("acme", "exp-1")

	done := w.waitFor("exp-1", is("completed"))
	if done.Progress.Done != 804 || done.Progress.Total != 804 || time.Until(done.ExpiresAt) < 29*24*time.Hour {
		t.Errorf("the export is %+v", done)
	}
	status, archive := w.download(done.DownloadURL)
	if status != http.StatusOK || int64(len(archive)) != done.Bytes {
		t.Fatalf("the link answers %d with %d bytes", status, len(archive))
	}
	report, err := verify.Archive(bytes.NewReader(archive), int64(len(archive)))
	check(t, err)
	want := map[string]int64{"documents": 500, "vectors": 300, "usage": 1, "billing": 1, "audit": 2}
	for kind, n := range want {
		if report.Counts[kind] != n || done.Manifest.ExpectedCounts[kind] != n {
			t.Errorf("%s: %d in the archive, %d in the record, not %d", kind, report.Counts[kind], done.Manifest.ExpectedCounts[kind], n)
		}
	}
	if got, want := lines(t, archive, "documents/part-00001.ndjson")[0],
		`{"id":"doc-1","name":"a name/../1","content":"line\n1","metadata":{"n": 1},"created_at":"2026-03-01T12:00:00+00:00"}`; got != want {
		t.Errorf("a document is %s, not %s", got, want)
	}
	if got, want := lines(t, archive, "vectors/part-00001.ndjson")[0], `{"id":"vec-1","values":[1,0.5,-1],"metadata":null}`; got != want {
		t.Errorf("a vector is %s, not %s", got, want)
	}
	w.checkTimeline(lines(t, archive, "audit.ndjson"))
	w.checkOwnLog("acme", "export.started", "export.completed")
}

func (w *world) waitForBilling(tenant string, sequence int64) {
	w.t.Helper()
	testkit.WaitFor(w.t, patience, "billing's events are taken", func() bool {
		var at int64
		check(w.t, w.db.QueryRow(w.t.Context(), `SELECT coalesce(max(sequence), 0) FROM export.inbox_positions
			WHERE service = 'billing' AND subject = $1`, tenant).Scan(&at))
		return at == sequence
	})
}

// checkTimeline holds the archive's timeline against the log: the hashes are the log's own, though they never travelled.
func (w *world) checkTimeline(rows []string) {
	w.t.Helper()
	recorded, err := w.lifecycle.Read(w.t.Context(), w.schema("lifecycle"), "acme", 0, 100)
	check(w.t, err)
	for i, r := range recorded {
		var row struct {
			ID        string          `json:"id"`
			EventType string          `json:"event_type"`
			ToState   string          `json:"to_state"`
			Time      time.Time       `json:"time"`
			Data      json.RawMessage `json:"data"`
			Version   int64           `json:"version"`
			Hash      string          `json:"hash"`
		}
		check(w.t, json.Unmarshal([]byte(rows[i]), &row))
		if row.ID != r.ID || row.EventType != r.Type || row.ToState != events.ChangeOf(r.Data).To || !row.Time.Equal(r.Time) ||
			!bytes.Equal(row.Data, r.Data) || row.Version != r.Sequence || row.Hash != fmt.Sprintf("%x", r.Hash) {
			w.t.Errorf("row %d of the timeline is %s, the log has %+v with %x", i, rows[i], r.Event, r.Hash)
		}
	}
}

// schema is a connection that sees the tables of one service.
func (w *world) schema(name string) *pgxpool.Pool {
	w.t.Helper()
	db, err := pg.Open(w.t.Context(), w.environ["DATABASE_URL"], name)
	check(w.t, err)
	w.t.Cleanup(db.Close)
	return db
}

func (w *world) checkOwnLog(tenant string, want ...string) {
	w.t.Helper()
	rows, err := w.db.Query(w.t.Context(), `SELECT type FROM export.log WHERE stream = $1 AND type NOT LIKE '%progressed%' ORDER BY version`, tenant)
	check(w.t, err)
	types, err := pgx.CollectRows(rows, pgx.RowTo[string])
	check(w.t, err)
	var names []string
	for _, eventType := range types {
		_, name := events.SplitType(eventType)
		names = append(names, name)
	}
	if got, want := strings.Join(names, " "), strings.Join(want, " "); got != want {
		w.t.Errorf("the service told %q, not %q", got, want)
	}
}

func TestWhoMaySee(t *testing.T) {
	w := newWorld(t)
	w.request("acme", "exp-1")
	w.waitFor("exp-1", is("completed"))
	if status, body := w.get("dev:acme", "exp-1"); status != http.StatusOK {
		t.Errorf("its own tenant gets %d: %s", status, body)
	}
	foreign, foreignBody := w.get("dev:other", "exp-1")
	unknown, unknownBody := w.get("dev:other", "exp-2")
	if foreign != http.StatusNotFound || unknown != http.StatusNotFound || foreignBody != unknownBody {
		t.Errorf("another tenant gets %d %s for the export and %d %s for one that is not", foreign, foreignBody, unknown, unknownBody)
	}
	if !strings.Contains(foreignBody, `"export_not_found"`) {
		t.Errorf("the problem is %s", foreignBody)
	}
	if status, _ := w.get("wrong", "exp-1"); status != http.StatusUnauthorized {
		t.Errorf("a wrong token gets %d", status)
	}
}

func TestS3GoesAndComesBack(t *testing.T) {
	w := newWorld(t)
	w.s3.Down()
	w.request("acme", "exp-1")
	w.waitFor("exp-1", func(s shown) bool { return s.Status == "pending" && s.Error != "" })
	w.s3.Up()
	if done := w.waitFor("exp-1", is("completed")); done.Error != "" {
		t.Errorf("the export is %+v", done)
	}
}

func TestCancelWhileS3IsDown(t *testing.T) {
	w := newWorld(t)
	w.s3.Down()
	w.request("acme", "exp-1")
	w.waitFor("exp-1", func(s shown) bool { return s.Error != "" })
	w.tell(w.lifecycle, "acme", &events.ExportCancelled{Change: active, ExportID: "exp-1"})
	w.s3.Up()
	w.waitFor("exp-1", is("cancelled"))
	w.checkOwnLog("acme", "export.started", "export.cancelled")
}

func TestExpiry(t *testing.T) {
	w := newWorld(t, "TENURE_RETENTION_UNIT", "50ms")
	w.request("acme", "exp-1")
	done := w.waitFor("exp-1", func(s shown) bool { return s.DownloadURL != "" || s.Status == "expired" })
	w.waitFor("exp-1", func(s shown) bool { return s.Status == "expired" && s.DownloadURL == "" && s.SHA256 != "" })
	if done.DownloadURL != "" {
		if status, _ := w.download(done.DownloadURL); status != http.StatusNotFound && status != http.StatusForbidden {
			t.Errorf("the link answers %d", status)
		}
	}
	w.checkOwnLog("acme", "export.started", "export.completed", "export.expired")
	w.checkEmptyBucket()
}

func (w *world) checkEmptyBucket() {
	w.t.Helper()
	counts, err := s3.Bucket{Client: w.client, Name: w.bucket}.Count(w.t.Context(), "")
	check(w.t, err)
	if counts.Total() != 0 {
		w.t.Errorf("S3 holds %v", counts)
	}
}

func TestPurgeRemovesEverything(t *testing.T) {
	w := newWorld(t)
	w.tell(w.billing, "acme", &events.SubscriptionCreated{SubscriptionID: "sub_1"})
	w.waitForBilling("acme", 1)
	w.request("acme", "exp-1")
	done := w.waitFor("exp-1", is("completed"))
	w.tell(w.lifecycle, "acme", &events.TenantPurged{Change: events.Change{From: "purging", To: "deleted"}, Generation: 1})
	w.waitFor("exp-1", is("expired"))
	if status, _ := w.download(done.DownloadURL); status != http.StatusNotFound {
		t.Errorf("the link answers %d", status)
	}
	w.checkEmptyBucket()
	var left int
	check(t, w.db.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM export.audit) + (SELECT count(*) FROM export.billing)
		+ (SELECT count(*) FROM export.jobs WHERE manifest IS NOT NULL)`).Scan(&left))
	if left != 0 {
		t.Errorf("%d rows of the tenant are left", left)
	}
}

func TestAnIDThatNamesAnotherPlaceIsADeadLetter(t *testing.T) {
	w := newWorld(t)
	w.request("acme", "../other/exp-1")
	testkit.WaitFor(t, patience, "the event is a dead letter", func() bool {
		var n int
		check(t, w.db.QueryRow(t.Context(), `SELECT count(*) FROM bus.dead_letters WHERE consumer = 'export'`).Scan(&n))
		return n == 1
	})
	w.request("other", "exp-2")
	w.waitFor("exp-2", is("completed"))
}
