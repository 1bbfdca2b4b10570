package collect

import (
	"context"
	"fmt"
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
	// SideBySide is how many lanes are read at the same time; each takes some 20 MiB.
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
	parts   chan part
	free    chan []byte
	pending []Done // finished, and not in a part yet

	checkpoint Checkpoint // the next one; of the goroutine that uploads
	result     written
}

// part is on its way to the upload.
type part struct {
	number int32
	body   []byte
	files  []Done // those that end with it
}

// written is a lane that is done.
type written struct {
	parts []archive.Part
	files []Done
	// rest is what no part was made of; it begins with an entry.
	rest []byte
}

// keep begins with what was written before.
func (w *written) keep(cp Checkpoint) {
	w.parts = append(w.parts, cp.Parts...)
	w.files = append(w.files, cp.Files...)
}

// uploadAhead is how many buffers a lane has: while one is uploaded, the other is filled.
const uploadAhead = 2

// lanes writes all lanes but for what is kept.
func (c *Collection) lanes(ctx context.Context, from Resumed, to Target) ([]written, error) {
	results := make([]written, len(from.Plan.Lanes))
	buffers := make(chan [uploadAhead][]byte, to.SideBySide)
	for range to.SideBySide {
		buffers <- [uploadAhead][]byte{}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(to.SideBySide)
	for i, plan := range from.Plan.Lanes {
		g.Go(func() error {
			own := <-buffers
			l := &lane{Collection: c, plan: plan, to: to, parts: make(chan part), free: make(chan []byte, uploadAhead)}
			l.checkpoint = Checkpoint{Lane: i, N: len(from.Kept[i]), Watermarks: c.watermarks()}
			for _, cp := range from.Kept[i] {
				l.result.keep(cp)
			}
			own, err := l.run(ctx, own)
			results[i] = l.result
			buffers <- own
			return err
		})
	}
	return results, g.Wait()
}

// run reads and uploads at the same time. It returns the buffers for another lane.
func (l *lane) run(ctx context.Context, buffers [uploadAhead][]byte) ([uploadAhead][]byte, error) {
	for _, b := range buffers[1:] {
		l.free <- b
	}
	g, ctx := errgroup.WithContext(ctx)
	l.out = archive.NewLane(l.plan.Numbers, l.result.parts, buffers[0], func(number int32, body []byte, ends bool) ([]byte, error) {
		return l.put(ctx, number, body, ends)
	})
	g.Go(func() error { return l.upload(ctx) })
	g.Go(func() error {
		defer close(l.parts)
		return l.read(ctx)
	})
	err := g.Wait()
	l.result.rest = append([]byte(nil), l.out.Rest()...)
	l.result.files = append(l.result.files, l.pending...)
	buffers[0] = l.out.Rest()
	for i := 1; i < uploadAhead && err == nil; i++ {
		buffers[i] = <-l.free
	}
	return buffers, err
}

// read writes the files that are not there yet.
func (l *lane) read(ctx context.Context) error {
	for _, f := range l.plan.Files[len(l.result.files):] {
		done, err := l.file(ctx, f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Kind, err)
		}
		l.pending = append(l.pending, done)
		if err := l.out.EndEntry(); err != nil {
			return err
		}
	}
	return nil
}

// put hands a part over to the upload, and waits for the one before.
func (l *lane) put(ctx context.Context, number int32, body []byte, ends bool) ([]byte, error) {
	p := part{number: number, body: body}
	if ends {
		p.files, l.pending = l.pending, nil
	}
	select {
	case l.parts <- p:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case next := <-l.free:
		return next, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// upload sends the parts in their order and stores a checkpoint whenever files end with one.
func (l *lane) upload(ctx context.Context) error {
	for p := range l.parts {
		sent, err := l.to.Upload.Put(ctx, p.number, p.body)
		if err != nil {
			return err
		}
		l.free <- p.body
		l.checkpoint.Parts = append(l.checkpoint.Parts, sent)
		if len(p.files) == 0 {
			continue
		}
		l.checkpoint.Files = p.files
		if err := l.to.Save(ctx, l.checkpoint); err != nil {
			return err
		}
		l.result.keep(l.checkpoint)
		l.checkpoint.N, l.checkpoint.Parts = l.checkpoint.N+1, nil
	}
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
