package unpack_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"

	"filippo.io/age"

	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/archivetest"
	"tenure/services/export/internal/unpack"
)

var rows = map[string][]string{
	"documents": {`{"id":"doc-1","name":"a","content":"line\nline","metadata":{"n":1}}`, `{"id":"doc-2"}`},
	"vectors":   {`{"id":"vec-1","values":[1,0.5,-1e-9],"metadata":null}`, `{"id":"vec-2","values":[],"extra":{"x":[1]}}`},
	"usage": {
		`{"id":"u-1","metric":"queries","quantity":2.5,"time":"2026-03-01T12:00:00.123456Z"}`,
		`{"id":7,"metric":"queries","quantity":1,"time":"2026-03-01T12:00:00.123456789Z"}`,
	},
}

// TestRowsComeBack reads what was written, in each form.
func TestRowsComeBack(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for form, names := range map[string][3]string{
		"plain":     {"documents/part-00001.ndjson", "vectors/part-00001.ndjson", "usage.ndjson"},
		"parquet":   {"documents/part-00001.ndjson", "vectors/part-00001.parquet", "usage.parquet"},
		"encrypted": {"documents/part-00001.ndjson.gz.age", "vectors/part-00001.parquet.gz.age", "usage.ndjson.gz.age"},
	} {
		t.Run(form, func(t *testing.T) {
			o := archive.Options{Modified: archivetest.Taken}
			if form == "encrypted" {
				o.EncryptTo = identity.Recipient()
			}
			body := archivetest.Write(t, o, []archivetest.File{
				{Name: names[0], Rows: rows["documents"]}, {Name: names[1], Rows: rows["vectors"]}, {Name: names[2], Rows: rows["usage"]},
			}, nil)
			a, err := unpack.Open(bytes.NewReader(body), int64(len(body)), identity)
			if err != nil {
				t.Fatal(err)
			}
			for i, kind := range []string{"documents", "vectors", "usage"} {
				got := read(t, a, i)
				if !slices.EqualFunc(got, rows[kind], sameJSON) {
					t.Errorf("%s are %q, not %q", kind, got, rows[kind])
				}
			}
		})
	}
}

func read(t *testing.T, a *unpack.Archive, i int) (rows []string) {
	t.Helper()
	err := a.Files()[i].Rows(a.Manifest.Files[i], func(row json.RawMessage) error {
		rows = append(rows, string(row))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func sameJSON(a, b string) bool {
	var left, right map[string]any
	if json.Unmarshal([]byte(a), &left) != nil || json.Unmarshal([]byte(b), &right) != nil {
		return false
	}
	return maps.EqualFunc(left, right, func(x, y any) bool { return reflect.DeepEqual(x, y) })
}

func TestSealed(t *testing.T) {
	mine, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	another, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	body := archivetest.Write(t, archive.Options{EncryptTo: mine.Recipient()}, []archivetest.File{{Name: "usage.ndjson.gz.age", Rows: rows["usage"]}}, nil)
	for _, identities := range [][]age.Identity{nil, {another}} {
		a, err := unpack.Open(bytes.NewReader(body), int64(len(body)), identities...)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Files()[0].Rows(a.Manifest.Files[0], nil); !errors.Is(err, unpack.ErrSealed) {
			t.Errorf("with %d identities: %v", len(identities), err)
		}
	}
}
