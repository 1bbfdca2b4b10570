package clickhouse_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/clickhouse"
	"tenure/services/connectors/remote/remotetest"
	"tenure/shared/fault"
	"tenure/shared/testkit"
)

var acme = connectors.Tenant("acme")

func (tb table) fill(t *testing.T, tenant string, n int) {
	t.Helper()
	mustExec(t, fmt.Sprintf(`INSERT INTO %s SELECT %s, concat('row-', toString(number)), '', 'content', toDateTime(1767322800 + number), number
FROM system.numbers LIMIT %d`, tb.name, "'"+tenant+"'", n))
}

// rows is a sink that keeps everything.
type rows struct{ list []string }

func (r *rows) Write(p []byte) (int, error) {
	r.list = append(r.list, string(p))
	return len(p), nil
}

func (*rows) EndRow() error { return nil }

func read(t *testing.T, store connectors.Connector, of connectors.Scope, since time.Time) []string {
	t.Helper()
	s, err := store.Snapshot(t.Context(), of, since)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got rows
	if err := connectors.ReadKind(t.Context(), s, "documents", &got); err != nil {
		t.Fatal(err)
	}
	return got.list
}

func eraseAll(t *testing.T, store connectors.Connector, want int64) {
	t.Helper()
	if n, err := store.Erase(t.Context(), acme); err != nil || n.Total() != want {
		t.Errorf("erased %v of %d: %v", n, want, err)
	}
	if n, err := store.Verify(t.Context(), acme); err != nil || n.Total() != 0 {
		t.Errorf("left are %v: %v", n, err)
	}
}

func TestAServerThatFailsEveryFifthCall(t *testing.T) {
	tb := newTable(t, "MergeTree ORDER BY (tenant_id, id)")
	tb.fill(t, "acme", 10_000)
	store := tb.connect(t, remotetest.Flaky(t, server.URL, 5))
	for range 10 {
		if got := read(t, store, acme, time.Time{}); len(got) != 10_000 {
			t.Errorf("read %d of 10,000 rows", len(got))
		}
	}
	eraseAll(t, store, 10_000)
}

func TestAServerThatIsGoneIsWaitedFor(t *testing.T) {
	tb := newTable(t, "MergeTree ORDER BY (tenant_id, id)")
	tb.fill(t, "acme", 10)
	proxy, through := testkit.ProxyURL(t, server.URL)
	store := tb.connect(t, through)
	proxy.Down()
	_, err := store.Verify(t.Context(), acme)
	if _, wait := fault.Delay(err); !wait {
		t.Errorf("Verify answers %v, which does not say to wait", err)
	}
	proxy.Up()
	eraseAll(t, store, 10)
}

// The server sends what it has before it finds out that it cannot go on: the exception comes as one more line, behind rows and
// a status that says success.
func TestAnAnswerThatFailsMidway(t *testing.T) {
	const failing = "SELECT throwIf(number = 3000000) AS n FROM system.numbers LIMIT 5000000 FORMAT JSONEachRow"
	rows := queryText(t, failing)
	said := rows[strings.LastIndex(rows, "\n")+1:]
	if !strings.HasPrefix(rows, `{"n":0}`) || !strings.HasPrefix(said, "Code: ") {
		t.Fatalf("the server's answer ends with %q", said)
	}
	tb := newTable(t, "MergeTree ORDER BY (tenant_id, id)")
	tb.fill(t, "acme", 3)
	for name, behind := range map[string]string{"an exception": said, "half a row": `{"id":"row-4","con`, "nothing of the kind": `{"exception":"Code: 395."}`} {
		_, err := tb.connect(t, trailing(t, behind)).Snapshot(t.Context(), acme, time.Time{})
		if err == nil || name == "an exception" && !strings.Contains(err.Error(), "throwIf") {
			t.Errorf("with %s behind the rows, Snapshot answers %v", name, err)
		}
	}
}

// trailing is the server with a line behind the rows of each export.
func trailing(t *testing.T, line string) string {
	t.Helper()
	to, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(to)
	forward.ModifyResponse = func(resp *http.Response) error {
		if resp.Request.Header.Get("Exporting") != "" {
			resp.Body = io.NopCloser(io.MultiReader(resp.Body, strings.NewReader(line)))
			resp.ContentLength = -1
			resp.Header.Del("Content-Length")
		}
		return nil
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		statement, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(statement))
		if bytes.HasSuffix(statement, []byte("JSONEachRow")) {
			r.Header.Set("Exporting", "1")
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// exception is a server that knows the tables and then fails with an exception, each time with status 500.
func exception(t *testing.T, text string) *clickhouse.Store {
	t.Helper()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, text, http.StatusInternalServerError)
	}))
	t.Cleanup(front.Close)
	store, err := clickhouse.New("facts", clickhouse.Config{URL: front.URL, Tables: []clickhouse.Table{{Name: "t", Tenant: "tenant_id", Subject: "person"}}})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestWhichExceptionsAreWaitedFor(t *testing.T) {
	for text, want := range map[string]bool{
		"Code: 241, e.displayText() = DB::Exception: Memory limit exceeded":      true,
		"Code: 202. DB::Exception: Too many simultaneous queries":                true,
		"Code: 47, e.displayText() = DB::Exception: Unknown identifier: 'ann@x'": false,
		"upstream connect error": true,
	} {
		_, err := exception(t, text).Count(t.Context(), connectors.Scope{Tenant: "acme", Subject: "ann@x"})
		if _, wait := fault.Delay(err); err == nil || wait != want {
			t.Errorf("%s: Count answers %v", text, err)
		}
		if strings.Contains(err.Error(), "ann@x") {
			t.Errorf("the error names a person: %v", err)
		}
	}
}

func TestATableThatIsNotAsTheDataMapSays(t *testing.T) {
	memory, merge := newTable(t, "Memory"), newTable(t, "MergeTree ORDER BY id")
	for name, c := range map[string]clickhouse.Table{
		"no table":          {Name: "nowhere", Tenant: "tenant_id"},
		"no database":       {Name: "nowhere." + merge.name, Tenant: "tenant_id"},
		"an engine without": {Name: memory.name, Tenant: "tenant_id"},
		"no column":         {Name: merge.name, Tenant: "tennant_id"},
		"no person":         {Name: merge.name, Tenant: "tenant_id", Subject: "persona"},
	} {
		store, err := clickhouse.New("facts", clickhouse.Config{URL: server.URL, Tables: []clickhouse.Table{c}})
		if err != nil {
			t.Fatal(err)
		}
		of := acme
		if c.Subject != "" {
			of.Subject = "ann"
		}
		if n, err := store.Verify(t.Context(), of); err == nil {
			t.Errorf("%s: Verify answers %v", name, n)
		}
	}
}
