package clickhouse_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/clickhouse"
	"tenure/shared/fault"
	"tenure/shared/testkit"
)

func TestRowsAreAsTheReaderSeesThem(t *testing.T) {
	tb := newTable(t, "ReplacingMergeTree(written) PARTITION BY content = '"+anew+"' ORDER BY (tenant_id, id)")
	for _, content := range []string{"first", anew} {
		if err := tb.put(t.Context(), "acme", "row", content); err != nil {
			t.Fatal(err)
		}
	}
	store := tb.connect(t, server.URL)
	if n, err := store.Count(t.Context(), acme); err != nil || n.Total() != 1 {
		t.Errorf("Count answers %v, %v", n, err)
	}
	if n, err := store.Verify(t.Context(), acme); err != nil || n.Total() != 2 {
		t.Errorf("Verify answers %v, %v: it must see the replaced row", n, err)
	}
	want := fmt.Sprintf(`{"id":"row","content":"%s","written":%d}`, anew, written)
	if got := read(t, store, acme, time.Time{}); !slices.Equal(got, []string{want}) {
		t.Errorf("read %q, not %s", got, want)
	}
}

func TestRowsSince(t *testing.T) {
	tb := newTable(t, "MergeTree ORDER BY (tenant_id, id)")
	tb.fill(t, "acme", 100) // one a second
	store := tb.connect(t, server.URL)
	if got := read(t, store, acme, time.Unix(1767322800+90, 0)); len(got) != 10 {
		t.Errorf("%d rows are from the last 10 seconds", len(got))
	}
}

func TestBytesThatAreNoText(t *testing.T) {
	tb := newTable(t, "MergeTree ORDER BY (tenant_id, id)")
	mustExec(t, "INSERT INTO "+tb.name+` (tenant_id, id, content) VALUES ('acme', 'row', unhex('FF41'))`)
	if got := read(t, tb.connect(t, server.URL), acme, time.Time{}); len(got) != 1 || !strings.Contains(got[0], "\uFFFDA") {
		t.Errorf("read %q", got)
	}
}

// Hostile names and keys are data, whatever is in them.
func TestQuoting(t *testing.T) {
	name := "t`\\'; DROP TABLE " + strings.ToLower(t.Name())
	column := "who`s \\ it"
	quoted := "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
	quotedColumn := "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(column) + "`"
	mustExec(t, fmt.Sprintf("CREATE TABLE %s (tenant_id String, id String, %s String) ENGINE = MergeTree ORDER BY id", quoted, quotedColumn))
	t.Cleanup(func() { _ = exec(context.Background(), "DROP TABLE "+quoted) })
	subjects := []string{`ann' OR 'a'='a`, `back\slash\'`, "`", "{x:String}", "new\nline\ttab\r\u2028", "\u0001\u007f", `\0`, "äöü🔒", "%"}
	for i, subject := range subjects {
		literal := "'" + strings.NewReplacer("\\", "\\\\", "'", "\\'").Replace(subject) + "'"
		mustExec(t, fmt.Sprintf("INSERT INTO %s VALUES ('acme', '%d', %s)", quoted, i, literal))
	}
	store, err := clickhouse.New("facts", clickhouse.Config{URL: server.URL, Tables: []clickhouse.Table{{
		Name: name, Tenant: "tenant_id", Key: []string{"id"}, Kind: "documents", Columns: []string{"id"}, Subject: column,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, subject := range subjects {
		of := connectors.Scope{Tenant: "acme", Subject: subject}
		if got := read(t, store, of, time.Time{}); !slices.Equal(got, []string{fmt.Sprintf(`{"id":"%d"}`, i)}) {
			t.Errorf("%q has %q", subject, got)
		}
		if n, err := store.Erase(t.Context(), of); err != nil || n.Total() != 1 {
			t.Errorf("%q: erased %v, %v", subject, n, err)
		}
	}
}

// A mutation goes on when nobody waits for it. The next Erase waits for that one and asks for no other.
func TestEraseWaitsForTheMutationUnderWay(t *testing.T) {
	tb := newTable(t, "MergeTree ORDER BY (tenant_id, id)")
	tb.fill(t, "acme", 1000)
	tb.fill(t, "acm", 10)
	mustExec(t, "SYSTEM STOP MERGES") // and mutations, which are merges to the server
	t.Cleanup(func() { _ = exec(context.Background(), "SYSTEM START MERGES") })
	store := clickhouse.WithPatience(tb.connect(t, server.URL), 300*time.Millisecond)
	for range 2 {
		_, err := store.Erase(t.Context(), acme)
		if _, wait := fault.Delay(err); !wait {
			t.Fatalf("Erase answers %v, which does not say to wait", err)
		}
	}
	mustExec(t, "SYSTEM START MERGES")
	tb.fill(t, "acm", 1) // wakes the server's background pool
	testkit.WaitFor(t, 30*time.Second, "erased", func() bool {
		_, err := store.Erase(t.Context(), acme)
		if _, wait := fault.Delay(err); err != nil && !wait {
			t.Fatal(err)
		}
		return err == nil
	})
	eraseAll(t, store, 0)
	if n, err := store.Count(t.Context(), connectors.Tenant("acm")); err != nil || n.Total() != 11 {
		t.Errorf("another tenant has %v rows, %v", n, err)
	}
	if got := queryText(t, "SELECT count() FROM system.mutations WHERE table = '"+tb.name+"'"); got != "1" {
		t.Errorf("%s mutations were asked for", got)
	}
}

func TestATenantsPartitionIsDropped(t *testing.T) {
	tb := newTable(t, "MergeTree PARTITION BY tenant_id ORDER BY id")
	tb.fill(t, "acme", 1000)
	tb.fill(t, "acm", 10)
	eraseAll(t, tb.connect(t, server.URL), 1000)
	if got := queryText(t, "SELECT count() FROM system.mutations WHERE table = '"+tb.name+"'"); got != "0" {
		t.Errorf("%s mutations were asked for", got)
	}
	if got := queryText(t, "SELECT partition FROM system.parts WHERE active AND table = '"+tb.name+"'"); got != "acm" {
		t.Errorf("the partitions left are %q", got)
	}
}

func TestAnAddressThatIsNone(t *testing.T) {
	for _, at := range []string{"", "clickhouse:8123", "tcp://host:9000", "http://"} {
		if _, err := clickhouse.New("facts", clickhouse.Config{URL: at}); err == nil {
			t.Errorf("%q is taken", at)
		}
	}
}
