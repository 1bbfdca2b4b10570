package postgres_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
	"tenure/services/connectors/conformance"
	"tenure/services/connectors/postgres"
	"tenure/shared/fault"
	"tenure/shared/testkit"
)

const schema = `
	CREATE SCHEMA app;
	CREATE TABLE app.documents (
		tenant_id text, id text, content text, owner text, raw json DEFAULT '{"a": 1,
			"b": "two lines"}',
		PRIMARY KEY (tenant_id, id));
	CREATE TABLE app.logs (tenant_id text, day date, line int, PRIMARY KEY (tenant_id, day, line));
	CREATE TABLE app."odd; name" ("tenant ""id" text, "order" int);`

var (
	documents = postgres.Table{
		Name: "app.documents", Tenant: "tenant_id", Subject: "owner", Key: []string{"id"}, Kind: "documents", Columns: []string{"id", "content", "raw"},
	}
	logs = postgres.Table{Name: "app.logs", Tenant: "tenant_id", Key: []string{"day", "line"}}
	odd  = postgres.Table{
		Name: "app.odd; name", Tenant: `tenant "id`, Key: []string{"order"}, Kind: "usage", Columns: []string{"order"},
	}
)

func database(t *testing.T) *pgxpool.Pool {
	t.Helper()
	db, err := pgxpool.New(t.Context(), testkit.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	exec(t, db, schema)
	return db
}

func exec(t *testing.T, db *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) conformance.Fixture {
		db := database(t)
		return conformance.Fixture{
			Connector: postgres.New("app", db, []postgres.Table{documents, logs}),
			Kind:      "documents",
			Put: func(ctx context.Context, tenant, id, content string) error {
				_, err := db.Exec(ctx, `INSERT INTO app.documents VALUES ($1, $2, $3) ON CONFLICT (tenant_id, id) DO UPDATE SET content = $3`, tenant, id, content)
				return err
			},
			PutFor: func(ctx context.Context, tenant, subject, id, content string) error {
				_, err := db.Exec(ctx, `INSERT INTO app.documents VALUES ($1, $2, $3, $4)`, tenant, id, content, subject)
				return err
			},
			Delete: func(ctx context.Context, tenant, id string) error {
				_, err := db.Exec(ctx, `DELETE FROM app.documents WHERE tenant_id = $1 AND id = $2`, tenant, id)
				return err
			},
			Clutter: func(ctx context.Context, tenant string) error {
				// A table that is in no export, and takes more than one chunk by a key of two columns that are no texts.
				_, err := db.Exec(ctx, `INSERT INTO app.logs SELECT $1, date '2026-01-01' + n / 100, n FROM generate_series(1, 12000) AS n`, tenant)
				return err
			},
			Many: 2000,
		}
	})
}

// lines is a sink that keeps rows as lines.
type lines []byte

func (l *lines) Write(p []byte) (int, error) {
	*l = append(*l, p...)
	return len(p), nil
}

func (l *lines) EndRow() error {
	*l = append(*l, '\n')
	return nil
}

func readAll(t *testing.T, c connectors.Connector, kind string) string {
	t.Helper()
	snapshot, err := c.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	var got lines
	if err := connectors.ReadKind(t.Context(), snapshot, kind, &got); err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func TestRowsSinceATime(t *testing.T) {
	db := database(t)
	exec(t, db, `CREATE TABLE app.notes (tenant_id text, id int, at timestamptz)`)
	exec(t, db, `INSERT INTO app.notes VALUES ('acme', 1, '2026-01-31T23:59:59.999Z'), ('acme', 2, '2026-02-01T00:00:00Z'), ('other', 3, '2026-03-01Z')`)
	exec(t, db, `INSERT INTO app.documents VALUES ('acme', 'old', 'x')`)
	notes := postgres.Table{Name: "app.notes", Tenant: "tenant_id", Key: []string{"id"}, Kind: "usage", Columns: []string{"id"}, Changed: "at"}
	store := postgres.New("app", db, []postgres.Table{documents, notes})
	snapshot, err := store.Snapshot(t.Context(), connectors.Tenant("acme"), time.Date(2026, 2, 1, 1, 0, 0, 0, time.FixedZone("CET", 3600)))
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	// A table that cannot tell when a row changed gives them all.
	if got := snapshot.Counts(); got["usage"] != 1 || got["documents"] != 1 {
		t.Errorf("counted %v", got)
	}
	var got lines
	if err := connectors.ReadKind(t.Context(), snapshot, "usage", &got); err != nil || string(got) != `{"id":2}`+"\n" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestRowsAreTheColumnsOfTheMap(t *testing.T) {
	db := database(t)
	store := postgres.New("app", db, []postgres.Table{documents, odd})
	exec(t, db, `INSERT INTO app.documents VALUES ('acme', '1', 'x'), ('other', '2', 'y')`)
	exec(t, db, `INSERT INTO app."odd; name" VALUES ('acme', 10), ('acme', 9), ('other', 8)`)
	if got, want := readAll(t, store, "documents"), `{"id":"1","content":"x","raw":{"a":1,"b":"two lines"}}`+"\n"; got != want {
		t.Errorf("rows are %s, not %s", got, want)
	}
	if got, want := readAll(t, store, "usage"), `{"order":9}`+"\n"+`{"order":10}`+"\n"; got != want {
		t.Errorf("rows are %s, not %s", got, want)
	}
	asItIs := documents
	asItIs.Columns, asItIs.Document = nil, "raw"
	whole := postgres.New("app", db, []postgres.Table{asItIs})
	if got, want := readAll(t, whole, "documents"), `{"a":1,"b":"two lines"}`+"\n"; got != want {
		t.Errorf("rows are %s, not %s", got, want)
	}
	if n, err := store.Erase(t.Context(), connectors.Tenant("acme")); err != nil || n.Total() != 3 {
		t.Errorf("erased %v, %v", n, err)
	}
}

func TestLargeRow(t *testing.T) {
	db := database(t)
	store := postgres.New("app", db, []postgres.Table{documents})
	exec(t, db, `INSERT INTO app.documents VALUES ('acme', '1', repeat('0123456789', 2000000))`)
	if got := readAll(t, store, "documents"); strings.Count(got, "\n") != 1 || len(got) < 20_000_000 {
		t.Errorf("the row has %d bytes", len(got))
	}
}

// TestKeysOfEveryType erases in chunks by keys whose order as text is not their own.
func TestKeysOfEveryType(t *testing.T) {
	db := database(t)
	for kind, value := range map[string]string{
		"int": "n", "bigint": "n - 5000", "numeric": "n / 7.0", "uuid": "gen_random_uuid()", "text": "'k' || n",
		"timestamptz": "now() + n * interval '1 hour'", "bytea": "int4send(n)", "boolean[]": "ARRAY[n % 2 = 0, n % 3 = 0]",
		"date": "date '2026-01-01' + n",
	} {
		t.Run(kind, func(t *testing.T) {
			table := "by " + kind
			exec(t, db, fmt.Sprintf(`CREATE TABLE %q (tenant text, key %s)`, table, kind))
			exec(t, db, fmt.Sprintf(`INSERT INTO %q SELECT 'acme', %s FROM generate_series(1, 10001) AS n`, table, value))
			exec(t, db, fmt.Sprintf(`INSERT INTO %q SELECT 'other', %s FROM generate_series(1, 10) AS n`, table, value))
			store := postgres.New("app", db, []postgres.Table{{Name: table, Tenant: "tenant", Key: []string{"key"}}})
			erased, err := store.Erase(t.Context(), connectors.Tenant("acme"))
			if err != nil || erased.Total() != 10001 {
				t.Errorf("erased %v, %v", erased, err)
			}
			if left, err := store.Count(t.Context(), connectors.Tenant("other")); err != nil || left.Total() != 10 {
				t.Errorf("the other tenant has %v, %v", left, err)
			}
		})
	}
}

// TestAPolicyThatHidesRowsIsAnError: an archive without them, or an erasure that leaves them, would pass for complete.
func TestAPolicyThatHidesRowsIsAnError(t *testing.T) {
	db := database(t)
	role := "test_" + strings.ToLower(rand.Text()) // roles belong to the whole server
	exec(t, db, fmt.Sprintf(`CREATE ROLE %[1]s; GRANT USAGE ON SCHEMA app TO %[1]s; GRANT ALL ON app.documents TO %[1]s;
		ALTER TABLE app.documents ENABLE ROW LEVEL SECURITY;
		INSERT INTO app.documents VALUES ('acme', '1', 'x')`, role))
	t.Cleanup(func() {
		if _, err := db.Exec(context.Background(), fmt.Sprintf(`DROP OWNED BY %[1]s; DROP ROLE %[1]s`, role)); err != nil {
			t.Error(err)
		}
	})
	cfg := db.Config()
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SET ROLE `+role)
		return err
	}
	bound, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer bound.Close()
	store := postgres.New("app", bound, []postgres.Table{documents})
	if n, err := store.Count(t.Context(), connectors.Tenant("acme")); err == nil {
		t.Errorf("Count answers %v", n)
	}
	if n, err := store.Erase(t.Context(), connectors.Tenant("acme")); err == nil {
		t.Errorf("Erase answers %v", n)
	}
	if snapshot, err := store.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{}); err == nil {
		t.Errorf("Snapshot answers %v", snapshot.Counts())
		snapshot.Close()
	}
}

func waits(err error) bool {
	_, wait := fault.Delay(err)
	return wait
}

func TestADatabaseThatIsDownIsWaitedFor(t *testing.T) {
	proxy, url := testkit.ProxyURL(t, testkit.Postgres(t))
	store, err := postgres.Open(t.Context(), "app", postgres.Config{URL: url, Tables: []postgres.Table{documents}})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	proxy.Down()
	_, err = store.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{})
	if _, wait := fault.Delay(err); !wait {
		t.Errorf("Snapshot answers %v, which does not say to wait", err)
	}
	proxy.Up()
	_, err = store.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{})
	if _, wait := fault.Delay(err); err == nil || wait {
		t.Errorf("with its table missing, Snapshot answers %v", err)
	}
}
