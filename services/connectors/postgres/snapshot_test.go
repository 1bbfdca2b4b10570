package postgres_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
	"tenure/shared/fault"
)

// TestManySnapshotsOnOneConnection would stand still if a snapshot kept a connection of the pool.
func TestManySnapshotsOnOneConnection(t *testing.T) {
	db := database(t)
	exec(t, db, `INSERT INTO app.documents SELECT 'acme', n, 'content' FROM generate_series(1, 100) AS n`)
	cfg := db.Config()
	cfg.MaxConns = 1
	narrow, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer narrow.Close()
	store := postgres.New("app", narrow, []postgres.Table{documents})
	for range 5 {
		snapshot := take(t, store)
		ranges, err := snapshot.Ranges(t.Context(), "documents", 4)
		if err != nil || len(ranges) != 4 {
			t.Fatalf("ranges are %v, %v", ranges, err)
		}
		done := make(chan error)
		for _, r := range ranges {
			go func() { done <- snapshot.Read(t.Context(), r, &positions{snapshot: snapshot, of: r}) }()
		}
		for range ranges {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
}

// positions is a sink that asks where it is at every row.
type positions struct {
	lines
	snapshot connectors.Snapshot
	of       connectors.Range
	rows     int64
}

func (p *positions) EndRow() error {
	p.rows++
	_, err := p.snapshot.Position(context.Background(), p.of, p.rows)
	return err
}

// TestALostSnapshotIsTakenAnew: its rows are gone, but not the store.
func TestALostSnapshotIsTakenAnew(t *testing.T) {
	db := database(t)
	exec(t, db, `INSERT INTO app.documents VALUES ('acme', '1', 'x')`)
	snapshot := take(t, postgres.New("app", db, []postgres.Table{documents}))
	snapshot.Close()
	err := connectors.ReadKind(t.Context(), snapshot, "documents", &lines{})
	if err == nil {
		t.Error("it is read all the same")
	}
	r := connectors.Range{Kind: "documents", Part: "app.documents"}
	if err := snapshot.Read(t.Context(), r, &lines{}); !waits(err) {
		t.Errorf("Read answers %v", err)
	}
	if _, err := snapshot.Same(t.Context(), r, 1, snapshot.Watermark()); !waits(err) {
		t.Errorf("Same answers %v", err)
	}
}

// TestANullInTheKeyIsAnError: in an order that it is no part of, the row would be in no range.
func TestANullInTheKeyIsAnError(t *testing.T) {
	db := database(t)
	exec(t, db, `CREATE TABLE app.notes (tenant_id text, id text); INSERT INTO app.notes VALUES ('acme', NULL), ('acme', NULL)`)
	notes := postgres.Table{Name: "app.notes", Tenant: "tenant_id", Key: []string{"id"}, Kind: "documents", Columns: []string{"id"}}
	if ranges, err := take(t, postgres.New("app", db, []postgres.Table{notes})).Ranges(t.Context(), "documents", 2); !fault.IsPermanent(err) {
		t.Errorf("ranges are %v, %v", ranges, err)
	}
}
