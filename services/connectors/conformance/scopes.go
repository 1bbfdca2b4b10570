package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"tenure/services/connectors"
)

func testSubject(t *testing.T, f Fixture) {
	ann := connectors.Scope{Tenant: "acme", Subject: `ann@example.org' OR 'a'='a\\`}
	if !f.Connector.Traits().Subjects {
		testNoSubjects(t, f, ann)
		return
	}
	for i, subject := range []string{ann.Subject, "bob", ann.Subject, "ANN@example.org", ""} {
		if err := f.PutFor(t.Context(), "acme", subject, fmt.Sprintf("row-%d", i), "content"); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.PutFor(t.Context(), "acm", ann.Subject, "row-0", "content"); err != nil {
		t.Fatal(err)
	}
	s, err := f.Connector.Snapshot(t.Context(), ann, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if got := read(t, s, f.Kind).ids(t); !maps.Equal(got, map[string]int{"row-0": 1, "row-2": 1}) || s.Counts()[f.Kind] != 2 {
		t.Errorf("the person has %v, and %v were counted", got, s.Counts())
	}
	if n, err := f.Connector.Bytes(t.Context(), ann); err != nil || n <= 0 {
		t.Errorf("the person's rows have %d bytes, %v", n, err)
	}
	if n, err := f.Connector.Erase(t.Context(), ann); err != nil || n.Total() != 2 {
		t.Errorf("erased %v, %v", n, err)
	}
	if n, err := f.Connector.Verify(t.Context(), ann); err != nil || n.Total() != 0 {
		t.Errorf("left are %v, %v", n, err)
	}
	if a, b := total(t, f.Connector.Count, "acme"), total(t, f.Connector.Count, "acm"); a != 3 || b != 1 {
		t.Errorf("the tenant and another have %d and %d rows, not 3 and 1", a, b)
	}
}

// testNoSubjects: a store that cannot tell whose a row is has nothing of a person, and above all keeps the others' rows.
func testNoSubjects(t *testing.T, f Fixture, ann connectors.Scope) {
	put(t, f, "acme", 3)
	s, err := f.Connector.Snapshot(t.Context(), ann, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if n := len(read(t, s, f.Kind).list); n != 0 || s.Counts().Total() != 0 {
		t.Errorf("the person has %d rows, and %v were counted", n, s.Counts())
	}
	if n, err := f.Connector.Erase(t.Context(), ann); err != nil || n.Total() != 0 {
		t.Errorf("erased %v, %v", n, err)
	}
	if n := total(t, f.Connector.Count, "acme"); n != 3 {
		t.Errorf("the tenant has %d rows, not 3", n)
	}
}

// prefixed gives each id a new one.
type prefixed struct{}

func (prefixed) Map(old string) string { return "new-" + old }

func testLoad(t *testing.T, f Fixture) {
	loader, ok := f.Connector.(connectors.Loader)
	if !ok {
		t.Skip("the store is no Loader")
	}
	put(t, f, "acme", 12)
	exported := read(t, snapshot(t, f, "acme"), f.Kind).list
	var archive []json.RawMessage
	for _, row := range exported {
		archive = append(archive, json.RawMessage(row))
	}
	for _, want := range []int64{12, 0} { // again does no harm
		if n, err := loader.Load(t.Context(), "fresh", f.Kind, archive, prefixed{}); err != nil || n != want {
			t.Fatalf("loaded %d, not %d: %v", n, want, err)
		}
	}
	loaded := read(t, snapshot(t, f, "fresh"), f.Kind).list
	if !slices.Equal(contents(t, loaded), contents(t, exported)) {
		t.Errorf("loaded %q\nfrom %q", loaded, exported)
	}
	if again := read(t, snapshot(t, f, "acme"), f.Kind).list; !slices.Equal(again, exported) {
		t.Error("the tenant whose archive it was has other rows now")
	}
	if _, err := loader.Load(t.Context(), "../acme", f.Kind, archive, prefixed{}); err == nil {
		t.Error("Load takes an id that is none")
	}
}

// contents are rows without what a row in another place has of its own, sorted.
func contents(t *testing.T, list []string) []string {
	t.Helper()
	var out []string
	for _, row := range list {
		var object map[string]any
		if err := json.Unmarshal([]byte(row), &object); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"id", "name", "created_at"} {
			delete(object, name)
		}
		content, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(content))
	}
	slices.Sort(out)
	return out
}
