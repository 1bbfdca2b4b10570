package cli_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tenure/services/export/importer"
	"tenure/shared/testkit"
)

const importMap = `
stores:
  - name: app
    postgres:
      url_env: APP_DATABASE_URL
      tables: [{table: usage, tenant: tenant_id, key: [id], kind: usage, columns: [id, metric]}]
`

// newImport is an archive in a directory, the database of its data map, and the flags of the command.
func newImport(t *testing.T) (path string, db *pgx.Conn, flags []string) {
	t.Helper()
	url, dir := testkit.Postgres(t), t.TempDir()
	db, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(t.Context()) })
	if _, err := db.Exec(t.Context(), `CREATE TABLE usage (tenant_id text, id text, metric text, PRIMARY KEY (tenant_id, id))`); err != nil {
		t.Fatal(err)
	}
	t.Setenv("APP_DATABASE_URL", url)
	path, dataMap := filepath.Join(dir, "acme.zip"), filepath.Join(dir, "datamap.yaml")
	for name, content := range map[string][]byte{path: zipped(t, 1), dataMap: []byte(importMap)} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	flags = serve(t, map[string]string{
		"GET /v1/tenants/fresh": `{"id":"fresh","state":"active"}`, "GET /v1/tenants/gone": `{"id":"gone","state":"deleting"}`,
	})
	return path, db, append(flags, "--datamap", dataMap, "--dir", dir)
}

func rowsOf(t *testing.T, db *pgx.Conn, tenant string) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM usage WHERE tenant_id = $1`, tenant).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAnImport(t *testing.T) {
	path, db, flags := newImport(t)
	out, err := run(t, append([]string{"import", path, "--dry-run"}, flags...)...)
	if want := "export exp_1 of acme\n  1 usage would be loaded into app\n"; err != nil || out != want {
		t.Errorf("a dry run printed %q, %v", out, err)
	}
	if n := rowsOf(t, db, "fresh"); n != 0 {
		t.Errorf("a dry run loaded %d rows", n)
	}
	out, err = run(t, append([]string{"import", path, "--tenant", "fresh"}, flags...)...)
	if want := "export exp_1 of acme\n  1 usage were loaded into app\n"; err != nil || out != want {
		t.Errorf("printed %q, %v", out, err)
	}
	if n := rowsOf(t, db, "fresh"); n != 1 {
		t.Errorf("%d rows were loaded", n)
	}
	if _, err = run(t, append([]string{"import", path, "--tenant", "fresh"}, flags...)...); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a second time: %v", err)
	}
	if left, err := filepath.Glob(path + ".*"); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestAnImportThatBrokeOffGoesOn(t *testing.T) {
	path, db, flags := newImport(t)
	args := append([]string{"import", path, "--tenant", "fresh"}, flags...)
	if _, err := db.Exec(t.Context(), `ALTER TABLE usage ADD CONSTRAINT broken CHECK (metric <> 'queries')`); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, args...); err == nil {
		t.Fatal("a row that the table refuses was taken")
	}
	if _, err := db.Exec(t.Context(), `ALTER TABLE usage DROP CONSTRAINT broken`); err != nil {
		t.Fatal(err)
	}
	// What was loaded until then is there.
	if _, err := db.Exec(t.Context(), `INSERT INTO usage VALUES ('fresh', $1, 'queries')`, importer.NewIDs("fresh").Map("1")); err != nil {
		t.Fatal(err)
	}
	note := path + ".fresh.importing"
	if _, err := os.Stat(note); err != nil {
		t.Errorf("nothing tells what was begun: %v", err)
	}
	if _, err := run(t, args...); err != nil {
		t.Error(err)
	}
	if n := rowsOf(t, db, "fresh"); n != 1 {
		t.Errorf("%d rows were loaded", n)
	}
	if _, err := os.Stat(note); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the note stays: %v", err)
	}
}

func TestImportsThatAreRefused(t *testing.T) {
	path, db, flags := newImport(t)
	for why, args := range map[string][]string{
		"--dry-run":                     {path},
		"there is no tenant nobody":     {path, "--tenant", "nobody"},
		"gone is deleting":              {path, "--tenant", "gone"},
		"no such file":                  {path + ".none", "--dry-run"},
		"of another import":             {path, "--tenant", "fresh"},
		"the archive is damaged":        {flags[len(flags)-3], "--dry-run"},
		"APP_DATABASE_URL is not set":   {path, "--dry-run"},
		"name the data map with":        {path, "--dry-run", "--datamap", ""},
		"--identity: open nobody's.key": {path, "--dry-run", "--identity", "nobody's.key"},
	} {
		t.Run(why, func(t *testing.T) {
			if why == "of another import" {
				if err := os.WriteFile(path+".fresh.importing", []byte(`{"export_id":"exp_0","tenant":"fresh"}`), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if strings.HasPrefix(why, "APP_") {
				t.Setenv("APP_DATABASE_URL", "")
			}
			if _, err := run(t, append(append([]string{"import"}, flags...), args...)...); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("got %v", err)
			}
		})
	}
	if n := rowsOf(t, db, "fresh"); n != 0 {
		t.Errorf("%d rows were loaded", n)
	}
}
