// Package verify checks an export archive offline: everything in the zip against the manifest in it.
package verify

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"tenure/services/export/internal/manifest"
)

// Report tells what a whole archive holds.
type Report struct {
	ExportID   string
	TenantID   string
	SnapshotAt time.Time
	// Counts are rows by kind.
	Counts map[string]int64
	Files  int
	// Bytes are those of the content, unpacked.
	Bytes int64
}

// ErrDamaged is in every error that says that the archive is not what was exported.
var ErrDamaged = errors.New("the archive is damaged")

// File checks the archive at path.
func File(path string) (Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return Report{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Report{}, err
	}
	return Archive(f, info.Size())
}

// Archive reads the whole archive in constant memory. The error wraps ErrDamaged and names everything that is
// wrong: a file that is missing, added, changed or there twice, a name that is not safe to unpack, counts that differ.
func Archive(r io.ReaderAt, size int64) (Report, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	m, err := readManifest(archive)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	report := Report{
		ExportID: m.ExportID, TenantID: m.TenantID, SnapshotAt: m.SnapshotAt, Counts: m.ActualCounts, Files: len(m.Files),
	}
	wrong := []error{m.Check()}
	listed := map[string]manifest.File{}
	for _, f := range m.Files {
		listed[f.Name] = f
	}
	for _, f := range archive.File[:len(archive.File)-1] {
		want, ok := listed[f.Name]
		if !ok {
			wrong = append(wrong, fmt.Errorf("%q is not in the manifest, or there twice", f.Name))
			continue
		}
		delete(listed, f.Name)
		report.Bytes += want.Bytes
		if err := checkFile(f, want); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", f.Name, err))
		}
	}
	for _, f := range m.Files {
		if _, missing := listed[f.Name]; missing {
			wrong = append(wrong, fmt.Errorf("%q is missing", f.Name))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return report, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return report, nil
}

// maxManifest bounds the one entry that is read into memory: some 100 bytes a file, 64 MiB of content a file.
const maxManifest = 64 << 20

func readManifest(archive *zip.Reader) (m manifest.Manifest, err error) {
	if len(archive.File) == 0 {
		return m, errors.New("it is empty")
	}
	last := archive.File[len(archive.File)-1]
	if last.Name != manifest.Name {
		return m, fmt.Errorf("its last entry is %q, not %s", last.Name, manifest.Name)
	}
	content, err := last.Open()
	if err != nil {
		return m, err
	}
	defer content.Close()
	body, err := io.ReadAll(io.LimitReader(content, maxManifest))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("%s: %w", manifest.Name, err)
	}
	return m, nil
}

func checkFile(f *zip.File, want manifest.File) error {
	content, err := f.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	sum := sha256.New()
	lines := &lineCounter{}
	// One byte more than the manifest says is enough to know, so that no file unpacks for ever.
	n, err := io.Copy(io.MultiWriter(sum, lines), io.LimitReader(content, want.Bytes+1))
	switch {
	case err != nil:
		return err
	case n != want.Bytes:
		return fmt.Errorf("it has another size than the %d bytes of the manifest", want.Bytes)
	case hex.EncodeToString(sum.Sum(nil)) != want.SHA256:
		return errors.New("its SHA-256 is not that of the manifest")
	case lines.n != want.Rows:
		return fmt.Errorf("it has %d rows, the manifest says %d", lines.n, want.Rows)
	case lines.last != '\n' && n > 0:
		return errors.New("its last row is cut")
	}
	return nil
}

type lineCounter struct {
	n    int64
	last byte
}

func (c *lineCounter) Write(p []byte) (int, error) {
	c.n += int64(bytes.Count(p, []byte{'\n'}))
	if len(p) > 0 {
		c.last = p[len(p)-1]
	}
	return len(p), nil
}
