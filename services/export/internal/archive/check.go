package archive

import (
	"archive/zip"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/klauspost/compress/flate"

	"tenure/services/export/internal/manifest"
)

// ErrNotWritten is in every error that says that an archive is not what was written.
var ErrNotWritten = errors.New("the archive read back is not what was written")

// Check holds an archive against the manifest, in JSON, that it was written with. It finds the entries by the directory, as
// a stranger would, and reads all bytes once from front to back; sum is their SHA-256 in hex. The content of encrypted
// files is checked in the form that is stored: nobody here has the key.
func Check(all io.Reader, at io.ReaderAt, size int64, manifestJSON []byte) (sum string, err error) {
	entries, err := list(at, size, manifestJSON)
	if err != nil {
		return "", err
	}
	r := &measured{from: all, sum: sha256.New()}
	for _, e := range entries {
		if err := e.check(r); err != nil {
			return "", fmt.Errorf("%s: %w", e.want.Name, err)
		}
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return "", err
	}
	if r.n != size {
		return "", fmt.Errorf("%w: it has %d bytes, not %d", ErrNotWritten, r.n, size)
	}
	return hex.EncodeToString(r.sum.Sum(nil)), nil
}

// found is an entry of the directory, and what the manifest says of it.
type found struct {
	*zip.File
	want manifest.File
	data int64 // where its content begins
}

// list reads the directory, which must have the manifest's files in their order, and returns them in the order in which they
// stand in the archive.
func list(at io.ReaderAt, size int64, manifestJSON []byte) ([]found, error) {
	directory, err := zip.NewReader(at, size)
	if errors.Is(err, zip.ErrFormat) || errors.Is(err, zip.ErrAlgorithm) {
		return nil, fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	if err != nil {
		return nil, err
	}
	var m manifest.Manifest
	if err := json.Unmarshal(manifestJSON, &m); err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	line := append(slices.Clip(manifestJSON), '\n')
	self := sha256.Sum256(line)
	files := append(m.Files, manifest.File{Name: manifest.Name, Bytes: int64(len(line)), SHA256: hex.EncodeToString(self[:])})
	if len(directory.File) != len(files) {
		return nil, fmt.Errorf("%w: it has %d files, not %d", ErrNotWritten, len(directory.File), len(files))
	}
	entries := make([]found, len(files))
	for i, f := range directory.File {
		if f.Name != files[i].Name {
			return nil, fmt.Errorf("%w: file %d is %q, not %s", ErrNotWritten, i, f.Name, files[i].Name)
		}
		data, err := f.DataOffset()
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", f.Name, err)
		}
		entries[i] = found{f, files[i], data}
	}
	slices.SortFunc(entries, func(a, b found) int { return cmp.Compare(a.data, b.data) })
	return entries, nil
}

// check reads up to the entry and through it.
func (e found) check(r *measured) error {
	if e.data < r.n {
		return fmt.Errorf("%w: it begins inside another file", ErrNotWritten)
	}
	if _, err := io.CopyN(io.Discard, r, e.data-r.n); err != nil {
		return err
	}
	packed := io.LimitReader(r, int64(e.CompressedSize64))
	content := &measured{from: packed, sum: sha256.New()}
	if e.Method == deflated {
		content.from = flate.NewReader(packed)
	}
	wantBytes, wantSum := e.want.Bytes, e.want.SHA256
	if e.want.StoredSHA256 != "" {
		wantBytes, wantSum = e.want.StoredBytes, e.want.StoredSHA256
	}
	// One byte more than there should be is enough to know: no file unpacks for ever.
	_, err := io.Copy(io.Discard, io.LimitReader(content, wantBytes+1))
	var corrupt flate.CorruptInputError
	switch {
	case errors.As(err, &corrupt):
		return fmt.Errorf("%w: %w", ErrNotWritten, err)
	case err != nil:
		return err
	case content.n != wantBytes:
		return fmt.Errorf("%w: it has another size than the %d bytes of the manifest", ErrNotWritten, wantBytes)
	case hex.EncodeToString(content.sum.Sum(nil)) != wantSum:
		return fmt.Errorf("%w: its SHA-256 is not that of the manifest", ErrNotWritten)
	}
	_, err = io.Copy(io.Discard, packed)
	return err
}

// measured counts and hashes what is read.
type measured struct {
	from io.Reader
	sum  hash.Hash
	n    int64
}

func (m *measured) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	m.sum.Write(p[:n])
	m.n += int64(n)
	return n, err
}
