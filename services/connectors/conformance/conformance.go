// Package conformance holds every kind of store to the same rules. Each connector's test runs it on the real thing.
package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tenure/services/connectors"
)

// Fixture is a connector and the way past it into its store.
type Fixture struct {
	Connector connectors.Connector
	// Kind is what the store exports. Its rows have an "id".
	Kind string
	// Put writes one row of that kind, or writes it anew, as the SaaS would.
	Put func(ctx context.Context, tenant, id, content string) error
	// Clutter leaves what only Verify can find, where the store has such a thing: old versions, unfinished uploads.
	Clutter func(ctx context.Context, tenant string) error
	// Many is a number of rows that takes several pages or chunks.
	Many int

	// Delete removes one row as the SaaS would. Left out: nobody can.
	Delete func(ctx context.Context, tenant, id string) error
	// PutFor writes a row of a person's. It goes with Traits().Subjects.
	PutFor func(ctx context.Context, tenant, subject, id, content string) error
}

// tenants have ids that a careless prefix or pattern would mix up.
var tenants = []string{"acme", "acme-2", "acm_", "acm", "ACME", "a"}

// Run tests one store; fresh returns an empty one.
func Run(t *testing.T, fresh func(t *testing.T) Fixture) {
	for name, test := range map[string]func(*testing.T, Fixture){
		"a tenant without data":                 testEmpty,
		"traits and size":                       testTraits,
		"counts are the rows":                   testCountsAreRows,
		"each tenant has its own rows":          testIsolation,
		"hostile content stays on its line":     testHostileContent,
		"a snapshot stands still":               testSnapshotStandsStill,
		"two reads give the same bytes":         testSameBytes,
		"a sink's error ends the reading":       testSinkError,
		"a cancelled reading ends":              testCancelledRead,
		"ranges are the rows":                   testRanges,
		"ranges are read side by side":          testSideBySide,
		"a position has the rest behind it":     testPosition,
		"what is the same need not be read":     testSame,
		"a person's rows":                       testSubject,
		"what was exported can be loaded":       testLoad,
		"erasing takes all of one tenant alone": testErase,
		"erasing goes on after it was stopped":  testEraseGoesOn,
		"ids that are none are refused":         testRefusesIDs,
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

// rows is a sink that keeps everything.
type rows struct {
	open []byte
	list []string
}

func (r *rows) Write(p []byte) (int, error) {
	r.open = append(r.open, p...)
	return len(p), nil
}

func (r *rows) EndRow() error {
	r.list = append(r.list, string(r.open))
	r.open = nil
	return nil
}

func (r *rows) ids(t *testing.T) map[string]int {
	t.Helper()
	ids := map[string]int{}
	for _, row := range r.list {
		var object struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(row), &object); err != nil || object.ID == "" {
			t.Errorf("row %q is no object with an id: %v", row, err)
		}
		if strings.ContainsAny(row, "\r\n") {
			t.Errorf("row %q is more than one line", row)
		}
		ids[object.ID]++
	}
	return ids
}

func put(t *testing.T, f Fixture, tenant string, n int) map[string]int {
	t.Helper()
	want := map[string]int{}
	for i := range n {
		id := fmt.Sprintf("row-%05d", i)
		if err := f.Put(t.Context(), tenant, id, "content of "+id); err != nil {
			t.Fatalf("put %s: %v", id, err)
		}
		want[id] = 1
	}
	return want
}

func snapshot(t *testing.T, f Fixture, tenant string) connectors.Snapshot {
	t.Helper()
	s, err := f.Connector.Snapshot(t.Context(), connectors.Tenant(tenant), time.Time{})
	if err != nil {
		t.Fatalf("snapshot of %s: %v", tenant, err)
	}
	t.Cleanup(s.Close)
	return s
}

func read(t *testing.T, s connectors.Snapshot, kind string) *rows {
	t.Helper()
	var r rows
	if err := connectors.ReadKind(t.Context(), s, kind, &r); err != nil {
		t.Fatalf("read: %v", err)
	}
	if len(r.open) > 0 {
		t.Errorf("the last row was not ended: %q", r.open)
	}
	return &r
}

func total(t *testing.T, counts func(context.Context, connectors.Scope) (connectors.Counts, error), tenant string) int64 {
	t.Helper()
	c, err := counts(t.Context(), connectors.Tenant(tenant))
	if err != nil {
		t.Fatalf("count %s: %v", tenant, err)
	}
	return c.Total()
}

func testEmpty(t *testing.T, f Fixture) {
	if f.Connector.Name() == "" {
		t.Error("the store has no name")
	}
	s := snapshot(t, f, "acme")
	if n := s.Counts()[f.Kind]; n != 0 {
		t.Errorf("the snapshot counts %d", n)
	}
	if r := read(t, s, f.Kind); len(r.list) != 0 {
		t.Errorf("read %q", r.list)
	}
	for what, counts := range map[string]func(context.Context, connectors.Scope) (connectors.Counts, error){
		"Count": f.Connector.Count, "Erase": f.Connector.Erase, "Verify": f.Connector.Verify,
	} {
		if n := total(t, counts, "acme"); n != 0 {
			t.Errorf("%s answers %d", what, n)
		}
	}
}

func testTraits(t *testing.T, f Fixture) {
	if traits := f.Connector.Traits(); traits.Kind == "" || len(traits.Targets) == 0 {
		t.Errorf("traits are %+v", traits)
	}
	put(t, f, "acme", 3)
	for tenant, some := range map[string]bool{"acme": true, "nobody": false} {
		if n, err := f.Connector.Bytes(t.Context(), connectors.Tenant(tenant)); err != nil || n > 0 != some {
			t.Errorf("%s has %d bytes, %v", tenant, n, err)
		}
	}
}

func testCountsAreRows(t *testing.T, f Fixture) {
	want := put(t, f, "acme", f.Many)
	s := snapshot(t, f, "acme")
	if n := s.Counts()[f.Kind]; n != int64(f.Many) {
		t.Errorf("the snapshot counts %d of %d", n, f.Many)
	}
	if got := read(t, s, f.Kind).ids(t); !maps.Equal(got, want) {
		t.Errorf("read %d distinct ids of %d", len(got), len(want))
	}
	if n := total(t, f.Connector.Count, "acme"); n != int64(f.Many) {
		t.Errorf("Count answers %d of %d", n, f.Many)
	}
	if w := s.Watermark(); w.Store != f.Connector.Name() || w.TakenAt.IsZero() {
		t.Errorf("the watermark is %+v", w)
	}
	if r := read(t, s, "no such kind"); len(r.list) != 0 {
		t.Errorf("a kind that is not there has %d rows", len(r.list))
	}
}

func testIsolation(t *testing.T, f Fixture) {
	for i, tenant := range tenants {
		put(t, f, tenant, i+1)
	}
	for i, tenant := range tenants {
		s := snapshot(t, f, tenant)
		if n := len(read(t, s, f.Kind).list); n != i+1 {
			t.Errorf("%s has %d rows, not %d", tenant, n, i+1)
		}
		s.Close()
	}
}

func testHostileContent(t *testing.T, f Fixture) {
	const content = "line\nbreak\r\n\ttab \\n \\ \"quoted\" \\. \u2028 \u0001 \U0001F512 ../../x"
	if err := f.Put(t.Context(), "acme", "row-1", content); err != nil {
		t.Fatal(err)
	}
	r := read(t, snapshot(t, f, "acme"), f.Kind)
	if got := r.ids(t); !maps.Equal(got, map[string]int{"row-1": 1}) {
		t.Errorf("read %v", got)
	}
}

func testSnapshotStandsStill(t *testing.T, f Fixture) {
	want := put(t, f, "acme", 3)
	s := snapshot(t, f, "acme")
	if err := f.Put(t.Context(), "acme", "row-later", "written after the snapshot"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, f.Kind).ids(t); !maps.Equal(got, want) {
		t.Errorf("the snapshot has %v, not %v", got, want)
	}
}

func testSameBytes(t *testing.T, f Fixture) {
	put(t, f, "acme", 20)
	first := read(t, snapshot(t, f, "acme"), f.Kind)
	second := read(t, snapshot(t, f, "acme"), f.Kind)
	if !slices.Equal(first.list, second.list) {
		t.Error("two reads of the same rows differ")
	}
}

// full is a sink that takes one row.
type full struct{ rows }

var errFull = errors.New("the sink is full")

func (f *full) EndRow() error {
	if len(f.list) > 0 {
		return errFull
	}
	return f.rows.EndRow()
}

func testSinkError(t *testing.T, f Fixture) {
	put(t, f, "acme", 10)
	s := snapshot(t, f, "acme")
	if err := connectors.ReadKind(t.Context(), s, f.Kind, &full{}); !errors.Is(err, errFull) {
		t.Errorf("Read answers %v, not the sink's error", err)
	}
	s.Close()
	if n := total(t, f.Connector.Count, "acme"); n != 10 {
		t.Errorf("the store is of no use afterwards: Count answers %d", n)
	}
}

// cancelling is a sink that cancels the reading at its first row.
type cancelling struct {
	rows
	cancel func()
}

func (c *cancelling) EndRow() error {
	c.cancel()
	return c.rows.EndRow()
}

func testCancelledRead(t *testing.T, f Fixture) {
	large := strings.Repeat("more than any buffer holds ", 10_000)
	for i := range 30 {
		if err := f.Put(t.Context(), "acme", fmt.Sprintf("row-%d", i), large); err != nil {
			t.Fatal(err)
		}
	}
	s := snapshot(t, f, "acme")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := connectors.ReadKind(ctx, s, f.Kind, &cancelling{cancel: cancel}); err == nil {
		t.Error("a cancelled Read says that it read everything")
	}
}

func testErase(t *testing.T, f Fixture) {
	put(t, f, "acme", f.Many)
	put(t, f, "acm", 2)
	put(t, f, "acme-2", 3)
	if f.Clutter != nil {
		if err := f.Clutter(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
	}
	before := total(t, f.Connector.Verify, "acme")
	if f.Clutter != nil && before <= int64(f.Many) {
		t.Errorf("Verify answers %d: it did not see the clutter", before)
	}
	if n := total(t, f.Connector.Erase, "acme"); n != before {
		t.Errorf("Erase answers %d of %d", n, before)
	}
	if n := total(t, f.Connector.Verify, "acme"); n != 0 {
		t.Errorf("Verify answers %d after the erasure", n)
	}
	if n := total(t, f.Connector.Erase, "acme"); n != 0 {
		t.Errorf("the second Erase answers %d", n)
	}
	if a, b := total(t, f.Connector.Count, "acm"), total(t, f.Connector.Count, "acme-2"); a != 2 || b != 3 {
		t.Errorf("other tenants have %d and %d rows, not 2 and 3", a, b)
	}
}

func testEraseGoesOn(t *testing.T, f Fixture) {
	put(t, f, "acme", 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Connector.Erase(ctx, connectors.Tenant("acme")); err == nil {
		t.Error("a cancelled Erase says that it is done")
	}
	if _, err := f.Connector.Erase(t.Context(), connectors.Tenant("acme")); err != nil {
		t.Fatal(err)
	}
	if n := total(t, f.Connector.Verify, "acme"); n != 0 {
		t.Errorf("Verify answers %d after the second try", n)
	}
}

func testRefusesIDs(t *testing.T, f Fixture) {
	put(t, f, "acme", 1)
	for _, id := range []string{"", "%", "*", "..", "../acme", "acme/", "x' OR 1=1 --", "a.>"} {
		if _, err := f.Connector.Count(t.Context(), connectors.Tenant(id)); err == nil {
			t.Errorf("Count takes %q", id)
		}
		if _, err := f.Connector.Snapshot(t.Context(), connectors.Tenant(id), time.Time{}); err == nil {
			t.Errorf("Snapshot takes %q", id)
		}
		if _, err := f.Connector.Erase(t.Context(), connectors.Tenant(id)); err == nil {
			t.Errorf("Erase takes %q", id)
		}
		if _, err := f.Connector.Verify(t.Context(), connectors.Tenant(id)); err == nil {
			t.Errorf("Verify takes %q", id)
		}
	}
	if n := total(t, f.Connector.Count, "acme"); n != 1 {
		t.Errorf("acme has %d rows afterwards, not 1", n)
	}
}
