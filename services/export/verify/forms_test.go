package verify_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"filippo.io/age"

	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/archivetest"
	"tenure/services/export/internal/manifest"
	"tenure/services/export/verify"
)

func newIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

// encrypted is an archive of two encrypted files of two rows each, of which one is Parquet.
func encrypted(t *testing.T, to age.Recipient, spoil func(*manifest.Manifest)) *bytes.Reader {
	t.Helper()
	return bytes.NewReader(archivetest.Write(t, archive.Options{Modified: archivetest.Taken, EncryptTo: to}, []archivetest.File{
		{Name: "metadata.json", Rows: []string{`{}`}},
		{Name: "documents/part-00001.ndjson.gz.age", Rows: []string{`{"id":1}`, `{"id":2}`}},
		{Name: "vectors/part-00001.parquet.gz.age", Rows: []string{`{"id":"a","values":[1]}`, `{"id":"b","values":[2]}`}},
	}, spoil))
}

func TestEncrypted(t *testing.T) {
	mine := newIdentity(t)
	body := encrypted(t, mine.Recipient(), nil)
	for name, test := range map[string]struct {
		identities []age.Identity
		sealed     int
	}{
		"with the identity":    {[]age.Identity{newIdentity(t), mine}, 0},
		"without one":          {nil, 2},
		"with another's alone": {[]age.Identity{newIdentity(t)}, 2},
	} {
		report, err := verify.Archive(body, body.Size(), test.identities...)
		if err != nil || report.Sealed != test.sealed || report.Files != 3 || report.Counts["documents"] != 2 {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
}

func TestDamageToEncryptedFiles(t *testing.T) {
	mine := newIdentity(t)
	for name, test := range map[string]struct {
		spoil func(f *manifest.File)
		// blind: it can be seen with the identity alone
		blind bool
		why   string
	}{
		"the stored form":      {func(f *manifest.File) { f.StoredSHA256 = f.SHA256 }, false, "stored SHA-256"},
		"the stored size":      {func(f *manifest.File) { f.StoredBytes++ }, false, "stored bytes"},
		"no stored form":       {func(f *manifest.File) { f.StoredBytes, f.StoredSHA256 = 0, "" }, false, "stored"},
		"the content":          {func(f *manifest.File) { f.SHA256 = f.StoredSHA256 }, true, "its SHA-256"},
		"the size":             {func(f *manifest.File) { f.Bytes-- }, true, "another size"},
		"the number of rows":   {func(f *manifest.File) { f.Rows = 3 }, true, "rows"},
		"a size that is small": {func(f *manifest.File) { f.Bytes = 0 }, true, "another size"},
	} {
		for file := 1; file <= 2; file++ {
			body := encrypted(t, mine.Recipient(), func(m *manifest.Manifest) {
				test.spoil(&m.Files[file])
				kind := manifest.KindOf(m.Files[file].Name)
				m.ActualCounts[kind], m.ExpectedCounts[kind] = m.Files[file].Rows, m.Files[file].Rows
			})
			if _, err := verify.Archive(body, body.Size(), mine); !errors.Is(err, verify.ErrDamaged) || !strings.Contains(err.Error(), test.why) {
				t.Errorf("%s: with the identity: %v", name, err)
			}
			if _, err := verify.Archive(body, body.Size()); errors.Is(err, verify.ErrDamaged) == test.blind {
				t.Errorf("%s: without: %v", name, err)
			}
		}
	}
}

func TestParquet(t *testing.T) {
	write := func(spoil func(*manifest.Manifest)) *bytes.Reader {
		return bytes.NewReader(archivetest.Write(t, archive.Options{}, []archivetest.File{
			{Name: "usage.parquet", Rows: []string{`{"id":"1","metric":"queries"}`, `{"id":"2"}`}},
		}, spoil))
	}
	whole := write(nil)
	if report, err := verify.Archive(whole, whole.Size()); err != nil || report.Counts["usage"] != 2 {
		t.Errorf("%+v, %v", report, err)
	}
	short := write(func(m *manifest.Manifest) {
		m.Files[0].Rows, m.ActualCounts["usage"], m.ExpectedCounts["usage"] = 1, 1, 1
	})
	if _, err := verify.Archive(short, short.Size()); !errors.Is(err, verify.ErrDamaged) {
		t.Errorf("a row too many: %v", err)
	}
}
