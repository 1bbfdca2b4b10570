package spool

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"

	"github.com/klauspost/compress/zstd"

	"tenure/services/connectors"
)

// snapshot is a connectors.Snapshot of a copy. A position is how many rows of the kind lie before it.
type snapshot struct {
	file      *os.File
	dec       *zstd.Decoder
	blocks    map[string][]block
	counts    connectors.Counts
	watermark connectors.Watermark
	closing   sync.Once
}

func (s *snapshot) Counts() connectors.Counts       { return s.counts }
func (s *snapshot) Watermark() connectors.Watermark { return s.watermark }

func (s *snapshot) Ranges(_ context.Context, kind string, n int) ([]connectors.Range, error) {
	total := s.counts[kind]
	if total == 0 {
		return nil, nil
	}
	n = int(min(int64(max(n, 1)), total))
	ranges := make([]connectors.Range, n)
	for i := range ranges {
		ranges[i].Kind = kind
		if i > 0 {
			border := strconv.FormatInt(total*int64(i)/int64(n), 10)
			ranges[i-1].UpTo, ranges[i].After = border, border
		}
	}
	return ranges, nil
}

// bounds are the numbers of the first row of a range and of the first behind it.
func (s *snapshot) bounds(r connectors.Range) (from, to int64, err error) {
	total := s.counts[r.Kind]
	from, to = 0, total
	if r.After != "" {
		from, err = strconv.ParseInt(r.After, 10, 64)
	}
	if err == nil && r.UpTo != "" {
		to, err = strconv.ParseInt(r.UpTo, 10, 64)
	}
	if err != nil || from < 0 || from > to || to > total {
		return 0, 0, fmt.Errorf("%+v is no range of the %d rows that were copied", r, total)
	}
	return from, to, nil
}

func (s *snapshot) Position(_ context.Context, r connectors.Range, n int64) (string, error) {
	from, to, err := s.bounds(r)
	if err != nil {
		return "", err
	}
	if n <= 0 || n > to-from {
		return "", fmt.Errorf("the range has %d rows: there is no position behind row %d", to-from, n)
	}
	return strconv.FormatInt(from+n, 10), nil
}

// Same is false: a new copy may have other rows, and rows that were changed look no different.
func (s *snapshot) Same(context.Context, connectors.Range, int64, connectors.Watermark) (bool, error) {
	return false, nil
}

func (s *snapshot) Read(ctx context.Context, r connectors.Range, to connectors.Sink) error {
	from, end, err := s.bounds(r)
	if err != nil {
		return err
	}
	var packed, rows []byte
	for _, b := range s.blocks[r.Kind] {
		if b.first+b.rows <= from || b.first >= end {
			continue
		}
		packed = slices.Grow(packed[:0], b.size)[:b.size]
		if _, err := s.file.ReadAt(packed, b.offset); err != nil {
			return fmt.Errorf("read the copied rows: %w", err)
		}
		if rows, err = s.dec.DecodeAll(packed, rows[:0]); err != nil {
			return fmt.Errorf("read the copied rows: %w", err)
		}
		if err := write(ctx, rows, from-b.first, end-b.first, to); err != nil {
			return err
		}
	}
	return nil
}

// write hands on the rows of a block with a number of at least from and below end.
func write(ctx context.Context, rows []byte, from, end int64, to connectors.Sink) error {
	for n := int64(0); len(rows) > 0 && n < end; n++ {
		row, rest, _ := bytes.Cut(rows, []byte{'\n'})
		rows = rest
		if n < from {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := to.Write(row); err != nil {
			return err
		}
		if err := to.EndRow(); err != nil {
			return err
		}
	}
	return nil
}

// Close gives the file's room back.
func (s *snapshot) Close() {
	s.closing.Do(func() {
		s.file.Close()
		if s.dec != nil {
			s.dec.Close()
		}
	})
}
