package collect

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"tenure/services/connectors"
	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/manifest"
)

// Checkpoint is some files of a lane, whole and uploaded.
type Checkpoint struct {
	Lane int `json:"lane"`
	// N counts the lane's checkpoints, from 0: one is worth something only while all before it are.
	N     int            `json:"n"`
	Parts []archive.Part `json:"parts"`
	Files []Done         `json:"files"`
	// Watermarks are those that the rows were read at, in the order of the plan's stores.
	Watermarks []connectors.Watermark `json:"watermarks"`
}

// Done is a file of the plan that was written.
type Done struct {
	// Rows are those of each of the file's ranges.
	Rows []int64 `json:"rows"`
	// Entries is one, or more when the rows were too many for one.
	Entries []archive.File `json:"entries"`
}

// Upload is where the parts go. It is safe for concurrent use.
type Upload interface {
	// Put uploads a part in place of whatever was uploaded under this number.
	Put(ctx context.Context, number int32, body []byte) (archive.Part, error)
}

// Target is where an archive is written to.
type Target struct {
	Upload Upload
	// Save stores a checkpoint; it is called after its parts were uploaded, from several goroutines.
	Save    func(context.Context, Checkpoint) error
	Options archive.Options
	// SideBySide is how many lanes are read at the same time; each takes some 10 MiB.
	SideBySide int
}

// progress counts what was read, over all lanes.
type progress struct{ rows, bytes atomic.Int64 }

// Progress tells the rows in the archive so far and their bytes. Any goroutine may call it.
func (c *Collection) Progress() (rows, bytes int64) {
	return c.progress.rows.Load(), c.progress.bytes.Load()
}

// lane is the writing of one lane.
type lane struct {
	*Collection
	plan    Lane
	to      Target
	out     *archive.Lane
	pending []Done     // finished, and not in a part yet
	next    Checkpoint // without its files yet
	written written
}

// written is what a lane has made.
type written struct {
	parts []archive.Part
	files []Done
	// rest is what no part was made of; it begins with an entry.
	rest []byte
}

// keep adds what a checkpoint has.
func (w *written) keep(cp Checkpoint) {
	w.parts = append(w.parts, cp.Parts...)
	w.files = append(w.files, cp.Files...)
}

// lanes writes all lanes but for what is kept. A lane waits while a part of it is uploaded, and the others go on. As many
// run side by side as there are buffers.
func (c *Collection) lanes(ctx context.Context, from Resumed, to Target, buffers chan []byte) ([]written, error) {
	results := make([]written, len(from.Plan.Lanes))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cap(buffers))
	for i, plan := range from.Plan.Lanes {
		g.Go(func() error {
			l := &lane{Collection: c, plan: plan, to: to}
			l.next = Checkpoint{Lane: i, N: len(from.Kept[i]), Watermarks: c.watermarks()}
			for _, cp := range from.Kept[i] {
				l.written.keep(cp)
			}
			l.out = archive.NewLane(plan.Numbers, l.written.parts, <-buffers, func(number int32, body []byte, ends bool) error {
				return l.upload(ctx, number, body, ends)
			})
			err := l.read(ctx)
			l.written.rest = slices.Clone(l.out.Rest())
			l.written.files = append(l.written.files, l.pending...)
			results[i] = l.written
			buffers <- l.out.Rest()
			return err
		})
	}
	return results, g.Wait()
}

// read writes the files that are not there yet.
func (l *lane) read(ctx context.Context) error {
	for _, f := range l.plan.Files[len(l.written.files):] {
		done, err := l.file(ctx, f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Kind, err)
		}
		l.pending = append(l.pending, done)
		if err := l.out.EndFile(); err != nil {
			return err
		}
	}
	return nil
}

// upload sends a part, and stores a checkpoint when files end with it.
func (l *lane) upload(ctx context.Context, number int32, body []byte, ends bool) error {
	sent, err := l.to.Upload.Put(ctx, number, body)
	if err != nil {
		return err
	}
	l.next.Parts = append(l.next.Parts, sent)
	if !ends {
		return nil
	}
	l.next.Files, l.pending = l.pending, nil
	if err := l.to.Save(ctx, l.next); err != nil {
		return err
	}
	l.written.keep(l.next)
	l.next.N, l.next.Parts = l.next.N+1, nil
	return nil
}

// file writes one file of the plan.
func (l *lane) file(ctx context.Context, f File) (Done, error) {
	s := &sink{lane: l, file: f}
	if err := s.open(); err != nil {
		return Done{}, err
	}
	for _, r := range f.Ranges {
		before := s.rows
		if err := l.snapshots[r.Store].Read(ctx, r.Range, s); err != nil {
			return Done{}, err
		}
		s.done.Rows = append(s.done.Rows, s.rows-before)
	}
	err := s.close()
	return s.done, err
}

// maxFileBytes is where a file of a parted kind ends though its range does not: what the store keeps small may be large as
// JSON, and not every store can be cut.
const maxFileBytes = 256 << 20

// sink takes the rows of one file of the plan.
type sink struct {
	lane *lane
	file File
	out  *archive.Writer
	rows int64
	done Done
}

func (s *sink) open() (err error) {
	name := manifest.FileName(s.file.Kind, s.file.Number, len(s.done.Entries)+1, s.lane.wanted.form(s.file.Kind))
	s.out, err = archive.Create(s.lane.out, name, s.lane.to.Options)
	return err
}

func (s *sink) close() error {
	if s.out == nil {
		return nil // the last row was the last that had room
	}
	entry, err := s.out.Close()
	s.out = nil
	if len(s.file.Ranges) == 1 {
		entry.Listed.Store = s.lane.stores[s.file.Ranges[0].Store].Name()
	}
	s.done.Entries = append(s.done.Entries, entry)
	return err
}

// Write adds to the row that is open.
func (s *sink) Write(p []byte) (int, error) {
	if s.out == nil {
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	s.lane.progress.bytes.Add(int64(len(p)))
	return s.out.Write(p)
}

// EndRow ends the row, and the entry when it is large enough: a row is never cut.
func (s *sink) EndRow() error {
	if _, err := s.Write(nil); err != nil { // of an empty row
		return err
	}
	s.rows++
	s.lane.progress.rows.Add(1)
	s.lane.progress.bytes.Add(1) // the line feed
	if err := s.out.EndRow(); err != nil {
		return err
	}
	if manifest.Parted(s.file.Kind) && s.out.Bytes() >= maxFileBytes {
		return s.close()
	}
	return nil
}
