package collect_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"tenure/services/connectors"
	"tenure/services/export/internal/collect"
)

var errKilled = errors.New("killed")

// big is a tenant whose archive has several parts and checkpoints in each lane: 7 files of some 7 MB.
func big() *shelf {
	return &shelf{name: "app", files: 7, kinds: map[string][]row{
		"documents": slices.Clone(bigRows()), "vectors": rows(20, 1000), "usage": rows(10, 100),
	}}
}

var bigRows = sync.OnceValue(func() []row { return rows(160, 300<<10) })

// onDisk is a plan as a database keeps it.
func onDisk(t *testing.T, p collect.Plan) (kept collect.Plan) {
	t.Helper()
	body, err := json.Marshal(p)
	check(t, err)
	check(t, json.Unmarshal(body, &kept))
	return kept
}

// interrupted writes an archive in as many tries as it takes: each part and checkpoint may be the last that a try does, by
// breaks. between happens between the tries.
func interrupted(t *testing.T, s *shelf, b *bucket, breaks func(try int, what string) error, between func(try int)) (made collect.Archive, kept int64) {
	t.Helper()
	var plan collect.Plan
	for try := 0; ; try++ {
		if try > 100 {
			t.Fatal("it does not come to an end")
		}
		c := openAll(t, collect.Wanted{}, s)
		from, ok, err := c.Resume(t.Context(), plan, b.checkpoints)
		check(t, err)
		if !ok {
			from, err = c.Begin(t.Context(), 2)
			check(t, err)
		}
		plan = onDisk(t, from.Plan)
		b.checkpoints = slices.Concat(from.Kept...)
		_, bytes := from.Size()
		kept += bytes
		b.breaks = func(what string) error { return breaks(try, what) }
		made, err = c.Write(t.Context(), from, b.target())
		c.Close()
		if err == nil {
			return made, kept
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		between(try)
	}
}

// TestTheSameBytesAfterInterruptions breaks an archive off at every part and at every checkpoint, once each, and once at all
// of them: the bytes are those of the archive that nothing interrupted.
func TestTheSameBytesAfterInterruptions(t *testing.T) {
	_, want := writeAll(t, collect.Wanted{}, big())
	counting := newBucket()
	calls := 0
	interrupted(t, big(), counting, func(int, string) error { calls++; return nil }, nil)
	if calls < 12 {
		t.Fatalf("it takes %d parts and checkpoints alone: too few to break off", calls)
	}
	run := func(name string, breaks func(call int) bool, least int64) {
		t.Run(name, func(t *testing.T) {
			b := newBucket()
			call, broken := 0, map[int]bool{}
			made, kept := interrupted(t, big(), b, func(int, string) error {
				if call++; breaks(call) && !broken[call] {
					broken[call] = true
					return errKilled
				}
				return nil
			}, func(int) {})
			if !bytes.Equal(whole(t, b, made), want) {
				t.Error("the archive has other bytes")
			}
			if kept < least {
				t.Errorf("%d bytes were kept", kept)
			}
		})
	}
	for at := 1; at <= calls; at++ {
		run(fmt.Sprintf("at call %d", at), func(call int) bool { return call == at }, int64(max(at-8, 0)/2)*5<<20)
	}
	run("at every third", func(call int) bool { return call%3 == 0 }, 5<<20)
}

// TestWritesBetweenInterruptions changes, adds and removes rows after each interruption. The archive is the state at the
// last snapshot, whatever was read before: a lost change, a row from another time or a row twice would show.
func TestWritesBetweenInterruptions(t *testing.T) {
	for name, write := range map[string]func(s *shelf, try int){
		"a row is changed": func(s *shelf, try int) {
			s.clock++
			s.kinds["documents"][20*try+3].changed = s.clock
		},
		"a row is added at the end": func(s *shelf, try int) {
			s.clock++
			s.kinds["documents"] = append(s.kinds["documents"], row{id: 1000 + try, text: "new", changed: s.clock})
		},
		"a row is removed": func(s *shelf, try int) {
			s.clock++
			s.kinds["documents"] = slices.Delete(s.kinds["documents"], 7*try, 7*try+1)
		},
		"one is added, one removed": func(s *shelf, try int) {
			s.clock++
			s.kinds["documents"] = slices.Delete(s.kinds["documents"], 3, 4)
			s.kinds["documents"] = slices.Insert(s.kinds["documents"], 3, row{id: s.kinds["documents"][2].id + 1, text: "other", changed: s.clock})
		},
		"a kind appears": func(s *shelf, try int) {
			s.clock++
			s.kinds["billing"] = append(s.kinds["billing"], row{id: try + 1, text: "bill", changed: s.clock})
		},
		"all is gone": func(s *shelf, _ int) { s.clock++; s.kinds["documents"], s.kinds["vectors"] = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			s, b := big(), newBucket()
			calls := 0
			made, _ := interrupted(t, s, b, func(try int, _ string) error {
				if calls++; try < 3 && calls%6 == 0 {
					return errKilled
				}
				return nil
			}, func(try int) { write(s, try) })
			object := whole(t, b, made)
			snapshot, err := s.Snapshot(t.Context(), connectors.Tenant("acme"), noon)
			check(t, err)
			for kind, rows := range s.kinds {
				var want []string
				for _, r := range rows {
					want = append(want, fmt.Sprintf(`{"id":%d,"text":"%s","changed":%d}`, r.id, r.text, r.changed))
				}
				if got := lines(t, object, kind); !slices.Equal(got, want) {
					t.Errorf("%s: %d rows are not the %d of the store", kind, len(got), len(want))
				}
			}
			if got := made.Manifest.Stores[0].Position; got != snapshot.Watermark().Position {
				t.Errorf("the watermark is %s, not that of the last snapshot", got)
			}
		})
	}
}

func TestAPlanForOtherStoresIsNoPlan(t *testing.T) {
	first := openAll(t, collect.Wanted{}, big())
	defer first.Close()
	from, err := first.Begin(t.Context(), 2)
	check(t, err)
	second := openAll(t, collect.Wanted{}, big(), &shelf{name: "another"})
	defer second.Close()
	if _, ok, err := second.Resume(t.Context(), from.Plan, nil); ok || err != nil {
		t.Errorf("it goes on: %v, %v", ok, err)
	}
}

// TestLanesHaveNumbersOfTheirOwn holds for any number of files: no two lanes can make the same part.
func TestLanesHaveNumbersOfTheirOwn(t *testing.T) {
	for _, files := range []int64{1, 2, 3, 100, 1999} {
		s := big()
		s.kinds["documents"] = rows(int(files), 1)
		s.files = files * 300
		c := openAll(t, collect.Wanted{}, s)
		from, err := c.Begin(t.Context(), 3)
		check(t, err)
		c.Close()
		next := int32(1)
		for _, l := range from.Plan.Lanes {
			if l.Numbers.First != next || l.Numbers.Last <= l.Numbers.First {
				t.Errorf("%d files: a lane has the numbers %v behind %d", files, l.Numbers, next)
			}
			next = l.Numbers.Last
		}
		if from.Plan.Tail.First < next || from.Plan.Tail.Last != 10_001 {
			t.Errorf("the tail has the numbers %v behind %d", from.Plan.Tail, next)
		}
	}
}
