package export_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"tenure/services/connectors"
	"tenure/services/connectors/datamap"
	"tenure/services/export/importer"
	"tenure/shared/events"
)

// portableMap has ids and references of three forms, in a database and a bucket; a table stands before the one that it refers
// to.
const portableMap = `
stores:
  - name: app
    postgres:
      url_env: APP_DATABASE_URL
      tables:
        - {table: app.chunks, tenant: tenant_id, key: [id], kind: vectors, columns: [id, page, values, metadata], references: [page]}
        - {table: app.pages, tenant: tenant_id, key: [id], kind: documents, columns: [id, book, content], references: [book]}
        - {table: app.books, tenant: tenant_id, key: [id], kind: documents, columns: [id, name, created_at]}
        - {table: app.usage, tenant: tenant_id, key: [id], kind: usage, columns: [id, metric, quantity, time]}
  - name: files
    s3:
      bucket_env: TENURE_S3_BUCKET
      prefix: uploads/{tenant}/
      kind: documents
`

const portableTables = `
CREATE TABLE app.books (tenant_id text NOT NULL, id uuid PRIMARY KEY, name text, created_at timestamptz);
CREATE TABLE app.pages (tenant_id text NOT NULL, id bigint PRIMARY KEY, book uuid NOT NULL REFERENCES app.books, content text);
CREATE TABLE app.chunks (tenant_id text NOT NULL, id text PRIMARY KEY, page bigint NOT NULL REFERENCES app.pages, values real[], metadata jsonb);`

// TestPortability is the promise whole: a tenant's archive, imported into a fresh tenant in the same stores and exported from
// there, has the same rows, in which ids are others and lead to the same.
func TestPortability(t *testing.T) {
	w := newWorldOf(t, portableMap)
	w.exec(portableTables)
	w.exec(`INSERT INTO app.books SELECT 'acme', md5('book' || n)::uuid, 'a name/../' || n, '2026-03-01T12:00:00.123456Z' FROM generate_series(1, 20) n`)
	w.exec(`INSERT INTO app.pages SELECT 'acme', n, md5('book' || 1 + n % 20)::uuid, repeat('line' || chr(10), 100) FROM generate_series(1, 2000) n`)
	w.exec(`INSERT INTO app.chunks SELECT 'acme', 'chunk_' || md5('chunk' || n)::uuid, n, ARRAY[n, 0.1, -1e-7]::real[], '{"n": [1, null]}' FROM generate_series(1, 2000) n`)
	w.exec(`INSERT INTO app.usage SELECT 'acme', md5('use' || n)::uuid, 'queries', n / 8.0, now() FROM generate_series(1, 300) n`)
	m, err := datamap.Parse([]byte(portableMap))
	check(t, err)
	stores, err := m.Open(t.Context(), func(name string) string { return w.environ[name] })
	check(t, err)
	defer stores.Close()
	files := stores[1].(connectors.Loader)
	_, err = files.Load(t.Context(), "acme", "documents", []json.RawMessage{
		json.RawMessage(`{"id":"2026/report.bin","name":"report.bin","metadata":{"content_encoding":"base64","content_type":"application/pdf"},"content":"AAEC"}`),
	}, importer.NewIDs("acme"))
	check(t, err)

	w.ask("acme", events.ExportRequested{ExportID: "before", Parquet: []string{"vectors", "usage"}})
	before := w.archived("before")
	a, err := importer.Open(bytes.NewReader(before), int64(len(before)), nil)
	check(t, err)
	plan, err := a.Load(t.Context(), stores, "fresh", importer.Options{})
	check(t, err)
	if plan.Rows() != 20+2000+2000+300+1 || len(plan.Leaves) != 1 || plan.Leaves[0].Kind != "audit" {
		t.Errorf("the plan is %+v", plan)
	}
	w.ask("fresh", events.ExportRequested{ExportID: "after"})
	after := w.archived("after")

	w.ask("acme", events.ExportRequested{ExportID: "again"})
	want, got := w.content(w.archived("again"), importer.NewIDs("fresh")), w.content(after, nil)
	if len(got) != 4321 || !slices.Equal(want, got) {
		t.Errorf("the new tenant has %d rows, the archive %d", len(got), len(want))
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("row %d is\n%s, not\n%s", i, got[i], want[i])
			}
		}
	}
}

// content is all rows of documents, vectors and usage, sorted, with the ids that ids maps them to; nil leaves them. When an
// object was put is no content of it.
func (w *world) content(archive []byte, ids connectors.IDs) (rows []string) {
	w.t.Helper()
	for _, name := range names(w.t, archive) {
		kind, _, _ := strings.Cut(strings.TrimSuffix(name, ".ndjson"), "/")
		if !slices.Contains([]string{"documents", "vectors", "usage"}, kind) {
			continue
		}
		for _, line := range lines(w.t, archive, name) {
			var row map[string]any
			decoder := json.NewDecoder(strings.NewReader(line))
			decoder.UseNumber()
			check(w.t, decoder.Decode(&row))
			if row["name"] == "report.bin" {
				delete(row, "created_at")
			}
			if ids != nil {
				mapReferences(row, ids)
			}
			line, err := json.Marshal(row)
			check(w.t, err)
			rows = append(rows, string(line))
		}
	}
	slices.Sort(rows)
	return rows
}

func mapReferences(row map[string]any, ids connectors.IDs) {
	for _, column := range []string{"id", "book", "page"} {
		switch old := row[column].(type) {
		case string:
			row[column] = ids.Map(old)
		case json.Number:
			row[column] = json.Number(ids.Map(old.String()))
		}
	}
}

// names are the archive's entries.
func names(t *testing.T, archive []byte) (names []string) {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	check(t, err)
	for _, f := range r.File {
		names = append(names, f.Name)
	}
	return names
}
