package e2e

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenure/shared/client"
	"tenure/shared/pgserver"
	"tenure/shared/testkit"
)

const (
	exportSeed = 20261122
	// exportDocuments and exportVectors are the rows of the tenant that is exported while everything is killed.
	exportDocuments, exportVectors = 50_000, 100_000
	exportBytesEach                = 2000
	exportKills                    = 3
	// exportShareKnob is the share of these rows that there are, for slow machines: 0.1 is a tenth.
	exportShareKnob = "TENURE_TEST_EXPORT_SHARE"
)

// exportSize is how many documents and vectors are exported.
func exportSize(t *testing.T) (documents, vectors int) {
	t.Helper()
	share := 1.0
	if knob := os.Getenv(exportShareKnob); knob != "" {
		var err error
		share, err = strconv.ParseFloat(knob, 64)
		require.NoError(t, err, exportShareKnob)
	}
	return int(exportDocuments * share), int(exportVectors * share)
}

// TestKillMinusNineDuringAnExport kills the whole of `tenure dev` three times while it exports a tenant in which nothing
// changes. The archive is complete, and its documents and vectors are byte by byte those of an archive that nobody
// interrupted; the tenant's timeline and its bills tell of the exports themselves, and so differ. PostgreSQL dies, too, and of
// one that was started again nothing is believed to be as it was: so all is read again each time. What stays when the exporter
// alone is killed, TestKilledThreeTimes of the export service tells.
func TestKillMinusNineDuringAnExport(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.signUp("acme", "enterprise")
	documents, vectors := exportSize(t)
	s.seed("acme", documents, exportBytesEach, vectors)
	db := s.database()

	began := time.Now()
	export, err := s.api.RequestExport(s.context(time.Minute), "acme", client.ExportRequest{})
	require.NoError(t, err)
	calm := s.download(s.exported(export.ID))
	took := time.Since(began)

	export, err = s.api.RequestExport(s.context(time.Minute), "acme", client.ExportRequest{})
	require.NoError(t, err)
	s.killDuring(db, export.ID)
	killed := s.download(s.exported(export.ID))

	for kind, n := range map[string]int{"documents": documents, "vectors": vectors} {
		ids := killed.ids(kind)
		require.Len(t, ids, n, kind)
		require.Len(t, slices.Compact(ids), n, "distinct ids of the %s", kind)
		want := calm.packed(kind)
		require.True(t, maps.EqualFunc(want, killed.packed(kind), bytes.Equal), "the %s have other bytes than without a kill", kind)
		t.Logf("%d %s in %d files", n, kind, len(want))
	}
	names := killed.names()
	slices.Sort(names)
	require.Len(t, slices.Compact(names), len(killed.zip.File), "names are unique")
	stores := map[string]bool{}
	for _, store := range killed.watermarks() {
		require.False(t, stores[store.Name], "%s was read at two watermarks", store.Name)
		stores[store.Name] = true
	}
	require.Contains(t, stores, "sample")
	s.checkExports("acme", 2)

	redone := count(t, db, `SELECT redone_bytes FROM export.jobs WHERE export_id = $1`, export.ID)
	t.Logf("%d MB, in %s without a kill; %d kills had %d MB read again", killed.Bytes>>20, took.Round(time.Millisecond), exportKills, redone>>20)
}

// killDuring kills everything three times while rows of an export are read: each time at a random row, and when one more
// checkpoint was stored than the time before.
func (s *system) killDuring(db *pgxpool.Pool, id string) {
	s.t.Helper()
	dice := rand.New(rand.NewPCG(exportSeed, 2))
	for kill := range exportKills {
		row := 1 + dice.IntN(5000)
		testkit.WaitFor(s.t, time.Minute, "the export to be in the middle", func() bool {
			var checkpoints, copied int
			var status string
			err := db.QueryRow(s.context(10*time.Second), `SELECT status, (SELECT count(*) FROM export.checkpoints WHERE export_id = $1),
				(SELECT coalesce(sum(tuples_processed), 0) FROM pg_stat_progress_copy) FROM export.jobs WHERE export_id = $1`, id).
				Scan(&status, &checkpoints, &copied)
			if errors.Is(err, pgx.ErrNoRows) {
				return false // the export service has not heard of it yet
			}
			require.NoError(s.t, err)
			require.Contains(s.t, []string{"pending", "running"}, status, "it is too late for kill %d", kill+1)
			return checkpoints >= kill && copied >= row
		})
		s.kill()
		s.launch()
		db.Reset() // those connections are broken
	}
}

// checkExports holds that a tenant has so many archives in S3, and that no upload was left behind.
func (s *system) checkExports(tenant string, archives int) {
	s.t.Helper()
	objects, uploads := s.objects(s.context(time.Minute), "exports/"+tenant+"/")
	require.Len(s.t, objects, archives, "archives")
	require.Empty(s.t, uploads, "uploads that nobody ends")
}

// TestAnExportAmidWritesIsOneState exports a tenant while writers insert, change and remove rows as fast as they can. The
// archive holds the rows of its watermark and no others: those that pg_dump copies under the same snapshot.
func TestAnExportAmidWritesIsOneState(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.signUp("acme", "enterprise")
	s.seed("acme", 10_000, 2000, 10_000)
	db := s.database()
	commits, stop := s.writeAtFullSpeed(db, "acme")
	ctx := s.context(2 * time.Minute)
	before := commits.Load()
	export, err := s.api.RequestExport(ctx, "acme", client.ExportRequest{})
	require.NoError(t, err)
	held := s.holdSnapshots(ctx)
	archive := s.download(s.exported(export.ID))
	during := commits.Load() - before
	stop()

	watermarks := archive.watermarks()
	i := slices.IndexFunc(watermarks, func(w watermark) bool { return w.Name == "sample" })
	position, _, _ := strings.Cut(watermarks[i].Position, "@")
	at := held[position]
	require.NotNil(t, at, "nobody held the snapshot %s of the archive, but %v", position, held)
	copied := s.dump(ctx, db, at.id)
	changed := false
	for kind, query := range map[string]string{
		"documents": `SELECT row_to_json(r)::text FROM (SELECT id, name, content, metadata, created_at FROM sample.documents WHERE tenant_id = 'acme') r`,
		"vectors":   `SELECT row_to_json(r)::text FROM (SELECT id, values, metadata FROM sample.vectors WHERE tenant_id = 'acme') r`,
	} {
		want := readRows(ctx, t, copied, query)
		require.True(t, slices.Equal(want, archive.rows(kind)), "the %s are others than those that pg_dump copied", kind)
		changed = changed || !slices.Equal(want, readRows(ctx, t, db, query))
	}
	require.True(t, changed, "the writers changed nothing")
	require.Greater(t, during, int64(50), "the writers stood still")
	t.Logf("%d transactions committed during the export", during)
}

// writeAtFullSpeed begins to write rows of a tenant until stop is called. commits counts what was committed.
func (s *system) writeAtFullSpeed(db *pgxpool.Pool, tenant string) (commits *atomic.Int64, stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	commits = &atomic.Int64{}
	var writers sync.WaitGroup
	for w := range 3 {
		dice := rand.New(rand.NewPCG(exportSeed, uint64(10+w)))
		writers.Go(func() {
			for ctx.Err() == nil {
				if changeRows(ctx, db, tenant, 0.5+dice.Float32()) == nil {
					commits.Add(1)
				}
			}
		})
	}
	stop = sync.OnceFunc(func() { cancel(); writers.Wait() })
	s.t.Cleanup(stop)
	testkit.WaitFor(s.t, time.Minute, "the writers' first commits", func() bool { return commits.Load() > 5 })
	return commits, stop
}

// changeRows inserts, changes and removes rows of a tenant in one transaction, taken from some percent of the tables' pages, so
// that over time each file of an archive has some.
func changeRows(ctx context.Context, db *pgxpool.Pool, tenant string, percent float32) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		for _, statement := range []string{
			`INSERT INTO sample.documents (tenant_id, capacity, id, name, content)
				SELECT $1, capacity, id || random(), 'written', repeat('w', 1000)
				FROM sample.documents TABLESAMPLE SYSTEM ($2) WHERE tenant_id = $1 LIMIT 3`,
			`UPDATE sample.documents SET content = 'changed ' || random() WHERE tenant_id = $1 AND (id, capacity) IN
				(SELECT id, capacity FROM sample.documents TABLESAMPLE SYSTEM ($2) WHERE tenant_id = $1 LIMIT 3)`,
			`DELETE FROM sample.documents WHERE tenant_id = $1 AND (id, capacity) IN
				(SELECT id, capacity FROM sample.documents TABLESAMPLE SYSTEM ($2) WHERE tenant_id = $1 LIMIT 1)`,
			`UPDATE sample.vectors SET metadata = to_jsonb(random()) WHERE tenant_id = $1 AND (id, capacity) IN
				(SELECT id, capacity FROM sample.vectors TABLESAMPLE SYSTEM ($2) WHERE tenant_id = $1 LIMIT 3)`,
		} {
			if _, err := tx.Exec(ctx, statement, tenant, percent); err != nil {
				return err
			}
		}
		return nil
	})
}

// heldSnapshot is another's snapshot that we have joined, and share under an id of our own: it lives as long as tx does.
type heldSnapshot struct {
	tx pgx.Tx
	id string
}

// holdSnapshots joins the snapshots that others share at the moment, and waits until there is one. They are found by PostgreSQL's
// own name of the state that they see.
func (s *system) holdSnapshots(ctx context.Context) map[string]*heldSnapshot {
	s.t.Helper()
	held := map[string]*heldSnapshot{}
	conn, err := pgx.Connect(ctx, s.at.Postgres)
	require.NoError(s.t, err)
	defer conn.Close(ctx)
	testkit.WaitFor(s.t, time.Minute, "the export's snapshot", func() bool {
		rows, err := conn.Query(ctx, `SELECT pg_ls_dir('pg_snapshots')`)
		require.NoError(s.t, err)
		shared, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(s.t, err)
		for _, id := range shared {
			s.hold(ctx, id, held)
		}
		return len(held) > 0
	})
	return held
}

// hold joins one snapshot, unless it is gone already.
func (s *system) hold(ctx context.Context, id string, held map[string]*heldSnapshot) {
	s.t.Helper()
	conn, err := pgx.Connect(ctx, s.at.Postgres)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	require.NoError(s.t, err)
	if _, err := tx.Exec(ctx, `SET TRANSACTION SNAPSHOT '`+id+`'`); err != nil {
		return
	}
	h, position := &heldSnapshot{tx: tx}, ""
	require.NoError(s.t, tx.QueryRow(ctx, `SELECT pg_current_snapshot()::text, pg_export_snapshot()`).Scan(&position, &h.id))
	held[position] = h
}

// dump copies the sample's tables with pg_dump, as they are in a snapshot, into a database of their own.
func (s *system) dump(ctx context.Context, db *pgxpool.Pool, snapshot string) *pgxpool.Pool {
	s.t.Helper()
	_, err := db.Exec(ctx, `CREATE DATABASE copied`)
	require.NoError(s.t, err)
	cfg, err := pgxpool.ParseConfig(s.at.Postgres)
	require.NoError(s.t, err)
	cfg.ConnConfig.Database = "copied"
	url := strings.Replace(s.at.Postgres, "/"+db.Config().ConnConfig.Database, "/copied", 1)
	file := filepath.Join(s.t.TempDir(), "dump")
	s.run(ctx, "pg_dump", "--snapshot="+snapshot, "--schema=sample", "--format=custom", "--compress=0", "--file="+file, s.at.Postgres)
	s.run(ctx, "pg_restore", "--no-owner", "--exit-on-error", "--dbname="+url, file)
	copied, err := pgxpool.NewWithConfig(ctx, cfg)
	require.NoError(s.t, err)
	s.t.Cleanup(copied.Close)
	return copied
}

// run runs a program of PostgreSQL's, of the server's own version where that is installed with its clients.
func (s *system) run(ctx context.Context, program string, args ...string) {
	s.t.Helper()
	server, err := pgserver.Find(ctx)
	require.NoError(s.t, err)
	path := filepath.Join(server.Dir, program)
	if _, err := os.Stat(path); err != nil {
		path, err = exec.LookPath(program)
		require.NoError(s.t, err, "install PostgreSQL's clients (postgresql-client)")
	}
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	require.NoError(s.t, err, "%s: %s", program, out)
}

// readRows are the answers of a query of one column, sorted as Go sorts.
func readRows(ctx context.Context, t *testing.T, db *pgxpool.Pool, query string) []string {
	t.Helper()
	var rows []string
	require.NoError(t, pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL TimeZone = 'UTC'`); err != nil {
			return err
		}
		found, err := tx.Query(ctx, query)
		if err != nil {
			return err
		}
		rows, err = pgx.CollectRows(found, pgx.RowTo[string])
		return err
	}))
	slices.Sort(rows)
	return rows
}
