// Package verify checks an export archive offline: everything in the zip against the manifest in it.
package verify

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"filippo.io/age"

	"tenure/services/export/internal/manifest"
	"tenure/services/export/internal/unpack"
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
	// Sealed is how many files are encrypted and were checked as they are stored alone, for want of the identity that opens
	// them.
	Sealed int
}

// ErrDamaged is in every error that says that the archive is not what was exported.
var ErrDamaged = errors.New("the archive is damaged")

// File checks the archive at path; the identities open what is encrypted to them.
func File(path string, identities ...age.Identity) (Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return Report{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Report{}, err
	}
	return Archive(f, info.Size(), identities...)
}

// Archive reads the whole archive in constant memory. The error wraps ErrDamaged and names everything that is
// wrong: a file that is missing, added, changed or there twice, a name that is not safe to unpack, counts that differ. An
// encrypted file that no identity opens is held to the checksum of its stored form, and is counted in Report.Sealed.
func Archive(r io.ReaderAt, size int64, identities ...age.Identity) (Report, error) {
	archive, err := unpack.Open(r, size, identities...)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	m := archive.Manifest
	report := Report{
		ExportID: m.ExportID, TenantID: m.TenantID, SnapshotAt: m.SnapshotAt, Counts: m.ActualCounts, Files: len(m.Files),
	}
	wrong := []error{m.Check()}
	listed := map[string]manifest.File{}
	for _, f := range m.Files {
		listed[f.Name] = f
	}
	for _, f := range archive.Files() {
		want, ok := listed[f.Name]
		if !ok {
			wrong = append(wrong, fmt.Errorf("%q is not in the manifest, or there twice", f.Name))
			continue
		}
		delete(listed, f.Name)
		report.Bytes += want.Bytes
		sealed, err := checkFile(f, want)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", f.Name, err))
		}
		if sealed {
			report.Sealed++
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

// checkFile reads a file once, through all of its forms.
func checkFile(f unpack.File, want manifest.File) (sealed bool, err error) {
	entry, err := f.Stored()
	if err != nil {
		return false, err
	}
	defer entry.Close()
	if !manifest.FormOf(f.Name).Encrypted {
		return false, checkContent(f, entry, want)
	}
	stored := newSummer()
	through := io.TeeReader(io.LimitReader(entry, want.StoredBytes+1), stored)
	content, err := f.Content(through)
	if sealed = errors.Is(err, unpack.ErrSealed); sealed {
		err = nil
	} else if err == nil {
		err = checkContent(f, content, want)
	}
	// What the content left unread belongs to the entry, too.
	_, readErr := io.Copy(io.Discard, through)
	return sealed, errors.Join(err, readErr, stored.check("stored ", want.StoredBytes, want.StoredSHA256))
}

// checkContent holds the content to the manifest. One byte more than that says is enough to know, so that no file unpacks
// for ever.
func checkContent(f unpack.File, content io.Reader, want manifest.File) error {
	sum := newSummer()
	content = io.TeeReader(io.LimitReader(content, want.Bytes+1), sum)
	count := countLines
	if manifest.FormOf(f.Name).Parquet {
		count = countTable
	}
	rows, err := count(content, sum, want)
	if err != nil {
		return err
	}
	if rows != want.Rows {
		return fmt.Errorf("it has %d rows, the manifest says %d", rows, want.Rows)
	}
	return nil
}

func countLines(content io.Reader, sum *summer, want manifest.File) (int64, error) {
	lines := &lineCounter{}
	if _, err := io.Copy(lines, content); err != nil {
		return 0, err
	}
	if err := sum.check("", want.Bytes, want.SHA256); err != nil {
		return 0, err
	}
	if lines.last != 0 && lines.last != '\n' {
		return 0, errors.New("its last row is cut")
	}
	return lines.n, nil
}

// countTable looks into a Parquet file only when it is known to be the one that was written: its reader is made for files,
// not for traps.
func countTable(content io.Reader, sum *summer, want manifest.File) (int64, error) {
	file, err := unpack.Spool(content)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if err := sum.check("", want.Bytes, want.SHA256); err != nil {
		return 0, err
	}
	return unpack.CountTable(file, want.Bytes)
}
