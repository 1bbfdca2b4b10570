package importer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
	"tenure/services/export/importer"
	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/archivetest"
	"tenure/services/export/internal/manifest"
	"tenure/shared/testkit"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tables of a SaaS: ids of each form, global and per tenant, and references of each to another.
const tables = `
CREATE TABLE folders (tenant_id text NOT NULL, id uuid PRIMARY KEY, parent uuid REFERENCES folders, name text);
CREATE TABLE documents (tenant_id text NOT NULL, id uuid PRIMARY KEY, folder uuid NOT NULL REFERENCES folders, number bigint, content text);
CREATE TABLE vectors (tenant_id text NOT NULL, id text PRIMARY KEY, document uuid REFERENCES documents, values real[], metadata jsonb);
CREATE TABLE usage (tenant_id text NOT NULL, id bigserial PRIMARY KEY, metric text, quantity float8);`

// app is the SaaS's database, and its stores as the data map has them: children before those they refer to.
func app(t *testing.T) (db *pgxpool.Pool, stores []connectors.Connector) {
	t.Helper()
	db, err := pgxpool.New(t.Context(), testkit.Postgres(t))
	check(t, err)
	t.Cleanup(db.Close)
	_, err = db.Exec(t.Context(), tables)
	check(t, err)
	tenant, key := "tenant_id", []string{"id"}
	return db, []connectors.Connector{postgres.New("app", db, []postgres.Table{
		{Name: "vectors", Tenant: tenant, Key: key, Kind: "vectors", Columns: []string{"id", "document", "values", "metadata"}, References: []string{"document"}},
		{Name: "documents", Tenant: tenant, Key: key, Kind: "documents", Columns: []string{"id", "folder", "number", "content"}, References: []string{"folder"}},
		{Name: "folders", Tenant: tenant, Key: key, Kind: "documents", Columns: []string{"id", "parent", "name"}, References: []string{"parent"}},
		{Name: "usage", Tenant: tenant, Key: key, Kind: "usage", Columns: []string{"id", "metric", "quantity"}},
	})}
}

// seed gives a tenant rows in which each refers to an earlier one.
func seed(t *testing.T, db *pgxpool.Pool, tenant string) {
	t.Helper()
	for _, sql := range []string{
		`INSERT INTO folders SELECT $1, md5($1 || 'f' || n)::uuid, CASE WHEN n > 1 THEN md5($1 || 'f' || n / 2)::uuid END, 'folder ' || n FROM generate_series(1, 600) n`,
		`INSERT INTO documents SELECT $1, md5($1 || 'd' || n)::uuid, md5($1 || 'f' || 1 + n % 600)::uuid, n, 'line' || chr(10) || n FROM generate_series(1, 1500) n`,
		`INSERT INTO vectors SELECT $1, $1 || '-' || md5($1 || 'd' || n)::uuid || '#1', md5($1 || 'd' || n)::uuid, ARRAY[n, 0.1, -1e-7]::real[], '{"n": 1}' FROM generate_series(1, 700) n`,
		`INSERT INTO usage (tenant_id, metric, quantity) SELECT $1, 'queries', n FROM generate_series(1, 10) n`,
	} {
		_, err := db.Exec(t.Context(), sql, tenant)
		check(t, err)
	}
}

// lines is a connectors.Sink.
type lines struct {
	row  []byte
	rows []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.row = append(l.row, p...)
	return len(p), nil
}

func (l *lines) EndRow() error {
	l.rows, l.row = append(l.rows, string(l.row)), nil
	return nil
}

// export makes an archive of what the stores have of a tenant, one file for each range.
func export(t *testing.T, stores []connectors.Connector, tenant string) (files []archivetest.File) {
	t.Helper()
	for _, kind := range manifest.Kinds()[:3] {
		n, cuts := 0, 3
		if !manifest.Parted(kind) {
			cuts = 1
		}
		for _, s := range stores {
			snapshot, err := s.Snapshot(t.Context(), connectors.Tenant(tenant), time.Time{})
			check(t, err)
			ranges, err := snapshot.Ranges(t.Context(), kind, cuts)
			check(t, err)
			for _, r := range ranges {
				var to lines
				check(t, snapshot.Read(t.Context(), r, &to))
				n++
				form := manifest.Form{Parquet: kind == "usage"}
				files = append(files, archivetest.File{Name: manifest.FileName(kind, n, 1, form), Store: s.Name(), Rows: to.rows})
			}
			snapshot.Close()
		}
	}
	return append(files,
		archivetest.File{Name: "billing.ndjson", Rows: []string{`{"event_type":"x"}`}},
		archivetest.File{Name: "audit.ndjson", Rows: []string{`{"id":"acme.1"}`, `{"id":"acme.2"}`}})
}

func open(t *testing.T, files []archivetest.File) *importer.Archive {
	t.Helper()
	body := archivetest.Write(t, archive.Options{}, files, nil)
	a, err := importer.Open(bytes.NewReader(body), int64(len(body)), nil)
	check(t, err)
	return a
}

// content is the rows of an archive that are loaded, sorted, with their ids mapped.
func content(t *testing.T, files []archivetest.File, ids connectors.IDs) (rows []string) {
	t.Helper()
	for _, f := range files {
		if kind := manifest.KindOf(f.Name); kind == manifest.Audit || kind == manifest.Billing {
			continue
		}
		for _, row := range f.Rows {
			fields := map[string]any{}
			decoder := json.NewDecoder(strings.NewReader(row))
			decoder.UseNumber()
			check(t, decoder.Decode(&fields))
			for _, column := range []string{"id", "parent", "folder", "document"} {
				switch old := fields[column].(type) {
				case string:
					fields[column] = ids.Map(old)
				case json.Number:
					fields[column] = json.Number(ids.Map(old.String()))
				}
			}
			line, err := json.Marshal(fields)
			check(t, err)
			rows = append(rows, string(line))
		}
	}
	slices.Sort(rows)
	return rows
}

// same maps nothing.
type same struct{}

func (same) Map(old string) string { return old }

// TestATenantMovesToAnother exports a tenant, loads the archive into a fresh one in the very tables that the old one is in, and
// exports that: the same rows, by other ids, which refer to each other as before.
func TestATenantMovesToAnother(t *testing.T) {
	db, stores := app(t)
	seed(t, db, "acme")
	before := export(t, stores, "acme")
	var progress int64
	plan, err := open(t, before).Load(t.Context(), stores, "fresh", importer.Options{Progress: func(rows, total int64) {
		if total != 2810 || rows > total {
			t.Errorf("progress is %d of %d", rows, total)
		}
		progress = rows
	}})
	check(t, err)
	if plan.Rows() != 2810 || progress != 2810 {
		t.Errorf("the plan has %d rows, %d were read", plan.Rows(), progress)
	}
	got := content(t, export(t, stores, "fresh"), same{})
	want := content(t, before, importer.NewIDs("fresh"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the new tenant's rows differ (-want +got):\n%.2000s", diff)
	}
	if diff := cmp.Diff(content(t, before, same{}), content(t, export(t, stores, "acme"), same{})); diff != "" {
		t.Errorf("the old tenant's rows have changed:\n%.2000s", diff)
	}
}

// breaking is a store that fails in the n-th load, as a crash would end it.
type breaking struct {
	connectors.Connector
	left int
}

var errBroken = errors.New("broken off")

func (b *breaking) Load(ctx context.Context, tenant, kind string, rows []json.RawMessage, ids connectors.IDs) (int64, error) {
	if b.left--; b.left < 0 {
		return 0, errBroken
	}
	return b.Connector.(connectors.Loader).Load(ctx, tenant, kind, rows, ids)
}

func TestAnImportThatBreaksOffIsBegunAgain(t *testing.T) {
	db, stores := app(t)
	seed(t, db, "acme")
	before := export(t, stores, "acme")
	a := open(t, before)
	for left := range 9 {
		broken := []connectors.Connector{&breaking{stores[0], left}}
		if _, err := a.Load(t.Context(), broken, "fresh", importer.Options{Resume: true}); !errors.Is(err, errBroken) {
			t.Fatalf("after %d batches: %v", left, err)
		}
	}
	if _, err := a.Load(t.Context(), stores, "fresh", importer.Options{}); !errors.Is(err, importer.ErrNotEmpty) {
		t.Errorf("without a word about what is there: %v", err)
	}
	_, err := a.Load(t.Context(), stores, "fresh", importer.Options{Resume: true})
	check(t, err)
	_, err = a.Load(t.Context(), stores, "fresh", importer.Options{Resume: true})
	check(t, err)
	if diff := cmp.Diff(content(t, before, importer.NewIDs("fresh")), content(t, export(t, stores, "fresh"), same{})); diff != "" {
		t.Errorf("the new tenant's rows differ (-want +got):\n%.2000s", diff)
	}
}

func TestOnlyAFreshTenant(t *testing.T) {
	db, stores := app(t)
	seed(t, db, "acme")
	a := open(t, export(t, stores, "acme"))
	_, err := a.Load(t.Context(), stores, "acme", importer.Options{})
	if !errors.Is(err, importer.ErrNotEmpty) || !strings.Contains(err.Error(), "2100 documents in app, 10 usage in app, 700 vectors in app") {
		t.Errorf("error is %v", err)
	}
	if _, err := a.Load(t.Context(), stores, "../acme", importer.Options{}); err == nil {
		t.Error("a tenant that cannot be was taken")
	}
}

func TestRowsThatAnotherTenantHas(t *testing.T) {
	db, stores := app(t)
	a := open(t, []archivetest.File{{Name: "vectors/part-00001.ndjson", Store: "app", Rows: []string{`{"id":"by-name"}`, `{"id":"another"}`}}})
	_, err := db.Exec(t.Context(), `INSERT INTO vectors VALUES ('acme', 'by-name')`)
	check(t, err)
	if _, err := a.Load(t.Context(), stores, "fresh", importer.Options{}); err == nil || !strings.Contains(err.Error(), "has 1 vectors, the archive 2") {
		t.Errorf("error is %v", err)
	}
}

func TestReferencesThatLeadNowhere(t *testing.T) {
	_, stores := app(t)
	a := open(t, []archivetest.File{{Name: "documents/part-00001.ndjson", Store: "app", Rows: []string{
		`{"id":"6b2f0c1e-0f4d-4c57-9d3b-6f3c5b7d1a20","folder":"6b2f0c1e-0f4d-4c57-9d3b-6f3c5b7d1a21","number":1,"content":""}`,
	}}})
	if _, err := a.Load(t.Context(), stores, "fresh", importer.Options{}); err == nil || !strings.Contains(err.Error(), "foreign key") {
		t.Errorf("error is %v", err)
	}
}

// frozen is a store that takes kinds and cannot be loaded; it has nothing.
type frozen struct {
	connectors.Connector
	name  string
	kinds []string
}

func (f *frozen) Name() string { return f.name }

func (f *frozen) Snapshot(context.Context, connectors.Scope, time.Time) (connectors.Snapshot, error) {
	return nothing{kinds: f.kinds}, nil
}

type nothing struct {
	connectors.Snapshot
	kinds []string
}

func (nothing) Close() {}

func (n nothing) Counts() connectors.Counts {
	counts := connectors.Counts{}
	for _, kind := range n.kinds {
		counts[kind] = 0
	}
	return counts
}

// loadable is one that can be.
type loadable struct {
	*frozen
	connectors.Loader
}

func TestWhatGoesWhere(t *testing.T) {
	files := []archivetest.File{
		{Name: "documents/part-00001.ndjson", Store: "app", Rows: []string{`{"id":1}`}},
		{Name: "documents/part-00002.ndjson", Store: "app", Rows: []string{`{"id":2}`, `{"id":3}`}},
		{Name: "documents/part-00003.ndjson", Store: "crm", Rows: []string{`{"id":4}`}},
		{Name: "vectors/part-00001.ndjson", Store: "embeddings", Rows: []string{`{"id":1}`}},
		{Name: "usage.ndjson", Store: "counters", Rows: []string{`{"id":1}`}},
		{Name: "notes/part-00001.ndjson", Store: "app", Rows: []string{`{"id":1}`}},
		{Name: "audit.ndjson", Store: "tenure", Rows: []string{`{"id":1}`}},
		{Name: "billing.ndjson"},
	}
	loading := func(name string, kinds ...string) connectors.Connector {
		return loadable{frozen: &frozen{name: name, kinds: kinds}}
	}
	stores := []connectors.Connector{
		loading("app", "documents"), loading("files", "documents"), loading("index", "vectors"), &frozen{name: "counters", kinds: []string{"usage"}},
	}
	plan, err := open(t, files).Plan(t.Context(), stores, "")
	check(t, err)
	want := importer.Plan{
		ExportID: "exp_1", From: "acme",
		Loads: []importer.Load{{Store: "app", Kind: "documents", Rows: 3}, {Store: "index", Kind: "vectors", Rows: 1}},
		Leaves: []importer.Leave{
			{Kind: "documents", Store: "crm", Rows: 1, Why: "the store that it comes from is not in the data map"},
			{Kind: "usage", Store: "counters", Rows: 1, Why: "the store counters cannot be loaded into"},
			{Kind: "notes", Store: "app", Rows: 1, Why: "no store of the data map takes rows of this kind"},
			{Kind: "audit", Store: "tenure", Rows: 1, Why: "it is the old tenant's history"},
		},
	}
	if diff := cmp.Diff(want, plan); diff != "" {
		t.Errorf("the plan differs (-want +got):\n%s", diff)
	}
	several := []connectors.Connector{loading("index-1", "vectors"), loading("index-2", "vectors")}
	plan, err = open(t, files[3:4]).Plan(t.Context(), several, "fresh")
	check(t, err)
	if len(plan.Loads) != 0 || !strings.HasPrefix(plan.Leaves[0].Why, "several stores") || plan.To != "fresh" {
		t.Errorf("with two stores of other names: %+v", plan)
	}
}

func TestArchivesThatAreNoWholeTenant(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	check(t, err)
	usage := []archivetest.File{{Name: "usage.ndjson", Rows: []string{`{"id":1}`}}}
	for why, body := range map[string][]byte{
		"one person":    archivetest.Write(t, archive.Options{}, usage, func(m *manifest.Manifest) { m.SubjectSHA256 = "x" }),
		"changed since": archivetest.Write(t, archive.Options{}, usage, func(m *manifest.Manifest) { m.Since = archivetest.Taken }),
		"damaged":       archivetest.Write(t, archive.Options{}, usage, func(m *manifest.Manifest) { m.Files[0].SHA256 = "x" }),
		"encrypted": archivetest.Write(t, archive.Options{EncryptTo: identity.Recipient()},
			[]archivetest.File{{Name: "usage.ndjson.gz.age", Rows: []string{`{"id":1}`}}}, nil),
	} {
		if _, err := importer.Open(bytes.NewReader(body), int64(len(body)), nil); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", why, err)
		}
	}
}
