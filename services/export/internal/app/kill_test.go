package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
	"tenure/services/connectors/s3"
	"tenure/services/export/internal/app"
	"tenure/services/export/internal/blob"
	"tenure/services/export/internal/manifest"
	"tenure/services/export/internal/store"
	"tenure/shared/eventlog"
	"tenure/shared/pg"
	"tenure/shared/testkit"
)

// workerEnv makes this test program an export worker, which can be killed as none of its goroutines can.
const workerEnv = "TENURE_TEST_EXPORT_WORKER"

// workerConfig is what a worker needs.
type workerConfig struct {
	Database string
	Server   s3.Settings
	Bucket   string
}

func TestMain(m *testing.M) {
	if config := os.Getenv(workerEnv); config != "" {
		if err := work(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// work runs until it is killed.
func work(config string) error {
	var cfg workerConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	ctx := context.Background()
	db, err := pg.Open(ctx, cfg.Database, "export")
	if err != nil {
		return err
	}
	log, err := eventlog.Open(ctx, db, eventlog.Config{Service: "export"})
	if err != nil {
		return err
	}
	blobs, err := blob.Open(ctx, blob.Settings{Server: cfg.Server, Bucket: cfg.Bucket})
	if err != nil {
		return err
	}
	tenants, err := openTenants(ctx, cfg.Database)
	if err != nil {
		return err
	}
	return app.New(db, log, blobs, []connectors.Connector{tenants}, app.Config{
		Day: 24 * time.Hour, Workers: 1, Lease: 3 * time.Second, Poll: 10 * time.Millisecond,
	}).Run(ctx)
}

// openTenants connects the tables of makeTenants.
func openTenants(ctx context.Context, database string) (*postgres.Store, error) {
	return postgres.Open(ctx, "app", postgres.Config{URL: database, Tables: []postgres.Table{
		{Name: "app.documents", Tenant: "tenant_id", Key: []string{"id"}, Kind: "documents", Columns: []string{"id", "content", "version"}},
		{Name: "app.vectors", Tenant: "tenant_id", Key: []string{"id"}, Kind: "vectors", Columns: []string{"id", "values"}},
	}})
}

const (
	documents = 50_000
	vectors   = 100_000
)

// makeTenants fills tables with text and numbers that hardly compress, for some 8 parts of an archive.
const makeTenants = `
	CREATE SCHEMA app;
	CREATE TABLE app.documents (tenant_id text, id int, content text, version int NOT NULL DEFAULT 0, PRIMARY KEY (tenant_id, id));
	CREATE TABLE app.vectors (tenant_id text, id int, values real[], PRIMARY KEY (tenant_id, id));
	CREATE TABLE app.history (id int, version int, gone boolean NOT NULL, at xid8 NOT NULL DEFAULT pg_current_xact_id());
	INSERT INTO app.documents SELECT 'acme', n, (SELECT string_agg(md5(n || '/' || i), '') FROM generate_series(1, 44) AS i)
		FROM generate_series(1, %d) AS n;
	INSERT INTO app.vectors SELECT 'acme', n, (SELECT array_agg(random()) FROM generate_series(1, 96) AS i WHERE n > 0)
		FROM generate_series(1, %d) AS n;
	INSERT INTO app.history (id, version, gone) SELECT id, 0, false FROM app.documents;
	ANALYZE app.documents; ANALYZE app.vectors`

// worker is a process that works at exports.
type worker struct {
	*exec.Cmd
}

func (b *bench) spawn(t *testing.T) worker {
	t.Helper()
	config, err := json.Marshal(workerConfig{Database: b.db.Config().ConnString(), Server: b.server, Bucket: b.bucket})
	check(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerEnv+"="+string(config))
	cmd.Stderr = os.Stderr
	check(t, cmd.Start())
	w := worker{cmd}
	t.Cleanup(w.kill)
	return w
}

// kill is kill -9. It may be called twice.
func (w worker) kill() {
	_ = w.Process.Kill()
	_ = w.Wait()
}

// killAt lets a worker come to so many checkpoints, and kills it.
func (b *bench) killAt(t *testing.T, checkpoints int) {
	t.Helper()
	w := b.spawn(t)
	testkit.WaitFor(t, patience, fmt.Sprintf("%d checkpoints", checkpoints), func() bool {
		var stored int
		check(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM checkpoints`).Scan(&stored))
		return stored >= checkpoints
	})
	w.kill()
}

// TestKilledThreeTimes kills the exporter of a real database three times, and holds the archive against one that nobody
// interrupted.
func TestKilledThreeTimes(t *testing.T) {
	b := newBench(t)
	_, err := b.db.Exec(t.Context(), fmt.Sprintf(makeTenants, documents, vectors))
	check(t, err)
	b.enqueueAt(t, "killed")
	for n := range 3 {
		b.killAt(t, n+1)
	}
	last := b.spawn(t)
	job := b.waitFor(t, "killed", store.Completed)
	b.enqueueAt(t, "calm")
	b.waitFor(t, "calm", store.Completed)
	last.kill()

	killed, calm := b.object(t, "killed"), b.object(t, "calm")
	if !equal(packed(t, killed), packed(t, calm)) {
		t.Error("the archives have other bytes")
	}
	var m manifest.Manifest
	check(t, json.Unmarshal(job.Manifest, &m))
	for kind, want := range map[string]int{"documents": documents, "vectors": vectors} {
		ids := map[float64]bool{}
		for _, row := range rowsOf(t, killed, kind) {
			ids[row["id"].(float64)] = true
		}
		if len(ids) != want || m.ActualCounts[kind] != int64(want) || m.ExpectedCounts[kind] != int64(want) {
			t.Errorf("%d ids of %s, not %d; the manifest has %v", len(ids), kind, want, m.ActualCounts)
		}
	}
	stores := map[string]int{}
	for _, s := range m.Stores {
		stores[s.Name]++
	}
	if stores["app"] != 1 || stores["tenure"] != 1 {
		t.Errorf("the watermarks are %+v", m.Stores)
	}
	t.Logf("redone: %d of %d MB, after three kills", job.RedoneBytes/1e6, job.ContentBytes/1e6)
	if job.Epoch < 4 || job.RedoneBytes > job.ContentBytes*3/2 {
		t.Errorf("the job is %+v", job)
	}
	b.checkTidy(t)
}

// rowsOf are the rows of a kind.
func rowsOf(t *testing.T, object []byte, kind string) (rows []map[string]any) {
	t.Helper()
	for _, line := range archived(t, object, kind) {
		var row map[string]any
		check(t, json.Unmarshal([]byte(line), &row))
		rows = append(rows, row)
	}
	return rows
}

// TestKilledAmidWrites changes, adds and removes documents at full speed while an export is written, and kills it twice. The
// archive is the state at the watermark in its manifest, by a history of all that was written: PostgreSQL tells of each
// transaction whether a snapshot sees it.
func TestKilledAmidWrites(t *testing.T) {
	b := newBench(t)
	_, err := b.db.Exec(t.Context(), fmt.Sprintf(makeTenants, 40_000, 30_000))
	check(t, err)
	writing, stop := context.WithCancel(t.Context())
	writers, written := b.write(writing, 2)
	b.enqueueAt(t, "exp_1")
	for n := range 2 {
		b.killAt(t, n+1)
	}
	b.spawn(t)
	job := b.waitFor(t, "exp_1", store.Completed)
	stop()
	check(t, writers.Wait())
	t.Logf("%d transactions meanwhile", written.Load())

	var m manifest.Manifest
	check(t, json.Unmarshal(job.Manifest, &m))
	snapshot, _, _ := strings.Cut(m.Stores[0].Position, "@")
	rows, err := b.db.Query(t.Context(), `SELECT id, version FROM (SELECT DISTINCT ON (id) id, version, gone FROM app.history
		WHERE pg_visible_in_snapshot(at, $1::text::pg_snapshot) ORDER BY id, version DESC) AS state WHERE NOT gone`, snapshot)
	check(t, err)
	want := map[int]int{}
	var id, version int
	_, err = pgx.ForEachRow(rows, []any{&id, &version}, func() error { want[id] = version; return nil })
	check(t, err)
	got := rowsOf(t, b.object(t, "exp_1"), "documents")
	wrong := 0
	for _, row := range got {
		id, version := int(row["id"].(float64)), int(row["version"].(float64))
		if at, there := want[id]; !there || at != version {
			wrong++
		}
		delete(want, id)
	}
	if wrong > 0 || len(want) > 0 {
		t.Errorf("%d of %d documents are not of the watermark, %d are missing", wrong, len(got), len(want))
	}
	if written.Load() < 100 {
		t.Error("hardly anything was written meanwhile")
	}
}

// write changes documents until ctx ends, and notes each change in the same transaction.
func (b *bench) write(ctx context.Context, writers int) (*errgroup.Group, *atomic.Int64) {
	var g errgroup.Group
	var written atomic.Int64
	for n := range writers {
		g.Go(func() error {
			random := rand.New(rand.NewPCG(uint64(n), 0))
			for next := 1_000_000 * (n + 1); ctx.Err() == nil; next++ {
				err := pg.WithTx(ctx, b.db, func(tx pgx.Tx) error {
					_, err := tx.Exec(ctx, `WITH changed AS (UPDATE app.documents SET version = version + 1 WHERE tenant_id = 'acme' AND id = $1 RETURNING id, version)
						INSERT INTO app.history SELECT id, version, false FROM changed`, 1+random.IntN(40_000))
					if err == nil {
						_, err = tx.Exec(ctx, `WITH added AS (INSERT INTO app.documents VALUES ('acme', $1, 'new') RETURNING id)
							INSERT INTO app.history SELECT id, 0, false FROM added`, next)
					}
					if err == nil {
						_, err = tx.Exec(ctx, `WITH gone AS (DELETE FROM app.documents WHERE tenant_id = 'acme' AND id = $1 RETURNING id, version)
							INSERT INTO app.history SELECT id, version + 1, true FROM gone`, 1+random.IntN(40_000))
					}
					return err
				})
				if err != nil && ctx.Err() == nil {
					return err
				}
				written.Add(1)
			}
			return nil
		})
	}
	return &g, &written
}

// moody stands before an S3 server, and answers every fifth call with 503.
func moody(t *testing.T, endpoint string) (proxied string, refused *atomic.Int64) {
	t.Helper()
	target, err := url.Parse(endpoint)
	check(t, err)
	var calls atomic.Int64
	refused = &atomic.Int64{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%5 == 0 {
			refused.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, refused
}

func TestS3RefusesEveryFifthCall(t *testing.T) {
	b := newBench(t)
	direct := b.server.Endpoint
	endpoint, refused := moody(t, direct)
	b.server.Endpoint = endpoint
	stop := b.start(t, newSteady(12))
	b.enqueueAt(t, "exp_1")
	job := b.waitFor(t, "exp_1", store.Completed)
	if job.Failures != 0 || refused.Load() < 3 {
		t.Errorf("%d calls were refused; the job is %+v", refused.Load(), job)
	}
	stop()
	b.server.Endpoint = direct
	b.checkTidy(t)
}

// TestAStoreAndS3AreAway takes away a tenant's database and S3 for some seconds each while an export is written. How long does
// not matter: what waits counts no failure.
func TestAStoreAndS3AreAway(t *testing.T) {
	b := newBench(t)
	_, err := b.db.Exec(t.Context(), fmt.Sprintf(makeTenants, 20_000, 10_000))
	check(t, err)
	ofTenants, database := testkit.ProxyURL(t, b.db.Config().ConnString())
	ofS3, endpoint := testkit.ProxyURL(t, b.server.Endpoint)
	direct := b.server.Endpoint
	b.server.Endpoint = endpoint
	tenants, err := openTenants(t.Context(), database)
	check(t, err)
	defer tenants.Close()
	stop := b.start(t, tenants)
	b.enqueueAt(t, "exp_1")
	for _, away := range []*testkit.Proxy{ofTenants, ofS3} {
		testkit.WaitFor(t, patience, "the export runs", func() bool { return b.job(t, "exp_1").Status == store.Running })
		away.Down()
		testkit.WaitFor(t, patience, "the export waits", func() bool {
			job := b.job(t, "exp_1")
			return job.Status == store.Pending && job.Error != "" || job.Status == store.Completed
		})
		away.Up()
	}
	job := b.waitFor(t, "exp_1", store.Completed)
	if job.Failures != 0 || job.Epoch < 2 {
		t.Errorf("the job is %+v", job)
	}
	stop()
	b.server.Endpoint = direct
	b.checkTidy(t)
}
