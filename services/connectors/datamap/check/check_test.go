package check_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tenure/services/connectors/datamap"
	"tenure/services/connectors/datamap/check"
	"tenure/shared/testkit"
)

const schema = `
	CREATE SCHEMA app; CREATE SCHEMA other;
	CREATE TABLE app.customers (tenant_id text, id int, email text, PRIMARY KEY (tenant_id, id));
	CREATE TABLE app.documents (tenant_id text, id int, customer int, PRIMARY KEY (tenant_id, id),
		FOREIGN KEY (tenant_id, customer) REFERENCES app.customers) PARTITION BY LIST (tenant_id);
	CREATE TABLE app.documents_rest PARTITION OF app.documents DEFAULT;
	CREATE TABLE app.lines (id int PRIMARY KEY, tenant text, document int, FOREIGN KEY (tenant, document) REFERENCES app.documents ON DELETE CASCADE);
	CREATE INDEX ON app.lines (tenant, document);
	CREATE TABLE app.plans (id int PRIMARY KEY, name text);
	CREATE VIEW app.shown AS SELECT * FROM app.documents;
	CREATE TABLE public.settings (tenant_id text PRIMARY KEY);`

const complete = `
stores:
  - name: app
    postgres:
      url_env: URL
      except: [other.*]
      tables:
        - {table: app.lines, join: {table: app.documents, on: {tenant: tenant_id, document: id}}, key: [id]}
        - {table: app.documents, tenant: tenant_id, key: [id], kind: documents, columns: [id], drop_partition: true}
        - {table: app.customers, tenant: tenant_id, key: [id], subject: email}
  - name: settings
    postgres: {url_env: URL, tables: [{table: settings, tenant: tenant_id, key: [tenant_id]}]}
`

// look checks a map and returns what was found, a line each.
func look(t *testing.T, url, file string) []string {
	t.Helper()
	m, err := datamap.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	found, err := check.PostgreSQL(t.Context(), m, func(string) string { return url })
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range found {
		if f.Failed() != (f.Status == "wrong" || f.Status == "uncovered") {
			t.Errorf("%+v: Failed answers %v", f, f.Failed())
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprint(f.Status, " ", f.Store, " ", f.Table, ": ", f.Detail)))
	}
	return lines
}

func database(t *testing.T, sql string) string {
	t.Helper()
	url := testkit.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), schema+sql); err != nil {
		t.Fatal(err)
	}
	return url
}

func TestACompleteMap(t *testing.T) {
	got := look(t, database(t, ""), complete)
	want := []string{"ok app app.lines:", "ok app app.documents:", "ok app app.customers:", "ok settings settings:"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q", got)
	}
}

func TestFindings(t *testing.T) {
	for _, test := range []struct {
		name, sql string
		edit      []string // of the map: old, new, ...
		want      string
	}{
		{"a table with the tenant column", `CREATE TABLE app.notes (id int, tenant_id text)`, nil, "uncovered  app.notes: it has a column tenant_id"},
		{"a table in another schema", `CREATE TABLE public.notes (id int, tenant_id text)`, nil, "uncovered  public.notes: it has a column tenant_id"},
		{"a table that is known", `CREATE TABLE other.notes (id int, tenant_id text)`, nil, ""},
		{"a table that refers to a mapped one", `CREATE TABLE app.parts (id int, line int REFERENCES app.lines)`, nil, "uncovered  app.parts: it refers to app.lines"},
		{"a copy", `CREATE MATERIALIZED VIEW app.copy AS SELECT * FROM app.documents`, nil, "uncovered  app.copy: it has a column tenant_id and keeps copies"},
		{"a misspelt table", "", []string{"table: app.customers", "table: app.custmers"}, "wrong app app.custmers: there is no such table"},
		{"a misspelt column", "", []string{"subject: email", "subject: mail"}, "wrong app app.customers: there is no column mail"},
		{"a misspelt column of the parent", "", []string{"tenant: tenant_id, document", "tenant: tenantid, document"}, "wrong app app.documents: there is no column tenantid"},
		{"a key that is none", "", []string{"key: [id], subject", "key: [email], subject"}, "wrong app app.customers: no unique index"},
		{"a key that can be null", "", []string{"key: [id], subject", "key: [email], subject"}, "wrong app app.customers: its key has the column email"},
		{"no index", `ALTER TABLE app.customers DROP CONSTRAINT customers_pkey CASCADE; CREATE UNIQUE INDEX ON app.customers (id, tenant_id)`, nil, "slow app app.customers: no index begins with tenant_id"},
		{"an index on some rows", `DROP INDEX app.lines_tenant_document_idx; CREATE INDEX ON app.lines (tenant) WHERE document > 1`, nil, "slow app app.lines: no index begins with document or tenant"},
		{"the wrong order", `ALTER TABLE app.customers ADD last int, ADD FOREIGN KEY (tenant_id, last) REFERENCES app.documents`, nil, "wrong app app.documents: app.customers refers to it"},
		{"rows that refer to each other", `ALTER TABLE app.lines ADD above int REFERENCES app.lines`, nil, "wrong app app.lines: its rows refer to each other"},
		{"rows that refer to each other and cascade", `ALTER TABLE app.lines ADD above int REFERENCES app.lines ON DELETE SET NULL`, nil, ""},
		{"no partitions", "", []string{"subject: email", "subject: email, drop_partition: true"}, "wrong app app.customers: drop_partition: it is not partitioned by list"},
		{"a view", "", []string{"table: app.customers", "table: app.shown", "subject: email", "subject: id"}, "wrong app app.shown: it is no table"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := look(t, database(t, ";"+test.sql), strings.NewReplacer(test.edit...).Replace(complete))
			if test.want == "" {
				if i := slices.IndexFunc(got, func(line string) bool { return !strings.HasPrefix(line, "ok ") }); i >= 0 {
					t.Errorf("found %q", got[i])
				}
				return
			}
			if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, test.want) }) {
				t.Errorf("found %q, not %q", got, test.want)
			}
		})
	}
}

func TestAMissingVariableIsNamed(t *testing.T) {
	m, err := datamap.Parse([]byte(complete))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := check.PostgreSQL(t.Context(), m, func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "URL") {
		t.Errorf("error is %v", err)
	}
}
