package collect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/collect"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// shelf is a store in the memory: rows in order, each with the time of its last change. It tells that it holds more bytes
// than it does, so that a plan has several files.
type shelf struct {
	connectors.Connector
	name  string
	files int64 // that a kind is to be cut into
	clock int   // counts changes
	kinds map[string][]row
	since time.Time
	err   error
	open  int

	// breaks, if not nil, may end a reading before a row.
	breaks func(kind string, row int) error
}

type row struct {
	id      int
	text    string
	changed int
}

// rows are n of about this many bytes each, which compress badly.
func rows(n, bytes int) []row {
	all := make([]row, n)
	for i := range all {
		random := rand.New(rand.NewPCG(uint64(i), uint64(n)))
		text := make([]byte, bytes)
		for j := range text {
			text[j] = byte('A' + random.IntN(58))
		}
		all[i] = row{id: i + 1, text: strings.ReplaceAll(string(text), `\`, "/")}
	}
	return all
}

func (s *shelf) Name() string { return s.name }

func (s *shelf) Bytes(context.Context, connectors.Scope) (int64, error) {
	return s.files * 16 << 20, nil
}

func (s *shelf) Snapshot(_ context.Context, _ connectors.Scope, since time.Time) (connectors.Snapshot, error) {
	s.since = since
	if s.err != nil {
		return nil, s.err
	}
	s.open++
	kinds := map[string][]row{}
	for kind, rows := range s.kinds {
		kinds[kind] = slices.Clone(rows)
	}
	return &shelfSnapshot{shelf: s, kinds: kinds, at: s.clock}, nil
}

type shelfSnapshot struct {
	*shelf
	kinds map[string][]row
	at    int
}

func (s *shelfSnapshot) Counts() connectors.Counts {
	counts := connectors.Counts{}
	for kind, rows := range s.kinds {
		counts[kind] = int64(len(rows))
	}
	return counts
}

func (s *shelfSnapshot) Watermark() connectors.Watermark {
	return connectors.Watermark{Store: s.name, TakenAt: noon.Add(time.Duration(s.at) * time.Second), Position: strconv.Itoa(s.at)}
}

func (s *shelfSnapshot) Close() { s.open-- }

func (s *shelfSnapshot) Ranges(_ context.Context, kind string, n int) ([]connectors.Range, error) {
	all := s.kinds[kind]
	if len(all) == 0 {
		return nil, nil
	}
	var ranges []connectors.Range
	after := ""
	size := (len(all) + n - 1) / n
	for end := size; end < len(all); end += size {
		upTo := strconv.Itoa(all[end-1].id)
		ranges = append(ranges, connectors.Range{Kind: kind, After: after, UpTo: upTo})
		after = upTo
	}
	return append(ranges, connectors.Range{Kind: kind, After: after}), nil
}

// within are the rows of a range.
func (s *shelfSnapshot) within(r connectors.Range) (rows []row) {
	after, _ := strconv.Atoi(r.After)
	upTo, err := strconv.Atoi(r.UpTo)
	for _, row := range s.kinds[r.Kind] {
		if row.id > after && (err != nil || row.id <= upTo) {
			rows = append(rows, row)
		}
	}
	return rows
}

func (s *shelfSnapshot) Position(context.Context, connectors.Range, int64) (string, error) {
	return "", errors.ErrUnsupported
}

func (s *shelfSnapshot) Same(_ context.Context, r connectors.Range, n int64, at connectors.Watermark) (bool, error) {
	earlier, err := strconv.Atoi(at.Position)
	rows := s.within(r)
	changed := slices.ContainsFunc(rows, func(row row) bool { return row.changed > earlier })
	return int64(len(rows)) == n && !changed, err
}

func (s *shelfSnapshot) Read(_ context.Context, r connectors.Range, to connectors.Sink) error {
	for _, row := range s.within(r) {
		if s.breaks != nil {
			if err := s.breaks(r.Kind, row.id); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(to, `{"id":%d,"text":"%s","changed":%d}`, row.id, row.text, row.changed); err != nil {
			return err
		}
		if err := to.EndRow(); err != nil {
			return err
		}
	}
	return nil
}

// bucket is an upload in the memory, and the journal of its checkpoints.
type bucket struct {
	mu          sync.Mutex
	parts       map[int32][]byte
	puts        int
	checkpoints []collect.Checkpoint
	// breaks, if not nil, may refuse a part or a checkpoint.
	breaks func(what string) error
}

func newBucket() *bucket { return &bucket{parts: map[int32][]byte{}} }

func (b *bucket) Put(_ context.Context, number int32, body []byte) (archive.Part, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.breaks != nil {
		if err := b.breaks("part"); err != nil {
			return archive.Part{}, err
		}
	}
	b.puts++
	b.parts[number] = slices.Clone(body)
	return archive.Part{Number: number, Bytes: int64(len(body)), ETag: strconv.Itoa(b.puts)}, nil
}

func (b *bucket) save(_ context.Context, cp collect.Checkpoint) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.breaks != nil {
		if err := b.breaks("checkpoint"); err != nil {
			return err
		}
	}
	body, err := json.Marshal(cp) // as a database keeps it
	if err != nil {
		return err
	}
	var kept collect.Checkpoint
	if err := json.Unmarshal(body, &kept); err != nil {
		return err
	}
	b.checkpoints = append(b.checkpoints, kept)
	return nil
}

// object is what S3 makes of the parts.
func (b *bucket) object(parts []archive.Part) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, b.parts[p.Number]...)
	}
	return all
}

func (b *bucket) target() collect.Target {
	return collect.Target{Upload: b, Save: b.save, SideBySide: 2, Options: archive.Options{Modified: noon}}
}

func openAll(t *testing.T, wanted collect.Wanted, stores ...connectors.Connector) *collect.Collection {
	t.Helper()
	wanted.ExportID, wanted.Of = "exp_1", connectors.Tenant("acme")
	c, err := collect.Open(t.Context(), stores, wanted)
	check(t, err)
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writeAll is an archive without an interruption, read back.
func writeAll(t *testing.T, wanted collect.Wanted, stores ...connectors.Connector) (collect.Archive, []byte) {
	t.Helper()
	c := openAll(t, wanted, stores...)
	defer c.Close()
	b := newBucket()
	from, err := c.Begin(t.Context(), 2)
	check(t, err)
	made, err := c.Write(t.Context(), from, b.target())
	check(t, err)
	return made, whole(t, b, made)
}

// whole is the object, held against its manifest.
func whole(t *testing.T, b *bucket, made collect.Archive) []byte {
	t.Helper()
	numbers := make([]int32, len(made.Parts))
	for i, p := range made.Parts {
		numbers[i] = p.Number
		if p.Bytes < archive.LeastPart && i < len(made.Parts)-1 {
			t.Errorf("part %d has %d bytes", p.Number, p.Bytes)
		}
	}
	if !slices.IsSorted(numbers) || len(slices.Compact(numbers)) != len(numbers) {
		t.Errorf("the parts' numbers are %v", numbers)
	}
	object := b.object(made.Parts)
	if _, err := archive.Check(bytes.NewReader(object), bytes.NewReader(object), int64(len(object)), made.JSON); err != nil {
		t.Fatal(err)
	}
	return object
}
