package archive_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/manifest"
)

var noon = time.Date(2026, 3, 1, 12, 0, 2, 0, time.UTC)

type fataler interface{ Fatal(args ...any) }

func check(t fataler, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

// parts puts together what lanes make, as S3 does.
type parts map[int32][]byte

func (p parts) put(number int32, body []byte, _ bool) error {
	p[number] = slices.Clone(body)
	return nil
}

func (p parts) object() []byte {
	var all []byte
	for _, n := range slices.Sorted(maps.Keys(p)) {
		all = append(all, p[n]...)
	}
	return all
}

// content is a file that a test writes.
type content struct {
	name string
	rows []string
}

// write makes an archive of one lane, and its manifest in JSON.
func write(t fataler, files []content, o archive.Options) (object, manifestJSON []byte) {
	p := parts{}
	lane := archive.NewLane(archive.Numbers{First: 1, Last: 100}, nil, nil, p.put)
	var m manifest.Manifest
	var entries []archive.Entry
	add := func(f archive.File) {
		m.Files, entries = append(m.Files, f.Listed), append(entries, f.Entry)
	}
	for _, f := range files {
		w, err := archive.Create(lane, f.name, o)
		check(t, err)
		for _, row := range f.rows {
			_, err := io.WriteString(w, row)
			check(t, err)
			check(t, w.EndRow())
		}
		entry, err := w.Close()
		check(t, err)
		add(entry)
	}
	manifestJSON, err := json.Marshal(m)
	check(t, err)
	last, err := archive.PutJSON(lane, manifest.Name, o, json.RawMessage(manifestJSON))
	check(t, err)
	entries = append(entries, last.Entry)
	_, err = lane.Write(archive.Directory(entries, o.Modified, lane.Offset()))
	check(t, err)
	check(t, lane.End())
	return p.object(), manifestJSON
}

func reads(t *testing.T, object, manifestJSON []byte) error {
	t.Helper()
	_, err := archive.Check(bytes.NewReader(object), bytes.NewReader(object), int64(len(object)), manifestJSON)
	return err
}
