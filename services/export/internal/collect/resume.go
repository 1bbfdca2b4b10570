package collect

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"tenure/services/export/internal/manifest"
)

// Resumed is an archive that goes on.
type Resumed struct {
	Plan Plan
	// Replanned: the plan is not the one that was made at first.
	Replanned bool
	// Kept are the checkpoints of each lane that stay; what is behind them is read again.
	Kept [][]Checkpoint
}

// Resume goes on with an archive of earlier snapshots. It keeps the first checkpoints of each lane, as long as the store says
// of each of their ranges that it holds the very rows that were read: so an archive is the state at one watermark of each
// store, whenever its parts were read. ok is false when the archive has to be begun anew.
func (c *Collection) Resume(ctx context.Context, p Plan, all []Checkpoint) (r Resumed, ok bool, err error) {
	if !slices.Equal(p.Stores, c.names()) {
		return r, false, nil
	}
	r.Plan, r.Kept = p, make([][]Checkpoint, len(p.Lanes))
	for _, cp := range all {
		r.Kept[cp.Lane] = append(r.Kept[cp.Lane], cp)
	}
	g, side := errgroup.WithContext(ctx)
	for i := range r.Kept {
		g.Go(func() error {
			n, err := c.unchanged(side, p.Lanes[i], r.Kept[i])
			r.Kept[i] = r.Kept[i][:n]
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return r, false, err
	}
	ok, err = c.refit(ctx, &r)
	return r, ok, err
}

// unchanged tells how many of a lane's checkpoints can be kept.
func (c *Collection) unchanged(ctx context.Context, l Lane, checkpoints []Checkpoint) (int, error) {
	files := l.Files
	for i, cp := range checkpoints {
		if cp.N != i {
			return i, nil // the one between them was never stored
		}
		for j, done := range cp.Files {
			same, err := c.same(ctx, files[j], done, cp)
			if err != nil || !same {
				return i, err
			}
		}
		files = files[len(cp.Files):]
	}
	return len(checkpoints), nil
}

func (c *Collection) same(ctx context.Context, f File, done Done, cp Checkpoint) (bool, error) {
	for i, r := range f.Ranges {
		same, err := c.snapshots[r.Store].Same(ctx, r.Range, done.Rows[i], cp.Watermarks[r.Store])
		if err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// Size tells how much is kept, in rows and their bytes.
func (r Resumed) Size() (rows, bytes int64) {
	for _, cp := range slices.Concat(r.Kept...) {
		for _, done := range cp.Files {
			for _, e := range done.Entries {
				rows, bytes = rows+e.Listed.Rows, bytes+e.Listed.Bytes
			}
		}
	}
	return rows, bytes
}

// refit makes a plan of an earlier snapshot one for this collection, or reports that it cannot be. The plan's ranges cover all
// the rows of a part of a store, those that came since as well; but not those of a part that was empty then. Such
// parts can still be added to a file that was not written yet.
func (c *Collection) refit(ctx context.Context, r *Resumed) (fits bool, err error) {
	for _, kind := range c.kinds() {
		now, err := c.ranges(ctx, kind)
		if err != nil {
			return false, err
		}
		lane := r.Plan.lane(kind)
		if lane < 0 {
			return false, nil
		}
		if r.Plan.covers(kind, now) {
			continue
		}
		first := &r.Plan.Lanes[lane].Files[0]
		if len(r.Kept[lane]) > 0 || manifest.Parted(kind) && len(first.Ranges) > 0 {
			return false, nil
		}
		first.Ranges, r.Replanned = now, true
	}
	return true, nil
}

// ranges are one of each part of each store.
func (c *Collection) ranges(ctx context.Context, kind string) ([]Range, error) {
	var all []Range
	for i, s := range c.snapshots {
		ranges, err := s.Ranges(ctx, kind, 1)
		if err != nil {
			return nil, err
		}
		for _, r := range ranges {
			all = append(all, Range{Store: i, Range: r})
		}
	}
	return all, nil
}

// lane is the first of a kind, or -1.
func (p Plan) lane(kind string) int {
	return slices.IndexFunc(p.Lanes, func(l Lane) bool { return l.Files[0].Kind == kind })
}

// covers reports whether the plan reads of every part that these ranges are of.
func (p Plan) covers(kind string, ranges []Range) bool {
	type part struct {
		store int
		name  string
	}
	planned := map[part]bool{}
	for _, l := range p.Lanes {
		for _, f := range l.Files {
			for _, r := range f.Ranges {
				if f.Kind == kind {
					planned[part{r.Store, r.Part}] = true
				}
			}
		}
	}
	return !slices.ContainsFunc(ranges, func(r Range) bool { return !planned[part{r.Store, r.Part}] })
}
