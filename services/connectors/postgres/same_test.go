package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
)

func take(t *testing.T, c connectors.Connector) connectors.Snapshot {
	t.Helper()
	snapshot, err := c.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(snapshot.Close)
	return snapshot
}

// session is a connection of the SaaS that has a transaction open.
func session(t *testing.T, db *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

func TestSame(t *testing.T) {
	whole := connectors.Range{Kind: "documents", Part: "app.documents"}
	for _, test := range []struct {
		name string
		// before happens before the earlier snapshot is taken and returns what happens behind it.
		before func(t *testing.T, db *pgxpool.Pool) (behind func())
		same   bool
	}{
		{"nothing", sql(""), true},
		{"an insert", sql(`INSERT INTO app.documents VALUES ('acme', '7x', 'new')`), false},
		{"an update", sql(`UPDATE app.documents SET content = 'new' WHERE id = '7'`), false},
		{"an update of a column that no export reads, in the same page", sql(`UPDATE app.documents SET note = 'new' WHERE id = '7'`), false},
		{"a delete", sql(`DELETE FROM app.documents WHERE id = '7'`), false},
		{"a delete and an insert", sql(`DELETE FROM app.documents WHERE id = '7'; INSERT INTO app.documents VALUES ('acme', '7', 'new')`), false},
		{"a row that comes from another tenant, for one that goes", sql(`
			UPDATE app.documents SET tenant_id = 'b' WHERE tenant_id = 'acme' AND id = '7';
			UPDATE app.documents SET tenant_id = 'acme', id = '7' WHERE tenant_id = 'other' AND id = '8'`), false},
		{"another tenant's row", sql(`UPDATE app.documents SET content = 'new' WHERE tenant_id = 'other'`), true},
		{"a row that is only locked", sql(`BEGIN; SELECT * FROM app.documents FOR UPDATE; COMMIT`), true},
		{"an update that is taken back", sql(`BEGIN; UPDATE app.documents SET content = 'new'; ROLLBACK`), true},
		{"VACUUM FREEZE", sql(`VACUUM FREEZE app.documents`), true},
		{"an update, and VACUUM FREEZE", func(t *testing.T, db *pgxpool.Pool) func() {
			return func() {
				exec(t, db, `UPDATE app.documents SET content = 'new' WHERE id = '7'`)
				exec(t, db, `VACUUM FREEZE app.documents`)
			}
		}, false},
		{"an update in a transaction that was open", func(t *testing.T, db *pgxpool.Pool) func() {
			tx := session(t, db)
			run(t, tx, `UPDATE app.documents SET content = 'new' WHERE id = '7'`)
			return func() { commit(t, tx) }
		}, false},
		{"an update in a savepoint of a transaction that was open", func(t *testing.T, db *pgxpool.Pool) func() {
			tx := session(t, db)
			run(t, tx, `SELECT pg_current_xact_id(); SAVEPOINT s; UPDATE app.documents SET content = 'new' WHERE id = '7'; RELEASE s`)
			return func() { commit(t, tx) }
		}, false},
		{"an update in a later savepoint of a transaction that was open", func(t *testing.T, db *pgxpool.Pool) func() {
			tx := session(t, db)
			run(t, tx, `SELECT pg_current_xact_id()`)
			return func() {
				run(t, tx, `SAVEPOINT s; UPDATE app.documents SET content = 'new' WHERE id = '7'; RELEASE s`)
				commit(t, tx)
			}
		}, false},
		{"a transaction that was open and wrote elsewhere", func(t *testing.T, db *pgxpool.Pool) func() {
			tx := session(t, db)
			run(t, tx, `INSERT INTO app.logs VALUES ('acme', '2026-01-01', 1)`)
			return func() { commit(t, tx) }
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := database(t)
			exec(t, db, `ALTER TABLE app.documents ADD COLUMN note text`)
			exec(t, db, `INSERT INTO app.documents SELECT tenant, n, 'content' FROM generate_series(1, 20) AS n, unnest(ARRAY['acme', 'other']) AS tenant`)
			store := postgres.New("app", db, []postgres.Table{documents, logs})
			behind := test.before(t, db)
			earlier := take(t, store)
			at := earlier.Watermark()
			earlier.Close()
			behind()
			now := take(t, store)
			if same, err := now.Same(t.Context(), whole, 20, at); err != nil || same != test.same {
				t.Errorf("it answers %v, %v", same, err)
			}
			if same, err := now.Same(t.Context(), whole, 21, at); err != nil || same {
				t.Errorf("with a row too many it answers %v, %v", same, err)
			}
		})
	}
}

func sql(statements string) func(*testing.T, *pgxpool.Pool) func() {
	return func(t *testing.T, db *pgxpool.Pool) func() { return func() { exec(t, db, statements) } }
}

func run(t *testing.T, tx pgx.Tx, statements string) {
	t.Helper()
	if _, err := tx.Exec(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
}

func commit(t *testing.T, tx pgx.Tx) {
	t.Helper()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestSameRowsOfAnotherParent: the child's row is as it was, but whose it is has changed.
func TestSameRowsOfAnotherParent(t *testing.T) {
	db := database(t)
	store := family(t, db)
	earlier := take(t, store)
	at := earlier.Watermark()
	lines := connectors.Range{Kind: "usage", Part: "app.lines"}
	for _, change := range []struct {
		sql  string
		same bool
	}{
		{``, true},
		{`UPDATE app.customers SET email = 'x' WHERE tenant_id = 'other'`, true},
		{`UPDATE app.customers SET tenant_id = 'b' WHERE tenant_id = 'acme'; UPDATE app.customers SET tenant_id = 'acme' WHERE tenant_id = 'other'`, false},
	} {
		exec(t, db, change.sql)
		if same, err := take(t, store).Same(t.Context(), lines, 6, at); err != nil || same != change.same {
			t.Errorf("behind %q: %v, %v", change.sql, same, err)
		}
	}
}

func TestSameNeedsTheSameServerAndMap(t *testing.T) {
	db := database(t)
	exec(t, db, `INSERT INTO app.documents VALUES ('acme', '1', 'x')`)
	whole := connectors.Range{Kind: "documents", Part: "app.documents"}
	at := take(t, postgres.New("app", db, []postgres.Table{documents})).Watermark()
	fewer := documents
	fewer.Columns = []string{"id"}
	if same, err := take(t, postgres.New("app", db, []postgres.Table{fewer})).Same(t.Context(), whole, 1, at); err != nil || same {
		t.Errorf("with other columns: %v, %v", same, err)
	}
	snapshot := take(t, postgres.New("app", db, []postgres.Table{documents}))
	start, end := strings.Index(at.Position, "@"), strings.Index(at.Position, "#")
	for _, position := range []string{"", "nonsense", at.Position[:start], at.Position[:start] + "@1700000000.5" + at.Position[end:], "99" + at.Position} {
		if same, err := snapshot.Same(t.Context(), whole, 1, connectors.Watermark{Position: position}); err != nil || same {
			t.Errorf("behind %q: %v, %v", position, same, err)
		}
	}
	if same, err := snapshot.Same(t.Context(), whole, 1, at); err != nil || !same {
		t.Errorf("behind %q: %v, %v", at.Position, same, err)
	}
}

// TestSameOfAView: a view has no xmin. It is read anew, and the snapshot is none the worse.
func TestSameOfAView(t *testing.T) {
	db := database(t)
	exec(t, db, `INSERT INTO app.documents VALUES ('acme', '1', 'x'); CREATE VIEW app.shown AS SELECT * FROM app.documents`)
	view := documents
	view.Name = "app.shown"
	snapshot := take(t, postgres.New("app", db, []postgres.Table{view}))
	whole := connectors.Range{Kind: "documents", Part: "app.shown"}
	if same, err := snapshot.Same(t.Context(), whole, 1, snapshot.Watermark()); err != nil || same {
		t.Errorf("it answers %v, %v", same, err)
	}
	var got lines
	if err := snapshot.Read(t.Context(), whole, &got); err != nil || len(got) == 0 {
		t.Errorf("read %q, %v", got, err)
	}
}
