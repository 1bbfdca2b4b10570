package collect

import (
	"context"
	"errors"
	"math"
	"slices"

	"tenure/services/connectors"
	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/manifest"
)

// Plan says which rows go into which file of an archive, and which parts of the upload a lane may make. It is made once: whoever
// goes on with the archive reads the same ranges into the same files, so that the same rows give the same bytes.
type Plan struct {
	// Stores are the names of those that were asked, in their order: a plan is good for no others.
	Stores []string `json:"stores"`
	Lanes  []Lane   `json:"lanes"`
	// Tail is for what is left of the lanes, the manifest and the directory.
	Tail archive.Numbers `json:"tail"`
}

// Lane is files that are read one after another. Lanes are read side by side.
type Lane struct {
	Numbers archive.Numbers `json:"numbers"`
	Files   []File          `json:"files"`
}

// File is the rows of some ranges, one behind the other.
type File struct {
	Kind string `json:"kind"`
	// Number counts the files of a kind, from 1.
	Number int     `json:"number"`
	Ranges []Range `json:"ranges"`
}

// Range is a range of one store.
type Range struct {
	// Store is its place in the plan's stores: a participant may have a store's name.
	Store            int `json:"store"`
	connectors.Range `json:"range"`
}

const (
	// fileBytes is about how much a file of a parted kind should hold, as the store keeps it: small enough to be opened
	// by any program and to be read again after a kill, large enough to keep the files few.
	fileBytes = 16 << 20
	// maxFiles bounds the files of one kind from one store, and with them the plan.
	maxFiles = 2000

	// maxParts is how many S3 allows in one upload; tailParts of them are for the end of the archive.
	maxParts  = 10_000
	tailParts = 100
)

// Begin plans an archive of which nothing is there yet: it cuts what there is into files, and the files of each parted
// kind into at most lanes lanes.
func (c *Collection) Begin(ctx context.Context, lanes int) (Resumed, error) {
	p := Plan{Stores: c.names(), Tail: archive.Numbers{First: maxParts - tailParts + 1, Last: maxParts + 1}}
	total := 0
	for _, kind := range c.kinds() {
		files, err := c.files(ctx, kind)
		if err != nil {
			return Resumed{}, err
		}
		total += len(files)
		each := (len(files) + lanes - 1) / lanes
		for part := range slices.Chunk(files, each) {
			p.Lanes = append(p.Lanes, Lane{Files: part})
		}
	}
	// Each lane has its share of the numbers: the files are about as large as each other.
	first, begun := int32(1), 0
	for i := range p.Lanes {
		begun += len(p.Lanes[i].Files)
		last := 1 + int32(int64(maxParts-tailParts)*int64(begun)/int64(total))
		p.Lanes[i].Numbers = archive.Numbers{First: first, Last: last}
		first = last
	}
	return Resumed{Plan: p, Kept: make([][]Checkpoint, len(p.Lanes))}, nil
}

func (c *Collection) names() []string {
	names := make([]string, len(c.stores))
	for i, s := range c.stores {
		names[i] = s.Name()
	}
	return names
}

// files cuts the rows of one kind. There is one file at least, be it empty.
func (c *Collection) files(ctx context.Context, kind string) ([]File, error) {
	var files []File
	single := File{Kind: kind, Number: 1}
	for i, snapshot := range c.snapshots {
		n, err := c.cuts(ctx, i, kind)
		if err != nil {
			return nil, err
		}
		ranges, err := snapshot.Ranges(ctx, kind, n)
		if err != nil {
			return nil, err
		}
		for _, r := range ranges {
			of := Range{Store: i, Range: r}
			single.Ranges = append(single.Ranges, of)
			files = append(files, File{Kind: kind, Number: len(files) + 1, Ranges: []Range{of}})
		}
	}
	if len(files) == 0 || !manifest.Parted(kind) {
		return []File{single}, nil
	}
	return files, nil
}

// cuts is how many files the rows of a kind in one store should make.
func (c *Collection) cuts(ctx context.Context, store int, kind string) (int, error) {
	counts := c.snapshots[store].Counts()
	rows, all := counts[kind], counts.Total()
	if rows <= 1 || !manifest.Parted(kind) {
		return 1, nil
	}
	bytes, err := c.stores[store].Bytes(ctx, c.wanted.Of)
	if errors.Is(err, errors.ErrUnsupported) {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	n := math.Ceil(float64(bytes) * float64(rows) / float64(all) / fileBytes)
	return int(min(max(n, 1), float64(rows), maxFiles)), nil
}
