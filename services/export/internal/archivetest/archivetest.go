// Package archivetest makes archives for tests, as the service writes them.
package archivetest

import (
	"encoding/json"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/manifest"
)

// File is one file of rows; its name tells its form.
type File struct {
	Name  string
	Store string
	Rows  []string
}

// Taken is when every archive's snapshot was taken.
var Taken = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Write makes an archive of the files of tenant acme, called exp_1. spoil, if not nil, changes the manifest before it is
// written.
func Write(t testing.TB, o archive.Options, files []File, spoil func(*manifest.Manifest)) []byte {
	t.Helper()
	parts := map[int32][]byte{}
	lane := archive.NewLane(archive.Numbers{First: 1, Last: 100}, nil, nil, func(number int32, body []byte, _ bool) error {
		parts[number] = slices.Clone(body)
		return nil
	})
	m := manifest.Manifest{
		ExportID: "exp_1", TenantID: "acme", SnapshotAt: Taken, ExpectedCounts: map[string]int64{}, ActualCounts: map[string]int64{},
	}
	var entries []archive.Entry
	for _, f := range files {
		written := write(t, lane, f, o)
		written.Listed.Store = f.Store
		m.Files, entries = append(m.Files, written.Listed), append(entries, written.Entry)
		if kind := manifest.KindOf(f.Name); kind != "" {
			m.ExpectedCounts[kind] += int64(len(f.Rows))
			m.ActualCounts[kind] += int64(len(f.Rows))
		}
	}
	if spoil != nil {
		spoil(&m)
	}
	last, err := archive.PutJSON(lane, manifest.Name, o, m)
	check(t, err)
	_, err = lane.Write(archive.Directory(append(entries, last.Entry), o.Modified, lane.Offset()))
	check(t, err)
	check(t, lane.End())
	var all []byte
	for _, number := range slices.Sorted(maps.Keys(parts)) {
		all = append(all, parts[number]...)
	}
	return all
}

func write(t testing.TB, lane *archive.Lane, f File, o archive.Options) archive.File {
	t.Helper()
	if manifest.KindOf(f.Name) == "" { // metadata.json is never encrypted
		written, err := archive.PutJSON(lane, f.Name, o, json.RawMessage(f.Rows[0]))
		check(t, err)
		return written
	}
	w, err := archive.Create(lane, f.Name, o)
	check(t, err)
	for _, row := range f.Rows {
		_, err := io.WriteString(w, row)
		check(t, err)
		check(t, w.EndRow())
	}
	written, err := w.Close()
	check(t, err)
	return written
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
