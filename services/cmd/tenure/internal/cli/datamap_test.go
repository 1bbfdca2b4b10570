package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tenure/services/devstack"
	"tenure/shared/testkit"
)

func TestDatamapCheck(t *testing.T) {
	url := testkit.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `CREATE TABLE documents (tenant_id text, id int, PRIMARY KEY (tenant_id, id))`); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	content, err := json.Marshal(devstack.Addresses{Postgres: url})
	if err != nil {
		t.Fatal(err)
	}
	const file = `stores: [{name: app, postgres: {url_env: SAMPLE_DATABASE_URL, tables: [{table: documents, tenant: tenant_id, key: [id]}]}}]`
	for name, content := range map[string][]byte{devstack.AddressesFile: content, "datamap.yaml": []byte(file)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := run(t, "datamap", "check", "--dir", dir); err != nil || out != "ok  documents\n" {
		t.Errorf("printed %q, %v", out, err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE notes (tenant_id text)`); err != nil {
		t.Fatal(err)
	}
	t.Setenv("APP_URL", url)
	mine := filepath.Join(dir, "mine.yaml")
	if err := os.WriteFile(mine, []byte(strings.Replace(file, "SAMPLE_DATABASE_URL", "APP_URL", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, "datamap", "check", "--datamap", mine, "--dir", t.TempDir())
	want := "ok         documents\nuncovered  public.notes  it has a column tenant_id\n"
	if err == nil || out != want {
		t.Errorf("printed %q, %v", out, err)
	}
	out, err = run(t, "datamap", "check", "--datamap", mine, "--json")
	var found []map[string]string
	if err == nil || json.Unmarshal([]byte(out), &found) != nil || len(found) != 2 || found[1]["status"] != "uncovered" {
		t.Errorf("printed %q, %v", out, err)
	}
	if _, err := run(t, "datamap", "check", "--dir", t.TempDir()); err == nil || !strings.Contains(err.Error(), "--datamap") {
		t.Errorf("without a map: %v", err)
	}
}
