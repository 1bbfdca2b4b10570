package clickhouse_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"tenure/services/connectors/clickhouse"
	"tenure/services/connectors/clickhouse/clickhousetest"
	"tenure/services/connectors/conformance"
)

var server *clickhousetest.Server

// TestMain starts one server for all tests; each has a table of its own.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if server, err = clickhousetest.Start(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer server.Stop()
		return m.Run()
	}())
}

// exec runs a statement as the SaaS would.
func exec(ctx context.Context, statement string) error {
	_, err := answer(ctx, statement)
	return err
}

func answer(ctx context.Context, statement string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader(statement))
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", text)
	}
	return strings.TrimSpace(string(text)), err
}

func queryText(t *testing.T, statement string) string {
	t.Helper()
	text, err := answer(t.Context(), statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return text
}

func mustExec(t *testing.T, statement string) {
	t.Helper()
	if err := exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// table is a table of the test's.
type table struct{ name string }

// newTable makes a table; engine is all behind ENGINE =.
func newTable(t *testing.T, engine string) table {
	t.Helper()
	made := table{"t_" + strings.ToLower(rand.Text())}
	mustExec(t, fmt.Sprintf("CREATE TABLE %s (tenant_id String, id String, person String, content String, seen DateTime, written UInt64) ENGINE = %s",
		made.name, engine))
	t.Cleanup(func() { _ = exec(context.Background(), "DROP TABLE "+made.name) })
	return made
}

func (tb table) config() clickhouse.Table {
	return clickhouse.Table{
		Name: "default." + tb.name, Tenant: "tenant_id", Key: []string{"id"}, Kind: "documents",
		Columns: []string{"id", "content", "written"}, Changed: "seen", Subject: "person",
	}
}

func (tb table) connect(t *testing.T, url string) *clickhouse.Store {
	t.Helper()
	store, err := clickhouse.New("facts", clickhouse.Config{URL: url, Tables: []clickhouse.Table{tb.config()}})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

var written uint64

func (tb table) putFor(ctx context.Context, tenant, person, id, content string) error {
	written++
	row, err := json.Marshal(map[string]any{
		"tenant_id": tenant, "id": id, "person": person, "content": content, "written": written, "seen": "2026-01-02 03:04:05",
	})
	if err != nil {
		return err
	}
	return exec(ctx, "INSERT INTO "+tb.name+" FORMAT JSONEachRow "+string(row))
}

func (tb table) put(ctx context.Context, tenant, id, content string) error {
	return tb.putFor(ctx, tenant, "", id, content)
}

func (tb table) fixture(t *testing.T) conformance.Fixture {
	return conformance.Fixture{
		Connector: tb.connect(t, server.URL), Kind: "documents", Many: 250, Put: tb.put, PutFor: tb.putFor,
	}
}

const anew = "written anew"

func TestConformance(t *testing.T) {
	t.Run("rows that are replaced", func(t *testing.T) {
		conformance.Run(t, func(t *testing.T) conformance.Fixture {
			// Merges pass over rows in different partitions: what was replaced stays there.
			tb := newTable(t, "ReplacingMergeTree(written) PARTITION BY content = '"+anew+"' ORDER BY (tenant_id, id)")
			f := tb.fixture(t)
			f.Clutter = func(ctx context.Context, tenant string) error { return tb.put(ctx, tenant, "row-00000", anew) }
			return f
		})
	})
	t.Run("a partition for each tenant", func(t *testing.T) {
		conformance.Run(t, func(t *testing.T) conformance.Fixture {
			return newTable(t, "MergeTree PARTITION BY tenant_id ORDER BY id").fixture(t)
		})
	})
}
