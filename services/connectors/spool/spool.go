// Package spool makes snapshots of stores that have none. The rows are copied once, in order, to a file of this machine's,
// and read from there: what was counted is what is read, however often, whatever others write meanwhile.
//
// The file is compressed, and takes that much room in TMPDIR until the snapshot is closed. It has no name there, so that it
// is gone with the process, however that ends.
package spool

import (
	"fmt"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"

	"tenure/services/connectors"
)

// blockSize is how many bytes of rows are compressed together: what each reader has in memory, or its largest row.
const blockSize = 1 << 20

// block is some rows of one kind, each with a line break behind it, compressed.
type block struct {
	offset int64
	size   int
	first  int64 // how many rows of the kind are in the blocks before
	rows   int64
}

// Writer takes the rows of a snapshot. It is for one goroutine.
type Writer struct {
	// Position goes into the watermark.
	Position string

	copy *snapshot
	enc  *zstd.Encoder
	end  int64 // of the file

	kind string // of the rows that are not in the file yet
	rows int64
	open []byte
}

// Copy makes a snapshot of the rows that fill adds, which are as they were at takenAt by the store's clock or later.
func Copy(store string, takenAt time.Time, fill func(*Writer) error) (connectors.Snapshot, error) {
	file, err := os.CreateTemp("", "tenure-spool-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return nil, err
	}
	s := &snapshot{file: file, blocks: map[string][]block{}, counts: connectors.Counts{}}
	s.watermark = connectors.Watermark{Store: store, TakenAt: takenAt.UTC()}
	if err := s.fill(fill); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *snapshot) fill(fill func(*Writer) error) (err error) {
	w := &Writer{copy: s}
	if w.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
		return err
	}
	defer w.enc.Close()
	if s.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0)); err != nil {
		return err
	}
	if err := fill(w); err != nil {
		return err
	}
	s.watermark.Position = w.Position
	return w.flush()
}

// Add takes a row, a JSON object on one line. It keeps nothing of the slice.
func (w *Writer) Add(kind string, row []byte) error {
	if kind != w.kind || len(w.open) >= blockSize {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.kind = kind
	w.open = append(append(w.open, row...), '\n')
	w.rows++
	return nil
}

// flush writes the rows that are not in the file yet.
func (w *Writer) flush() error {
	if w.rows == 0 {
		return nil
	}
	packed := w.enc.EncodeAll(w.open, nil)
	if _, err := w.copy.file.WriteAt(packed, w.end); err != nil {
		return fmt.Errorf("copy rows to TMPDIR: %w", err)
	}
	s := w.copy
	s.blocks[w.kind] = append(s.blocks[w.kind], block{w.end, len(packed), s.counts[w.kind], w.rows})
	s.counts[w.kind] += w.rows
	w.end += int64(len(packed))
	w.open, w.rows = w.open[:0], 0
	return nil
}
