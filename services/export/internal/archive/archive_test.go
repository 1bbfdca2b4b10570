package archive_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/manifest"
	"tenure/services/export/verify"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// write makes an archive of rows by kind and returns its bytes.
func write(t fataler, rows map[string][]string, partBytes int64) ([]byte, manifest.Manifest) {
	var out bytes.Buffer
	w := archive.NewWriter(&out, noon, partBytes)
	m := manifest.Manifest{ExportID: "exp_1", TenantID: "acme", SnapshotAt: noon, ExpectedCounts: map[string]int64{}}
	check(t, w.PutJSON(manifest.MetadataName, map[string]string{"tenant_id": "acme"}))
	for _, kind := range manifest.Kinds() {
		m.ExpectedCounts[kind] = int64(len(rows[kind]))
		check(t, w.Begin(kind))
		for _, row := range rows[kind] {
			_, err := io.WriteString(w, row)
			check(t, err)
			check(t, w.EndRow())
		}
	}
	m, err := w.Finish(m)
	check(t, err)
	return out.Bytes(), m
}

type fataler interface{ Fatal(args ...any) }

func check(t fataler, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

// TestWhatGoesInComesOut holds for any rows and any size of part: the parts joined are the rows, and the archive
// verifies.
func TestWhatGoesInComesOut(t *testing.T) {
	row := rapid.Map(rapid.String(), func(s string) string { return fmt.Sprintf(`{"v":%q}`, s) })
	rapid.Check(t, func(t *rapid.T) {
		rows := map[string][]string{}
		for _, kind := range manifest.Kinds() {
			rows[kind] = rapid.SliceOfN(row, 0, 20).Draw(t, kind)
		}
		zipped, m := write(t, rows, rapid.Int64Range(1, 200).Draw(t, "part bytes"))
		report, err := verify.Archive(bytes.NewReader(zipped), int64(len(zipped)))
		check(t, err)
		if report.Files != len(m.Files) || report.TenantID != "acme" || report.ExportID != "exp_1" {
			t.Fatalf("report is %+v", report)
		}
		joined := map[string]string{}
		for name, content := range unzip(t, zipped) {
			joined[manifest.KindOf(name)] += content
		}
		for _, kind := range manifest.Kinds() {
			want := strings.Join(rows[kind], "\n")
			if got := strings.TrimSuffix(joined[kind], "\n"); got != want {
				t.Fatalf("%s: %q, not %q", kind, got, want)
			}
		}
	})
}

// unzip yields the files in the order of the archive.
func unzip(t fataler, zipped []byte) func(func(string, string) bool) {
	r, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	check(t, err)
	return func(yield func(string, string) bool) {
		for _, f := range r.File {
			content, err := f.Open()
			check(t, err)
			all, err := io.ReadAll(content)
			check(t, err)
			if !yield(f.Name, string(all)) {
				return
			}
		}
	}
}

func TestLayout(t *testing.T) {
	zipped, m := write(t, map[string][]string{
		"documents": {`{"id":"1"}`, `{"id":"2"}`, `{"id":"3"}`}, "usage": {`{"id":"u"}`, `{"id":"v"}`},
	}, 20)
	var names []string
	for name := range unzip(t, zipped) {
		names = append(names, name)
	}
	want := []string{
		"metadata.json", "documents/part-00001.ndjson", "documents/part-00002.ndjson", "vectors/part-00001.ndjson",
		"usage.ndjson", "billing.ndjson", "audit.ndjson", "manifest.json",
	}
	if !slices.Equal(names, want) {
		t.Errorf("entries are %q, not %q", names, want)
	}
	if m.Files[1].Rows != 2 || m.Files[2].Rows != 1 || m.Files[4].Rows != 2 {
		t.Errorf("files are %+v", m.Files)
	}
	again, _ := write(t, map[string][]string{
		"documents": {`{"id":"1"}`, `{"id":"2"}`, `{"id":"3"}`}, "usage": {`{"id":"u"}`, `{"id":"v"}`},
	}, 20)
	if !bytes.Equal(zipped, again) {
		t.Error("the same rows give other bytes")
	}
}

func TestCountsThatDifferMakeNoArchive(t *testing.T) {
	var out bytes.Buffer
	w := archive.NewWriter(&out, noon, archive.DefaultPartBytes)
	check(t, w.Begin(manifest.Documents))
	_, err := w.Finish(manifest.Manifest{ExpectedCounts: map[string]int64{manifest.Documents: 1}})
	if !errors.Is(err, manifest.ErrIncomplete) {
		t.Errorf("Finish answers %v", err)
	}
	if _, err := verify.Archive(bytes.NewReader(out.Bytes()), int64(out.Len())); !errors.Is(err, verify.ErrDamaged) {
		t.Errorf("verify answers %v", err)
	}
}

func TestRefusesNames(t *testing.T) {
	w := archive.NewWriter(io.Discard, noon, archive.DefaultPartBytes)
	check(t, w.PutJSON("a.json", 1))
	for _, name := range []string{"a.json", "../a.json", "/a.json", "A.JSON", "a\x00.json"} {
		if w.PutJSON(name, 1) == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if w.Begin("../documents") == nil {
		t.Error("a kind that climbs was taken")
	}
	if _, err := w.Write([]byte("{}")); err == nil {
		t.Error("a row without a kind was taken")
	}
}

func TestProgress(t *testing.T) {
	w := archive.NewWriter(io.Discard, noon, archive.DefaultPartBytes)
	check(t, w.Begin(manifest.Usage))
	for range 3 {
		_, err := io.WriteString(w, `{}`)
		check(t, err)
		check(t, w.EndRow())
	}
	if rows, bytes := w.Progress(); rows != 3 || bytes != 9 {
		t.Errorf("progress is %d rows, %d bytes", rows, bytes)
	}
}

// failing takes n bytes.
type failing struct{ n int }

var errFull = errors.New("the disk is full")

func (f *failing) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestTheOutputsErrorComesThrough(t *testing.T) {
	w := archive.NewWriter(&failing{n: 100}, noon, archive.DefaultPartBytes)
	check(t, w.Begin(manifest.Documents))
	_, err := w.Finish(manifest.Manifest{ExpectedCounts: map[string]int64{manifest.Documents: 0}})
	if !errors.Is(err, errFull) {
		t.Errorf("Finish answers %v", err)
	}
}
