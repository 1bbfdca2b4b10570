// Package archive writes a zip as an export needs it: in lanes that run side by side, each a run of entries that is cut
// into the parts of an upload; the directory is made in the end. It holds a buffer of some 10 MiB a lane, whatever the
// size of the archive, and it reads an archive back as a stranger would. It does no I/O of its own.
package archive

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"tenure/services/export/internal/manifest"
)

// level 1: a higher one costs more time than the bytes it saves take to upload.
const level = flate.BestSpeed

const bufferBytes = 64 << 10

// Options of the files of one archive.
type Options struct {
	// Modified is the time of all entries: the same in every try, so that the same rows give the same bytes.
	Modified time.Time
	// EncryptTo is who alone can read the rows; nil: everybody.
	EncryptTo age.Recipient
}

// File is one finished entry of an archive.
type File struct {
	Listed manifest.File `json:"file"`
	Entry  Entry         `json:"entry"`
}

// Writer writes the rows of one file as an entry. It is a connectors.Sink for one goroutine.
type Writer struct {
	file   manifest.File
	entry  Entry
	out    *counter // the lane, behind everything else
	packed int64    // what out had passed before the entry's content
	rows   rowWriter
	// content is hashed as it is; raw as the zip format has it before it compresses, which is encrypted where the file is.
	content, raw *digest
	closers      []io.Closer // from the rows to the lane
}

// rowWriter is one form of the rows.
type rowWriter interface {
	io.Writer
	EndRow() error
	// Bytes tells how much content the rows have made so far.
	Bytes() int64
}

// Create begins an entry behind what out has passed, in the form that its name tells.
func Create(out *Lane, name string, o Options) (*Writer, error) {
	if !manifest.SafeName(name) {
		return nil, fmt.Errorf("archive: %q is no safe name", name)
	}
	form := manifest.FormOf(name)
	if form.Encrypted != (o.EncryptTo != nil) {
		return nil, fmt.Errorf("archive: the name %s and the options differ in whether it is encrypted", name)
	}
	w := &Writer{file: manifest.File{Name: name}, entry: Entry{Name: name, Method: deflated, Offset: out.Offset()}}
	if form.Encrypted || form.Parquet {
		w.entry.Method = stored // compressed already
	}
	w.out = &counter{to: out}
	if _, err := w.out.Write(localHeader(name, w.entry.Method, newModified(o.Modified))); err != nil {
		return nil, err
	}
	w.packed = w.out.n
	return w, w.chain(form, o)
}

// chain puts together what a row passes on its way to the lane.
func (w *Writer) chain(form manifest.Form, o Options) error {
	var next io.Writer = w.out
	if w.entry.Method == deflated {
		deflater, err := flate.NewWriter(next, level)
		if err != nil {
			return err
		}
		next = w.closing(deflater)
	}
	w.raw = &digest{crc: crc32.NewIEEE(), to: next}
	w.content = w.raw
	next = w.raw
	if form.Encrypted {
		w.raw.sha = sha256.New()
		sealed, err := age.Encrypt(next, o.EncryptTo)
		if err != nil {
			return fmt.Errorf("archive: encrypt %s: %w", w.file.Name, err)
		}
		zipped, err := gzip.NewWriterLevel(w.closing(sealed), level)
		if err != nil {
			return err
		}
		w.content = &digest{to: w.closing(zipped)}
		next = w.content
	}
	w.content.sha = sha256.New()
	if form.Parquet {
		table, err := newTable(manifest.KindOf(w.file.Name), next)
		w.rows = table
		w.closers = append([]io.Closer{table}, w.closers...)
		return err
	}
	w.rows = &lines{bufio.NewWriterSize(next, bufferBytes), w.content}
	return nil
}

func (w *Writer) closing(c io.WriteCloser) io.Writer {
	w.closers = append([]io.Closer{c}, w.closers...)
	return c
}

// Write adds to the row that is open.
func (w *Writer) Write(p []byte) (int, error) { return w.rows.Write(p) }

// EndRow ends the row.
func (w *Writer) EndRow() error {
	w.file.Rows++
	return w.rows.EndRow()
}

// Rows and Bytes tell what was written so far.
func (w *Writer) Rows() int64  { return w.file.Rows }
func (w *Writer) Bytes() int64 { return w.rows.Bytes() }

// Close ends the entry and tells what is in it.
func (w *Writer) Close() (File, error) {
	if l, ok := w.rows.(*lines); ok {
		if err := l.Flush(); err != nil {
			return File{}, err
		}
	}
	for _, c := range w.closers {
		if err := c.Close(); err != nil {
			return File{}, fmt.Errorf("archive: %s: %w", w.file.Name, err)
		}
	}
	w.entry.CRC32, w.entry.Size, w.entry.Packed = w.raw.crc.Sum32(), w.raw.n, w.out.n-w.packed
	w.file.Bytes, w.file.SHA256 = w.content.n, w.content.hex()
	if w.content != w.raw {
		w.file.StoredBytes, w.file.StoredSHA256 = w.raw.n, w.raw.hex()
	}
	_, err := w.out.Write(descriptor(w.entry))
	return File{w.file, w.entry}, err
}

// PutJSON adds a file of its own with v as one line of JSON: never encrypted, since it holds nothing of the tenant's but ids and
// numbers.
func PutJSON(out *Lane, name string, o Options, v any) (File, error) {
	line, err := json.Marshal(v)
	if err != nil {
		return File{}, fmt.Errorf("encode %s: %w", name, err)
	}
	o.EncryptTo = nil
	w, err := Create(out, name, o)
	if err != nil {
		return File{}, err
	}
	_, writeErr := w.Write(line)
	if err := errors.Join(writeErr, w.EndRow()); err != nil {
		return File{}, err
	}
	return w.Close()
}

// lines writes rows as they come, each on a line.
type lines struct {
	*bufio.Writer
	content *digest
}

func (l *lines) EndRow() error { return l.WriteByte('\n') }

func (l *lines) Bytes() int64 { return l.content.n + int64(l.Buffered()) }

// counter counts what passes.
type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}

// digest counts what passes and keeps those sums of it that it is given.
type digest struct {
	sha hash.Hash
	crc hash.Hash32
	to  io.Writer
	n   int64
}

func (d *digest) Write(p []byte) (int, error) {
	if d.sha != nil {
		d.sha.Write(p)
	}
	if d.crc != nil {
		d.crc.Write(p)
	}
	n, err := d.to.Write(p)
	d.n += int64(n)
	return n, err
}

func (d *digest) hex() string { return hex.EncodeToString(d.sha.Sum(nil)) }
