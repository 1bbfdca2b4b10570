package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/spool"
)

type rows struct {
	open bytes.Buffer
	list []string
}

func (r *rows) Write(p []byte) (int, error) { return r.open.Write(p) }

func (r *rows) EndRow() error {
	r.list = append(r.list, r.open.String())
	r.open.Reset()
	return nil
}

func row(i int) string {
	return fmt.Sprintf(`{"id":%d,"content":%q}`, i, strings.Repeat("x", i%7*10_000))
}

// copyOf has n vectors, among which usage is strewn, over many blocks.
func copyOf(t *testing.T, n int) connectors.Snapshot {
	t.Helper()
	s, err := spool.Copy("store", time.Unix(1, 0), func(w *spool.Writer) error {
		w.Position = "42"
		for i := range n {
			if err := w.Add("vectors", []byte(row(i))); err != nil {
				return err
			}
			if i%25 == 0 {
				if err := w.Add("usage", []byte(`{}`)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func read(t *testing.T, s connectors.Snapshot, r connectors.Range) []string {
	t.Helper()
	var got rows
	if err := s.Read(t.Context(), r, &got); err != nil {
		t.Errorf("read %+v: %v", r, err)
	}
	return got.list
}

func TestRangesAreAllOfTheRows(t *testing.T) {
	s := copyOf(t, 100)
	if c := s.Counts(); c["vectors"] != 100 || c["usage"] != 4 {
		t.Errorf("counts are %v", c)
	}
	if w := s.Watermark(); w.Store != "store" || w.Position != "42" || !w.TakenAt.Equal(time.Unix(1, 0)) {
		t.Errorf("watermark is %+v", w)
	}
	var want []string
	for i := range 100 {
		want = append(want, row(i))
	}
	for _, n := range []int{0, 1, 3, 100, 1000} {
		ranges, err := s.Ranges(t.Context(), "vectors", n)
		if err != nil {
			t.Fatal(err)
		}
		parts := make([][]string, len(ranges))
		var reading sync.WaitGroup
		for i, r := range ranges {
			reading.Go(func() { parts[i] = read(t, s, r) })
		}
		reading.Wait()
		if got := slices.Concat(parts...); !slices.Equal(got, want) {
			t.Errorf("%d ranges have %d rows, or not those", n, len(got))
		}
	}
	if ranges, err := s.Ranges(t.Context(), "documents", 3); err != nil || len(ranges) > 0 {
		t.Errorf("a kind that is not there has %v, %v", ranges, err)
	}
}

func TestPositionSplitsARange(t *testing.T) {
	s := copyOf(t, 40)
	ranges, err := s.Ranges(t.Context(), "vectors", 3)
	if err != nil {
		t.Fatal(err)
	}
	whole := ranges[1]
	want := read(t, s, whole)
	for n := range int64(len(want)) {
		at, err := s.Position(t.Context(), whole, n+1)
		if err != nil {
			t.Fatal(err)
		}
		before, behind := whole, whole
		before.UpTo, behind.After = at, at
		if got := append(read(t, s, before), read(t, s, behind)...); !slices.Equal(got, want) || len(read(t, s, before)) != int(n)+1 {
			t.Errorf("cut behind row %d it has %d rows of %d", n+1, len(got), len(want))
		}
	}
	for _, n := range []int64{0, -1, int64(len(want)) + 1} {
		if at, err := s.Position(t.Context(), whole, n); err == nil {
			t.Errorf("behind row %d is %s", n, at)
		}
	}
}

func TestARangeOfAnotherStoreIsRefused(t *testing.T) {
	s := copyOf(t, 3)
	for _, r := range []connectors.Range{{After: "x"}, {After: "-1"}, {UpTo: "4"}, {After: "2", UpTo: "1"}} {
		r.Kind = "vectors"
		if err := s.Read(t.Context(), r, &rows{}); err == nil {
			t.Errorf("%+v is read", r)
		}
	}
}

func TestACopyThatFailsIsNone(t *testing.T) {
	failed := errors.New("the store is gone")
	s, err := spool.Copy("store", time.Time{}, func(w *spool.Writer) error { return failed })
	if s != nil || !errors.Is(err, failed) {
		t.Errorf("Copy answers %v, %v", s, err)
	}
}
