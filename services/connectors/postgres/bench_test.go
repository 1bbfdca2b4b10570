package postgres_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
	"tenure/shared/testkit"
)

// The rows are as performance.md's figures have them: documents of 6 KiB with jsonb. Each benchmark stands beside the
// plain statement it must keep up with; compare ratios, as the figures move between machines.
const (
	benchRows    = 20_000
	benchContent = 6 << 10
)

var benchDocuments = postgres.Table{
	Name: "app.documents", Tenant: "tenant_id", Key: []string{"id"}, Kind: "documents", Columns: []string{"id", "content", "metadata"},
}

func benchDatabase(b *testing.B) *pgxpool.Pool {
	b.Helper()
	db, err := pgxpool.New(b.Context(), testkit.Postgres(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(db.Close)
	benchExec(b, db, `CREATE SCHEMA app; CREATE TABLE app.documents (tenant_id text, id text, content text, metadata jsonb, PRIMARY KEY (tenant_id, id))`)
	benchExec(b, db, `CREATE TABLE app.template AS SELECT n::text AS id, jsonb_build_object('n', n, 'tags', ARRAY['a', 'b']) AS metadata,
		(SELECT string_agg(md5(n || '.' || i), '') FROM generate_series(1, $2::int / 32) AS i) AS content FROM generate_series(1, $1::int) AS n`, benchRows, benchContent)
	return db
}

func benchExec(b *testing.B, db *pgxpool.Pool, sql string, args ...any) {
	b.Helper()
	if _, err := db.Exec(b.Context(), sql, args...); err != nil {
		b.Fatal(err)
	}
}

func benchFill(b *testing.B, db *pgxpool.Pool) {
	b.Helper()
	benchExec(b, db, `INSERT INTO app.documents SELECT tenant, id, content, metadata FROM app.template t, unnest(ARRAY['acme', 'other']) AS tenant`)
	benchExec(b, db, `VACUUM ANALYZE app.documents`)
}

// meter is a sink that counts.
type meter struct{ bytes int64 }

func (m *meter) Write(p []byte) (int, error) { m.bytes += int64(len(p)); return len(p), nil }
func (m *meter) EndRow() error               { return nil }

func BenchmarkRead(b *testing.B) {
	db := benchDatabase(b)
	benchFill(b, db)
	store := postgres.New("app", db, []postgres.Table{benchDocuments})
	b.Run("plain COPY", func(b *testing.B) {
		conn, err := db.Acquire(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Release()
		for b.Loop() {
			m := &meter{}
			const query = `COPY (SELECT row_to_json(r)::text FROM (SELECT id, content, metadata FROM app.documents WHERE tenant_id = 'acme' ORDER BY id) AS r) TO STDOUT`
			if _, err := conn.Conn().PgConn().CopyTo(b.Context(), struct{ io.Writer }{m}, query); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(m.bytes)
		}
	})
	for name, n := range map[string]int{"one range": 1, "four ranges": 4} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.SetBytes(benchRead(b, store, n))
			}
		})
	}
}

func benchRead(b *testing.B, store *postgres.Store, n int) (total int64) {
	snapshot, err := store.Snapshot(b.Context(), connectors.Tenant("acme"), time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	defer snapshot.Close()
	ranges, err := snapshot.Ranges(b.Context(), "documents", n)
	if err != nil {
		b.Fatal(err)
	}
	meters := make([]meter, len(ranges))
	var readers sync.WaitGroup
	for i, r := range ranges {
		readers.Go(func() {
			if err := snapshot.Read(b.Context(), r, &meters[i]); err != nil {
				b.Error(err)
			}
		})
	}
	readers.Wait()
	for _, m := range meters {
		total += m.bytes
	}
	return total
}

// BenchmarkErase reports rows/s.
func BenchmarkErase(b *testing.B) {
	for name, erase := range map[string]func(ctx context.Context, db *pgxpool.Pool) error{
		"plain DELETE": func(ctx context.Context, db *pgxpool.Pool) error {
			_, err := db.Exec(ctx, `DELETE FROM app.documents WHERE tenant_id = 'acme'`)
			return err
		},
		"Erase": func(ctx context.Context, db *pgxpool.Pool) error {
			_, err := postgres.New("app", db, []postgres.Table{benchDocuments}).Erase(ctx, connectors.Tenant("acme"))
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			db := benchDatabase(b)
			for b.Loop() {
				b.StopTimer()
				benchExec(b, db, `TRUNCATE app.documents`)
				benchFill(b, db)
				b.StartTimer()
				if err := erase(b.Context(), db); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(benchRows*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
