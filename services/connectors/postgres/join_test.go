package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
)

// family is a store of lines that belong to orders that belong to a customer's tenant: three each for acme and other.
func family(t *testing.T, db *pgxpool.Pool) *postgres.Store {
	t.Helper()
	exec(t, db, `
		CREATE TABLE app.customers (tenant_id text, id int, email text, PRIMARY KEY (tenant_id, id));
		CREATE TABLE app.orders (tenant_id text, id int PRIMARY KEY, customer int, FOREIGN KEY (tenant_id, customer) REFERENCES app.customers ON UPDATE CASCADE);
		CREATE TABLE app.lines (order_id int REFERENCES app.orders, line int, text text, PRIMARY KEY (order_id, line)) PARTITION BY HASH (order_id);
		CREATE TABLE app.lines_0 PARTITION OF app.lines FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE app.lines_1 PARTITION OF app.lines FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		CREATE TABLE app.remarks (id int PRIMARY KEY, order_id int, line int, text text, FOREIGN KEY (order_id, line) REFERENCES app.lines);
		INSERT INTO app.customers SELECT tenant, n, 'person' || n FROM generate_series(1, 3) AS n, unnest(ARRAY['acme', 'other']) AS tenant;
		INSERT INTO app.orders SELECT tenant, n + base, n FROM generate_series(1, 3) AS n, (VALUES ('acme', 0), ('other', 100)) AS t (tenant, base);
		INSERT INTO app.lines SELECT id, line, 'text' FROM app.orders, generate_series(1, 2) AS line;
		INSERT INTO app.remarks SELECT order_id * 10 + line, order_id, line, 'remark' FROM app.lines;`)
	return postgres.New("app", db, []postgres.Table{
		{
			Name: "app.remarks", Join: &postgres.Join{Table: "app.lines", On: map[string]string{"order_id": "order_id", "line": "line"}},
			Key: []string{"id"}, Kind: "documents", Columns: []string{"id", "order_id", "line", "text"}, References: []string{"order_id"},
		},
		{
			Name: "app.lines", Join: &postgres.Join{Table: "app.orders", On: map[string]string{"order_id": "id"}},
			Key: []string{"order_id", "line"}, Kind: "usage", Columns: []string{"order_id", "line", "text"},
		},
		{Name: "app.orders", Join: &postgres.Join{Table: "app.customers", On: map[string]string{"tenant_id": "tenant_id", "customer": "id"}}, Key: []string{"id"}},
		{Name: "app.customers", Tenant: "tenant_id", Subject: "email", Key: []string{"id"}},
	})
}

func TestChildrenAreReachedThroughTheirParents(t *testing.T) {
	db := database(t)
	store := family(t, db)
	var want strings.Builder
	for order := range 3 {
		for line := range 2 {
			fmt.Fprintf(&want, `{"order_id":%d,"line":%d,"text":"text"}`+"\n", order+1, line+1)
		}
	}
	if got := readAll(t, store, "usage"); got != want.String() {
		t.Errorf("read %s", got)
	}
	person := connectors.Scope{Tenant: "acme", Subject: "person2"}
	erased, err := store.Erase(t.Context(), person)
	if err != nil || erased["app.remarks"] != 2 || erased["app.lines"] != 2 || erased["app.orders"] != 1 || erased["app.customers"] != 1 {
		t.Errorf("of one person erased %v, %v", erased, err)
	}
	if left, err := store.Verify(t.Context(), person); err != nil || left.Total() != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
	if erased, err := store.Erase(t.Context(), connectors.Tenant("acme")); err != nil || erased.Total() != 12 {
		t.Errorf("erased %v, %v", erased, err)
	}
	if left, err := store.Count(t.Context(), connectors.Tenant("other")); err != nil || left.Total() != 18 {
		t.Errorf("the other tenant has %v, %v", left, err)
	}
}
