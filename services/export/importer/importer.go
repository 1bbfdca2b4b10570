// Package importer loads an archive into a fresh tenant of any system that has a data map: what one Tenure gives out, another
// can take in.
package importer

import (
	"errors"
	"fmt"
	"io"
	"time"

	"tenure/services/export/internal/manifest"
	"tenure/services/export/internal/unpack"
	"tenure/services/export/verify"
)

// Archive is one that was verified and can be imported. It is for one goroutine.
type Archive struct {
	manifest manifest.Manifest
	files    []file
}

// file is an entry with rows, and what the manifest says of it.
type file struct {
	entry  unpack.File
	listed manifest.File
	kind   string
}

// Open verifies the archive, and refuses one that is no whole tenant: of one person, or of what changed since a time. r is
// read again when it is loaded, and must not change.
func Open(r io.ReaderAt, size int64, keys verify.Keys) (*Archive, error) {
	report, err := verify.Archive(r, size, keys...)
	if err != nil {
		return nil, err
	}
	if report.Sealed > 0 {
		return nil, fmt.Errorf("%d files of the archive are encrypted: name the file with the identity that opens them", report.Sealed)
	}
	opened, err := unpack.Open(r, size, keys...)
	if err != nil {
		return nil, err
	}
	switch m := opened.Manifest; {
	case m.SubjectSHA256 != "":
		return nil, errors.New("the archive is of one person's data, which is no tenant: import one of everything")
	case !m.Since.IsZero():
		return nil, fmt.Errorf("the archive has only what changed since %s: import one of everything", m.Since.Format(time.RFC3339))
	}
	return &Archive{opened.Manifest, filesOf(opened)}, nil
}

func filesOf(opened *unpack.Archive) (files []file) {
	listed := map[string]manifest.File{}
	for _, f := range opened.Manifest.Files {
		listed[f.Name] = f
	}
	for _, entry := range opened.Files() {
		if kind := manifest.KindOf(entry.Name); kind != "" && listed[entry.Name].Rows > 0 {
			files = append(files, file{entry, listed[entry.Name], kind})
		}
	}
	return files
}

// ExportID is the export's that made the archive.
func (a *Archive) ExportID() string { return a.manifest.ExportID }
