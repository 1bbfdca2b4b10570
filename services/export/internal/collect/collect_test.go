package collect_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/services/export/internal/collect"
	"tenure/services/export/internal/manifest"
	"tenure/shared/fault"
)

func names(t *testing.T, object []byte) []string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(object), int64(len(object)))
	check(t, err)
	var all []string
	for _, f := range z.File {
		all = append(all, f.Name)
	}
	return all
}

// lines are the rows of the files whose name begins so, in the order of the archive.
func lines(t *testing.T, object []byte, prefix string) (all []string) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(object), int64(len(object)))
	check(t, err)
	for _, f := range z.File {
		if !strings.HasPrefix(f.Name, prefix) {
			continue
		}
		r, err := f.Open()
		check(t, err)
		content, err := io.ReadAll(r)
		check(t, err)
		all = append(all, strings.FieldsFunc(string(content), func(c rune) bool { return c == '\n' })...)
	}
	return all
}

func TestArchiveOfSeveralStores(t *testing.T) {
	app := &shelf{name: "app", clock: 1, kinds: map[string][]row{"documents": rows(3, 10), "usage": rows(1, 10)}}
	files := &shelf{name: "files", kinds: map[string][]row{"documents": rows(2, 10), "invoices": rows(1, 10)}}
	made, object := writeAll(t, collect.Wanted{}, app, files)
	if app.open != 0 || files.open != 0 {
		t.Error("a snapshot was left open")
	}
	want := map[string]int64{"documents": 5, "vectors": 0, "usage": 1, "billing": 0, "audit": 0, "invoices": 1}
	m := made.Manifest
	if !maps.Equal(m.ExpectedCounts, want) || !maps.Equal(m.ActualCounts, want) {
		t.Errorf("counts are %v and %v, not %v", m.ExpectedCounts, m.ActualCounts, want)
	}
	if !m.SnapshotAt.Equal(noon) || len(m.Stores) != 2 || m.Stores[0].Position != "1" {
		t.Errorf("the snapshot is of %v: %+v", m.SnapshotAt, m.Stores)
	}
	layout := []string{
		"metadata.json", "documents/part-00001.ndjson", "documents/part-00002.ndjson", "vectors/part-00001.ndjson",
		"usage.ndjson", "billing.ndjson", "audit.ndjson", "invoices/part-00001.ndjson", "manifest.json",
	}
	if got := names(t, object); !slices.Equal(got, layout) {
		t.Errorf("the files are %q, not %q", got, layout)
	}
	if m.Files[1].Store != "app" || m.Files[2].Store != "files" {
		t.Errorf("the files are of %q and %q", m.Files[1].Store, m.Files[2].Store)
	}
	if !bytes.HasPrefix(object, []byte("PK\x03\x04")) || !bytes.HasPrefix(object[30:], []byte("metadata.json")) {
		t.Error("a small archive does not begin with its metadata")
	}
}

func TestArchiveOfSomeKinds(t *testing.T) {
	app := &shelf{name: "app", kinds: map[string][]row{"documents": rows(3, 10), "usage": rows(1, 10)}}
	made, object := writeAll(t, collect.Wanted{Since: noon, Kinds: []string{"audit", "documents"}}, app)
	m := made.Manifest
	if !app.since.Equal(noon) || !m.Since.Equal(noon) {
		t.Errorf("asked since %v, told %v", app.since, m.Since)
	}
	if want := map[string]int64{"documents": 3, "audit": 0}; !maps.Equal(m.ActualCounts, want) || !maps.Equal(m.ExpectedCounts, want) {
		t.Errorf("counts are %v and %v, not %v", m.ExpectedCounts, m.ActualCounts, want)
	}
	if got := names(t, object); !slices.Equal(got, []string{"metadata.json", "documents/part-00001.ndjson", "audit.ndjson", "manifest.json"}) {
		t.Errorf("the files are %q", got)
	}
}

func TestFilesAreCutBySize(t *testing.T) {
	app := &shelf{name: "app", files: 7, kinds: map[string][]row{"documents": rows(70, 100)}}
	made, object := writeAll(t, collect.Wanted{}, app)
	if got := len(lines(t, object, "documents/")); got != 70 {
		t.Errorf("there are %d documents", got)
	}
	var files []string
	for _, f := range made.Manifest.Files {
		if manifest.KindOf(f.Name) == "documents" {
			files = append(files, f.Name)
			if f.Rows != 10 {
				t.Errorf("%s has %d rows", f.Name, f.Rows)
			}
		}
	}
	if len(files) != 7 || files[0] != "documents/part-00001.ndjson" || files[6] != "documents/part-00007.ndjson" {
		t.Errorf("the files are %q", files)
	}
	var ids []int
	for _, line := range lines(t, object, "documents/") {
		var row struct{ ID int }
		check(t, json.Unmarshal([]byte(line), &row))
		ids = append(ids, row.ID)
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != 70 {
		t.Errorf("the ids are %v", ids)
	}
}

// TestAFileThatGrowsTooLarge is of a store that cannot be cut, or thinks that it has little.
func TestAFileThatGrowsTooLarge(t *testing.T) {
	app := &shelf{name: "app", kinds: map[string][]row{"documents": make([]row, 3)}}
	for i := range app.kinds["documents"] {
		app.kinds["documents"][i] = row{id: i + 1, text: strings.Repeat("a", 130<<20)}
	}
	made, object := writeAll(t, collect.Wanted{Kinds: []string{"documents"}}, app)
	if got := names(t, object); !slices.Equal(got, []string{
		"metadata.json", "documents/part-00001.ndjson", "documents/part-00001.2.ndjson", "manifest.json",
	}) {
		t.Errorf("the files are %q", got)
	}
	if made.Manifest.ActualCounts["documents"] != 3 {
		t.Errorf("counts are %v", made.Manifest.ActualCounts)
	}
}

// miscounting has another number of rows than it tells.
type miscounting struct {
	*shelf
	more int
}

func (m miscounting) Snapshot(ctx context.Context, of connectors.Scope, since time.Time) (connectors.Snapshot, error) {
	s, err := m.shelf.Snapshot(ctx, of, since)
	return lying{s, int64(m.more)}, err
}

type lying struct {
	connectors.Snapshot
	more int64
}

func (l lying) Counts() connectors.Counts {
	counts := l.Snapshot.Counts()
	counts["documents"] += l.more
	return counts
}

func TestAStoreThatLosesOrAddsRows(t *testing.T) {
	for name, more := range map[string]int{"loses": 1, "adds": -1} {
		t.Run(name, func(t *testing.T) {
			c := openAll(t, collect.Wanted{}, miscounting{&shelf{name: "app", kinds: map[string][]row{"documents": rows(3, 10)}}, more})
			defer c.Close()
			from, err := c.Begin(t.Context(), 2)
			check(t, err)
			if _, err := c.Write(t.Context(), from, newBucket().target()); !errors.Is(err, manifest.ErrIncomplete) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestAStoreThatIsDownLeavesNoSnapshotOpen(t *testing.T) {
	app, down := &shelf{name: "app"}, &shelf{name: "files", err: errors.New("down")}
	if _, err := collect.Open(t.Context(), []connectors.Connector{app, down}, collect.Wanted{}); !errors.Is(err, down.err) {
		t.Errorf("error is %v", err)
	}
	if app.open != 0 {
		t.Error("a snapshot was left open")
	}
}

// TestHostileKinds holds that no store can choose where a file is unpacked to.
func TestHostileKinds(t *testing.T) {
	for _, kind := range []string{"../../x", "/abs", `C:\x`, "nul", "a\x00b", strings.Repeat("a", 300), "\u202egpj", "Documents", "a/b", "", "a.ndjson"} {
		app := &shelf{name: "app", kinds: map[string][]row{kind: rows(1, 1)}}
		if _, err := collect.Open(t.Context(), []connectors.Connector{app}, collect.Wanted{}); !fault.IsPermanent(err) {
			t.Errorf("%q: error is %v", kind, err)
		}
		if app.open != 0 {
			t.Error("a snapshot was left open")
		}
	}
}
