// Package archive writes an export as a stream: a zip of files of rows, whose manifest comes last because only then all
// is known. It holds one buffer, whatever the size of the archive.
package archive

import (
	"archive/zip"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/flate"

	"tenure/services/export/internal/manifest"
)

const (
	// DefaultPartBytes is the content after which a part of documents or vectors ends: small enough to be opened by
	// any program, large enough to keep the parts few.
	DefaultPartBytes = 64 << 20

	// level 1: a higher one costs more time than the bytes it saves take to upload.
	level = flate.BestSpeed

	bufferBytes = 64 << 10
)

// Writer writes one archive from one goroutine. It is a connectors.Sink for the kind that Begin named.
type Writer struct {
	zip       *zip.Writer
	out       *bufio.Writer
	partBytes int64
	modified  time.Time

	names  map[string]bool
	kind   string
	part   int
	open   *entry
	files  []manifest.File
	counts map[string]int64

	// done and content are read by others for the progress.
	done, content atomic.Int64
}

// entry is the file that is being written.
type entry struct {
	file manifest.File
	hash hash.Hash
	buf  *bufio.Writer
}

// NewWriter starts an archive on out. Its entries carry the time modified, so that the same rows give the same bytes.
func NewWriter(out io.Writer, modified time.Time, partBytes int64) *Writer {
	buffered := bufio.NewWriterSize(out, bufferBytes)
	w := &Writer{
		zip:       zip.NewWriter(buffered),
		out:       buffered,
		partBytes: partBytes,
		modified:  modified,
		names:     map[string]bool{},
		counts:    map[string]int64{},
	}
	w.zip.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(out, level)
	})
	return w
}

// Progress tells the rows and their bytes written so far. Any goroutine may call it.
func (w *Writer) Progress() (rows, bytes int64) { return w.done.Load(), w.content.Load() }

// PutJSON adds an entry of its own with v as one line of JSON.
func (w *Writer) PutJSON(name string, v any) error {
	if err := w.endKind(); err != nil {
		return err
	}
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	if err := w.create(name); err != nil {
		return err
	}
	if _, err := w.open.buf.Write(append(line, '\n')); err != nil {
		return err
	}
	w.open.file.Rows, w.open.file.Bytes = 1, int64(len(line)+1)
	return w.endEntry()
}

// Begin starts the rows of a kind; those of the kind before are complete.
func (w *Writer) Begin(kind string) error {
	if err := w.endKind(); err != nil {
		return err
	}
	w.kind, w.part = kind, 1
	w.counts[kind] = 0
	return w.create(manifest.PartName(kind, 1))
}

var errNoKind = errors.New("archive: a row before Begin")

// Write adds to the row that is open.
func (w *Writer) Write(p []byte) (int, error) {
	if w.kind == "" {
		return 0, errNoKind
	}
	if w.open == nil {
		w.part++
		if err := w.create(manifest.PartName(w.kind, w.part)); err != nil {
			return 0, err
		}
	}
	n, err := w.open.buf.Write(p)
	w.open.file.Bytes += int64(n)
	w.content.Add(int64(n))
	return n, err
}

// EndRow ends the row, and the part when it is large enough: a row is never cut.
func (w *Writer) EndRow() error {
	if _, err := w.Write([]byte{'\n'}); err != nil {
		return err
	}
	w.open.file.Rows++
	w.counts[w.kind]++
	w.done.Add(1)
	if manifest.Parted(w.kind) && w.open.file.Bytes >= w.partBytes {
		return w.endEntry()
	}
	return nil
}

// Finish completes m with what was written, adds it as the last entry and closes the archive. When the counts do not
// match it fails, and what was written has no directory: nobody can take it for an archive.
func (w *Writer) Finish(m manifest.Manifest) (manifest.Manifest, error) {
	if err := w.endKind(); err != nil {
		return m, err
	}
	m.ActualCounts, m.Files = w.counts, w.files
	if err := m.Check(); err != nil {
		return m, err
	}
	if err := w.PutJSON(manifest.Name, m); err != nil {
		return m, err
	}
	if err := w.zip.Close(); err != nil {
		return m, err
	}
	return m, w.out.Flush()
}

func (w *Writer) create(name string) error {
	if !manifest.SafeName(name) || w.names[name] {
		return fmt.Errorf("archive: %q is no safe name, or there twice", name)
	}
	w.names[name] = true
	content, err := w.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: w.modified})
	if err != nil {
		return fmt.Errorf("archive: %s: %w", name, err)
	}
	e := &entry{file: manifest.File{Name: name}, hash: sha256.New()}
	e.buf = bufio.NewWriterSize(io.MultiWriter(e.hash, content), bufferBytes)
	w.open = e
	return nil
}

func (w *Writer) endKind() error {
	w.kind = ""
	if w.open == nil {
		return nil
	}
	return w.endEntry()
}

func (w *Writer) endEntry() error {
	e := w.open
	w.open = nil
	if err := e.buf.Flush(); err != nil {
		return fmt.Errorf("archive: %s: %w", e.file.Name, err)
	}
	e.file.SHA256 = hex.EncodeToString(e.hash.Sum(nil))
	w.files = append(w.files, e.file)
	return nil
}
