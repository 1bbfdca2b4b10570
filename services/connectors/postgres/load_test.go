package postgres_test

import (
	"encoding/json"
	"strings"
	"testing"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
	"tenure/shared/fault"
)

// plus adds a thousand to numbers, and a letter to the rest.
type plus struct{}

func (plus) Map(old string) string {
	if strings.Trim(old, "0123456789") == "" {
		return old + "000"
	}
	return old + "x"
}

func archive(t *testing.T, c connectors.Connector, kind string) []json.RawMessage {
	t.Helper()
	var rows []json.RawMessage
	for line := range strings.Lines(readAll(t, c, kind)) {
		rows = append(rows, json.RawMessage(line))
	}
	return rows
}

func TestLoad(t *testing.T) {
	db := database(t)
	exec(t, db, `
		CREATE TABLE app.notes (
			tenant_id text, id bigint GENERATED ALWAYS AS IDENTITY, parent bigint, title text NOT NULL,
			upper text GENERATED ALWAYS AS (upper(title)) STORED, tags text[], at timestamptz, raw bytea, author text,
			state text NOT NULL DEFAULT 'new', PRIMARY KEY (tenant_id, id));
		INSERT INTO app.notes (tenant_id, parent, title, tags, at, raw, author) VALUES
			('acme', NULL, 'a "quoted" title', '{x,"y z"}', '2026-02-01T01:02:03.456789+01', '\xdeadbeef', 'ann'),
			('acme', 1, 'another', NULL, NULL, NULL, 'ann')`)
	store := postgres.New("app", db, []postgres.Table{{
		Name: "app.notes", Tenant: "tenant_id", Key: []string{"id"}, Kind: "documents",
		Columns: []string{"id", "parent", "title", "upper", "tags", "at", "raw", "author"}, References: []string{"parent", "id"},
	}})
	rows := archive(t, store, "documents")
	for _, want := range []int64{2, 0} {
		if n, err := store.Load(t.Context(), "fresh", "documents", rows, plus{}); err != nil || n != want {
			t.Fatalf("loaded %d, not %d: %v", n, want, err)
		}
	}
	var got string
	const difference = `SELECT string_agg(concat_ws(',', f.id, f.parent, f.state, a.id), ' ' ORDER BY f.id) FROM app.notes f JOIN app.notes a
		ON (f.title, f.upper, f.author) = (a.title, a.upper, a.author) AND (f.tags, f.at, f.raw) IS NOT DISTINCT FROM (a.tags, a.at, a.raw)
		WHERE f.tenant_id = 'fresh' AND a.tenant_id = 'acme'`
	if err := db.QueryRow(t.Context(), difference).Scan(&got); err != nil || got != "1000,new,1 2000,1000,new,2" {
		t.Errorf("loaded %q, %v", got, err)
	}
}

func TestLoadOfChildrenFollowsTheirParents(t *testing.T) {
	db := database(t)
	store := family(t, db)
	exec(t, db, `INSERT INTO app.customers VALUES ('fresh', 1, 'person'); INSERT INTO app.orders SELECT 'fresh', id * 1000, 1 FROM app.orders WHERE tenant_id = 'acme'`)
	for _, kind := range []string{"usage", "documents"} { // lines, and remarks about them
		if n, err := store.Load(t.Context(), "fresh", kind, archive(t, store, kind), plus{}); err != nil || n != 6 {
			t.Errorf("of %s loaded %d, %v", kind, n, err)
		}
	}
	if n, err := store.Count(t.Context(), connectors.Tenant("fresh")); err != nil || n["app.lines"] != 6 || n["app.remarks"] != 6 {
		t.Errorf("counted %v, %v", n, err)
	}
}

// TestLoadTellsTablesOfOneKindApart by their columns.
func TestLoadTellsTablesOfOneKindApart(t *testing.T) {
	db := database(t)
	exec(t, db, `CREATE TABLE app.notes (tenant_id text, id text, title text, PRIMARY KEY (tenant_id, id)); INSERT INTO app.notes VALUES ('acme', '1', 'x')`)
	notes := postgres.Table{Name: "app.notes", Tenant: "tenant_id", Key: []string{"id"}, Kind: "documents", Columns: []string{"id", "title"}}
	store := postgres.New("app", db, []postgres.Table{documents, notes})
	rows := archive(t, store, "documents")
	if n, err := store.Load(t.Context(), "fresh", "documents", rows, plus{}); err != nil || n != 1 {
		t.Errorf("loaded %d, %v", n, err)
	}
	if n, err := store.Count(t.Context(), connectors.Tenant("fresh")); err != nil || n["app.notes"] != 1 {
		t.Errorf("counted %v, %v", n, err)
	}
}

func TestLoadSaysWhatIsMissing(t *testing.T) {
	db := database(t)
	exec(t, db, `ALTER TABLE app.documents ADD COLUMN plan text NOT NULL`)
	store := postgres.New("app", db, []postgres.Table{documents})
	_, err := store.Load(t.Context(), "fresh", "documents", []json.RawMessage{json.RawMessage(`{"id":"1","content":"x"}`)}, plus{})
	if !fault.IsPermanent(err) || !strings.Contains(err.Error(), "plan") {
		t.Errorf("the error is %v", err)
	}
	for kind, row := range map[string]string{"usage": `{"id":"1"}`, "documents": `[1]`} {
		if _, err := store.Load(t.Context(), "fresh", kind, []json.RawMessage{json.RawMessage(row)}, plus{}); !fault.IsPermanent(err) {
			t.Errorf("%s of %s: %v", row, kind, err)
		}
	}
}
