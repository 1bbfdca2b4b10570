package conformance

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"tenure/services/connectors"
)

func cut(t *testing.T, s connectors.Snapshot, kind string, n int) []connectors.Range {
	t.Helper()
	ranges, err := s.Ranges(t.Context(), kind, n)
	if err != nil {
		t.Fatalf("%d ranges: %v", n, err)
	}
	if len(ranges) > n {
		t.Errorf("%d ranges instead of %d", len(ranges), n)
	}
	return ranges
}

func readRange(t *testing.T, s connectors.Snapshot, r connectors.Range) []string {
	t.Helper()
	var got rows
	if err := s.Read(t.Context(), r, &got); err != nil {
		t.Errorf("read %+v: %v", r, err)
	}
	return got.list
}

func testRanges(t *testing.T, f Fixture) {
	if ranges := cut(t, snapshot(t, f, "acme"), f.Kind, 3); len(ranges) > 1 {
		t.Errorf("no rows are %d ranges", len(ranges))
	}
	put(t, f, "acme", 20)
	s := snapshot(t, f, "acme")
	want := read(t, s, f.Kind).list
	for _, n := range []int{1, 2, 3, 7, 20, 50} {
		ranges := cut(t, s, f.Kind, n)
		var got []string
		for _, r := range ranges {
			rows := readRange(t, s, r)
			got = append(got, rows...)
			if most := 2*len(want)/len(ranges) + 1; len(rows) > most {
				t.Errorf("one of %d ranges has %d of %d rows", len(ranges), len(rows), len(want))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d ranges have %d rows, and not those of one reading in their order", n, len(got))
		}
		if again := cut(t, snapshot(t, f, "acme"), f.Kind, n); !slices.Equal(again, ranges) {
			t.Errorf("the same rows are cut into %v and into %v", ranges, again)
		}
	}
	if ranges := cut(t, s, "no such kind", 2); len(ranges) != 0 {
		t.Errorf("a kind that is not there has the ranges %v", ranges)
	}
}

// testSideBySide asks for positions while rows are read, as one does who keeps checkpoints.
func testSideBySide(t *testing.T, f Fixture) {
	put(t, f, "acme", f.Many)
	s := snapshot(t, f, "acme")
	want := read(t, s, f.Kind).list
	ranges := cut(t, s, f.Kind, 8)
	got := make([][]string, len(ranges))
	var readers sync.WaitGroup
	for i, r := range ranges {
		readers.Go(func() {
			to := &asking{snapshot: s, of: r, t: t}
			if err := s.Read(t.Context(), r, to); err != nil {
				t.Errorf("read %+v: %v", r, err)
			}
			got[i] = to.list
		})
	}
	readers.Wait()
	if !slices.Equal(slices.Concat(got...), want) {
		t.Error("what was read side by side is not what was read at once")
	}
}

// asking is a sink that asks for its position in the middle of the reading.
type asking struct {
	rows
	snapshot connectors.Snapshot
	of       connectors.Range
	t        *testing.T
}

func (a *asking) EndRow() error {
	if err := a.rows.EndRow(); err != nil || len(a.list)%50 != 0 {
		return err
	}
	_, err := a.snapshot.Position(a.t.Context(), a.of, int64(len(a.list)))
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

func testPosition(t *testing.T, f Fixture) {
	put(t, f, "acme", 20)
	s := snapshot(t, f, "acme")
	for _, r := range cut(t, s, f.Kind, 2) {
		want := readRange(t, s, r)
		for _, n := range []int{1, len(want) / 2, len(want)} {
			at, err := s.Position(t.Context(), r, int64(n))
			if errors.Is(err, errors.ErrUnsupported) {
				t.Skip("the store cannot start in the middle")
			}
			if err != nil || at == "" {
				t.Fatalf("the position behind row %d of %+v: %q, %v", n, r, at, err)
			}
			// It means the same in another snapshot.
			for _, s := range []connectors.Snapshot{s, snapshot(t, f, "acme")} {
				before, behind := r, r
				before.UpTo, behind.After = at, at
				if !slices.Equal(readRange(t, s, before), want[:n]) || !slices.Equal(readRange(t, s, behind), want[n:]) {
					t.Errorf("the position behind row %d of %+v is elsewhere", n, r)
				}
			}
		}
		if at, err := s.Position(t.Context(), r, int64(len(want)+1)); err == nil {
			t.Errorf("the position behind a row that is not there: %q", at)
		}
	}
}

// testSame holds each range that is said to be the same against its rows: what is wrongly taken for unchanged would be
// an archive of two states.
func testSame(t *testing.T, f Fixture) {
	changes := []struct {
		name string
		make func() error
	}{
		{"nothing", func() error { return nil }},
		{"an insert", func() error { return f.Put(t.Context(), "acme", "row-00007x", "new") }},
		{"an update", func() error { return f.Put(t.Context(), "acme", "row-00003", "changed") }},
		{"another tenant's rows", func() error { return f.Put(t.Context(), "acme-2", "row-00003", "changed") }},
	}
	if f.Delete != nil {
		changes = append(changes, []struct {
			name string
			make func() error
		}{
			{"a delete", func() error { return f.Delete(t.Context(), "acme", "row-00004") }},
			{"a delete and an insert", func() error {
				return errors.Join(f.Delete(t.Context(), "acme", "row-00005"), f.Put(t.Context(), "acme", "row-00005x", "new"))
			}},
			{"a delete and the row anew", func() error {
				return errors.Join(f.Delete(t.Context(), "acme", "row-00006"), f.Put(t.Context(), "acme", "row-00006", "anew"))
			}},
		}...)
	}
	put(t, f, "acme", 20)
	for _, change := range changes {
		earlier := snapshot(t, f, "acme")
		var were [][]string
		ranges := cut(t, earlier, f.Kind, 4)
		for _, r := range ranges {
			were = append(were, readRange(t, earlier, r))
		}
		if err := change.make(); err != nil {
			t.Fatalf("%s: %v", change.name, err)
		}
		now := snapshot(t, f, "acme")
		for i, r := range ranges {
			same, err := now.Same(t.Context(), r, int64(len(were[i])), earlier.Watermark())
			if err != nil {
				t.Errorf("%s: %v", change.name, err)
			}
			if same && !slices.Equal(readRange(t, now, r), were[i]) {
				t.Errorf("%s: the range %+v is said to be the same", change.name, r)
			}
		}
		earlier.Close()
		now.Close()
	}
}
