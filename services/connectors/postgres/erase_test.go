package postgres_test

import (
	"testing"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
)

const partitioned = `
	CREATE TABLE app.files (tenant_id text, id int, PRIMARY KEY (tenant_id, id)) PARTITION BY LIST (tenant_id);
	CREATE TABLE app.files_rest PARTITION OF app.files DEFAULT;
	CREATE TABLE app.files_shared PARTITION OF app.files FOR VALUES IN ('acme-2', 'acm');
	CREATE TABLE app."files; ACME" PARTITION OF app.files FOR VALUES IN ('ACME');
	CREATE TABLE app.files_17 PARTITION OF app.files FOR VALUES IN ('acme');
	CREATE TABLE app.tags (tenant_id text, file int, FOREIGN KEY (tenant_id, file) REFERENCES app.files);
	INSERT INTO app.files SELECT tenant, n FROM generate_series(1, 3) AS n, unnest(ARRAY['acme', 'acm', 'acme-2', 'ACME', 'other']) AS tenant;`

var files = postgres.Table{Name: "app.files", Tenant: "tenant_id", Key: []string{"id"}, DropPartition: true}

func TestATenantsOwnPartitionIsDropped(t *testing.T) {
	db := database(t)
	exec(t, db, partitioned)
	store := postgres.New("app", db, []postgres.Table{files})
	for _, tenant := range []string{"acme", "ACME", "acm", "other", "nobody"} {
		want := int64(3)
		if tenant == "nobody" {
			want = 0
		}
		if n, err := store.Erase(t.Context(), connectors.Tenant(tenant)); err != nil || n.Total() != want {
			t.Errorf("%s: erased %v, %v", tenant, n, err)
		}
	}
	var left int
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM pg_class WHERE relname LIKE 'files%' AND relkind = 'r'`).Scan(&left); err != nil || left != 2 {
		t.Errorf("%d partitions are left, not the two that are nobody's own: %v", left, err)
	}
	if n, err := store.Count(t.Context(), connectors.Tenant("acme-2")); err != nil || n.Total() != 3 {
		t.Errorf("who shared a partition has %v, %v", n, err)
	}
}

// TestABusyPartitionIsEmptied: the drop waits for nobody for long, since all others would wait behind it.
func TestABusyPartitionIsEmptied(t *testing.T) {
	db := database(t)
	exec(t, db, partitioned)
	reader := session(t, db)
	run(t, reader, `SELECT * FROM app.files`)
	store := postgres.New("app", db, []postgres.Table{files})
	if n, err := store.Erase(t.Context(), connectors.Tenant("acme")); err != nil || n.Total() != 3 {
		t.Errorf("erased %v, %v", n, err)
	}
	commit(t, reader)
	if n, err := store.Erase(t.Context(), connectors.Tenant("acme")); err != nil || n.Total() != 0 {
		t.Errorf("the second time erased %v, %v", n, err)
	}
	var there bool
	if err := db.QueryRow(t.Context(), `SELECT to_regclass('app.files_17') IS NOT NULL`).Scan(&there); err != nil || there {
		t.Errorf("the empty partition is there: %v, %v", there, err)
	}
}

// TestManyRowsOfOneParent takes a child's rows in several batches where their parent is a single one.
func TestManyRowsOfOneParent(t *testing.T) {
	db := database(t)
	store := family(t, db)
	exec(t, db, `INSERT INTO app.lines SELECT id, n, 'text' FROM app.orders, generate_series(10, 30009) AS n WHERE id % 100 = 1`)
	if n, err := store.Erase(t.Context(), connectors.Tenant("acme")); err != nil || n["app.lines"] != 30_006 {
		t.Errorf("erased %v, %v", n, err)
	}
	if left, err := store.Count(t.Context(), connectors.Tenant("other")); err != nil || left["app.lines"] != 30_006 {
		t.Errorf("the other tenant has %v, %v", left, err)
	}
}

func TestBytesEstimates(t *testing.T) {
	db := database(t)
	exec(t, db, `ALTER TABLE app.documents ALTER content SET STORAGE EXTERNAL`)
	exec(t, db, `INSERT INTO app.documents SELECT 'acme', n, repeat('x', 10000) FROM generate_series(1, 3000) AS n`)
	exec(t, db, `INSERT INTO app.documents SELECT 'other', n, repeat('x', 10000) FROM generate_series(1, 10) AS n`)
	store := postgres.New("app", db, []postgres.Table{documents, logs})
	n, err := store.Bytes(t.Context(), connectors.Tenant("acme"))
	if err != nil || n < 30_000_000 || n > 31_000_000 {
		t.Errorf("30 MB are %d bytes, %v", n, err)
	}
}
