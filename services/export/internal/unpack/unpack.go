// Package unpack reads an archive offline, as a stranger does: its entries by the directory, what they should be by the
// manifest. It trusts neither: every size is bounded by what the manifest says.
package unpack

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/gzip"

	"tenure/services/export/internal/manifest"
)

// maxManifest bounds the one entry that is read into memory: some 200 bytes a file, some MiB of content a file.
const maxManifest = 64 << 20

// ErrSealed says that an entry is encrypted, and that none of the identities at hand opens it.
var ErrSealed = errors.New("it is encrypted, and no identity at hand opens it")

// Archive is an open archive. It is safe for concurrent use.
type Archive struct {
	Manifest   manifest.Manifest
	entries    []*zip.File
	reader     io.ReaderAt
	identities []age.Identity
}

// Open reads the directory and the manifest. The identities open what is encrypted to them.
func Open(r io.ReaderAt, size int64, identities ...age.Identity) (*Archive, error) {
	directory, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	if len(directory.File) == 0 {
		return nil, errors.New("it is empty")
	}
	a := &Archive{reader: r, identities: identities}
	last := len(directory.File) - 1
	a.entries = directory.File[:last]
	a.Manifest, err = readManifest(directory.File[last])
	return a, err
}

func readManifest(last *zip.File) (m manifest.Manifest, err error) {
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

// Files are all entries but the manifest, in the order of the directory.
func (a *Archive) Files() []File {
	files := make([]File, len(a.entries))
	for i, e := range a.entries {
		files[i] = File{Name: e.Name, archive: a, entry: e}
	}
	return files
}

// File is one entry, listed in the manifest or not.
type File struct {
	Name    string
	archive *Archive
	entry   *zip.File
}

// Stored opens the entry as the zip has it: an encrypted one stays so.
func (f File) Stored() (io.ReadCloser, error) { return f.entry.Open() }

// Content is what the entry holds, given what Stored reads: decrypted and unpacked. ErrSealed when there is no identity
// for it.
func (f File) Content(stored io.Reader) (io.Reader, error) {
	if !manifest.FormOf(f.Name).Encrypted {
		return stored, nil
	}
	if len(f.archive.identities) == 0 {
		return nil, ErrSealed
	}
	opened, err := age.Decrypt(stored, f.archive.identities...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, ErrSealed
	}
	if err != nil {
		return nil, err
	}
	return gzip.NewReader(opened)
}
