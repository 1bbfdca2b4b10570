package verify_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"tenure/services/export/internal/manifest"
	"tenure/services/export/verify"
)

// file is an entry of a zip that a test makes by hand.
type file struct{ name, content string }

func zipped(t *testing.T, files []file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range files {
		entry, err := w.Create(f.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := entry.Write([]byte(f.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const (
	documents = "documents/part-00001.ndjson"
	rows      = `{"id":"1"}` + "\n" + `{"id":"2"}` + "\n"
)

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return hex.EncodeToString(s[:])
}

func whole() ([]file, manifest.Manifest) {
	files := []file{{"metadata.json", "{}\n"}, {documents, rows}}
	return files, manifest.Manifest{
		ExportID:       "exp_1",
		TenantID:       "acme",
		ExpectedCounts: map[string]int64{"documents": 2},
		ActualCounts:   map[string]int64{"documents": 2},
		Files: []manifest.File{
			{Name: "metadata.json", Rows: 1, Bytes: 3, SHA256: sum("{}\n")},
			{Name: documents, Rows: 2, Bytes: int64(len(rows)), SHA256: sum(rows)},
		},
	}
}

func manifestFile(t *testing.T, m manifest.Manifest) file {
	t.Helper()
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return file{manifest.Name, string(body)}
}

func TestWhole(t *testing.T) {
	files, m := whole()
	archive := zipped(t, append(files, manifestFile(t, m)))
	path := filepath.Join(t.TempDir(), "exp_1.zip")
	if err := os.WriteFile(path, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := verify.File(path)
	if err != nil {
		t.Fatal(err)
	}
	if report.TenantID != "acme" || report.Counts["documents"] != 2 || report.Files != 2 || report.Bytes != int64(3+len(rows)) {
		t.Errorf("report is %+v", report)
	}
}

func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(files []file, m *manifest.Manifest) []file{
		"a row was changed": func(files []file, _ *manifest.Manifest) []file {
			files[1].content = `{"id":"1"}` + "\n" + `{"id":"3"}` + "\n"
			return files
		},
		"a row was added": func(files []file, _ *manifest.Manifest) []file {
			files[1].content += rows
			return files
		},
		"a row was removed": func(files []file, _ *manifest.Manifest) []file {
			files[1].content = `{"id":"1"}` + "\n"
			return files
		},
		"a file is missing": func(files []file, _ *manifest.Manifest) []file { return files[:1] },
		"a file was added": func(files []file, _ *manifest.Manifest) []file {
			return append(files, file{"documents/part-00002.ndjson", rows})
		},
		"a file is there twice": func(files []file, _ *manifest.Manifest) []file { return append(files, files[1]) },
		"a name climbs": func(files []file, m *manifest.Manifest) []file {
			m.Files = append(m.Files, manifest.File{Name: "../../x", Rows: 1, Bytes: 3, SHA256: sum("{}\n")})
			return append(files, file{"../../x", "{}\n"})
		},
		"the counts differ": func(files []file, m *manifest.Manifest) []file {
			m.ExpectedCounts["documents"] = 3
			return files
		},
		"the manifest has other rows": func(files []file, m *manifest.Manifest) []file {
			m.ExpectedCounts["documents"], m.ActualCounts["documents"], m.Files[1].Rows = 3, 3, 3
			return files
		},
		"the last row is cut": func(files []file, m *manifest.Manifest) []file {
			cut := rows + `{"id"`
			files[1].content, m.Files[1].SHA256, m.Files[1].Bytes = cut, sum(cut), int64(len(cut))
			return files
		},
	} {
		t.Run(name, func(t *testing.T) {
			files, m := whole()
			files = damage(files, &m)
			archive := zipped(t, append(files, manifestFile(t, m)))
			if _, err := verify.Archive(bytes.NewReader(archive), int64(len(archive))); !errors.Is(err, verify.ErrDamaged) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestNoArchive(t *testing.T) {
	files, m := whole()
	good := zipped(t, append(files, manifestFile(t, m)))
	for name, archive := range map[string][]byte{
		"nothing":               nil,
		"no zip":                []byte("PK\x03\x04 not really"),
		"cut short":             good[:len(good)-10],
		"no entries":            zipped(t, nil),
		"no manifest":           zipped(t, files),
		"manifest is not last":  zipped(t, append([]file{manifestFile(t, m)}, files...)),
		"manifest is no object": zipped(t, append(files[:2:2], file{manifest.Name, "[1]"})),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := verify.Archive(bytes.NewReader(archive), int64(len(archive))); !errors.Is(err, verify.ErrDamaged) {
				t.Errorf("error is %v", err)
			}
		})
	}
	if _, err := verify.File(filepath.Join(t.TempDir(), "no such file.zip")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}
