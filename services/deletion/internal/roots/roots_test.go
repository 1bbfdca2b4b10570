package roots_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/roots"
)

func head(tenant string, version int64) roots.Head {
	return roots.Head{Tenant: tenant, Version: version, Hash: strings.Repeat("ab", 32)}
}

func all(heads ...roots.Head) iter.Seq2[roots.Head, error] {
	return func(yield func(roots.Head, error) bool) {
		for _, h := range heads {
			if !yield(h, nil) {
				return
			}
		}
	}
}

func TestLeavesAreReadAsTheyWereWritten(t *testing.T) {
	want := []roots.Head{head("A", 7), head("acme", 3), head("zebra", 1)}
	var file bytes.Buffer
	written, err := roots.Write(&file, all(want...))
	require.NoError(t, err)
	require.Equal(t, int64(3), written.Tenants)
	require.Equal(t, int64(11), written.Events)

	var got []roots.Head
	read, err := roots.Read(&file, func(h roots.Head) error { got = append(got, h); return nil })
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, written, read)
}

func TestEveryOtherSetOfHeadsHasAnotherRoot(t *testing.T) {
	root := func(heads ...roots.Head) string {
		s, err := roots.Write(io.Discard, all(heads...))
		require.NoError(t, err)
		return s.Root
	}
	a, b := head("a", 1), head("b", 2)
	rewritten := head("b", 2)
	rewritten.Hash = strings.Repeat("cd", 32)
	different := []string{root(), root(a), root(b), root(a, b), root(a, head("b", 1)), root(a, rewritten)}
	for i, r := range different {
		require.NotContains(t, different[i+1:], r)
	}
}

func TestATenantStandsInARootOnce(t *testing.T) {
	for name, heads := range map[string][]roots.Head{"twice": {head("a", 1), head("a", 2)}, "unsorted": {head("b", 1), head("a", 1)}} {
		_, err := roots.Write(io.Discard, all(heads...))
		require.ErrorContains(t, err, "order", name)
	}
}

func TestBrokenLeavesAreNotRead(t *testing.T) {
	var file bytes.Buffer
	_, err := roots.Write(&file, all(head("a", 1), head("b", 1)))
	require.NoError(t, err)
	for name, broken := range map[string][]byte{"cut": file.Bytes()[:file.Len()-9], "empty": nil, "no gzip": []byte("hello")} {
		_, err := roots.Read(bytes.NewReader(broken), func(roots.Head) error { return nil })
		require.Error(t, err, name)
	}
}

func TestRootsAreAChain(t *testing.T) {
	root := roots.Root{
		Format: roots.Format, Date: "2026-02-02", Leaves: roots.LeavesKey("2026-02-02"),
		Previous: &roots.Previous{Date: "2026-02-01", SHA256: "aa"},
	}
	_, _, err := roots.Open(signed(t, root))
	require.NoError(t, err)
	require.NoError(t, root.Follows("2026-02-01", "aa"))
	require.ErrorContains(t, root.Follows("2026-02-01", "bb"), "replaced")
	require.ErrorContains(t, root.Follows("2026-01-31", "aa"), "missing")

	root.Previous = nil
	require.ErrorContains(t, root.Follows("2026-02-01", "aa"), "anew")
}

func TestARootThatContradictsItselfIsNoRoot(t *testing.T) {
	for name, change := range map[string]func(*roots.Root){
		"another format":      func(r *roots.Root) { r.Format = "tenure-log-root/0" },
		"no date":             func(r *roots.Root) { r.Date = "" },
		"leaves of a day":     func(r *roots.Root) { r.Leaves = roots.LeavesKey("2026-02-01") },
		"it follows itself":   func(r *roots.Root) { r.Previous = &roots.Previous{Date: r.Date} },
		"it follows a future": func(r *roots.Root) { r.Previous = &roots.Previous{Date: "2026-02-03"} },
	} {
		root := roots.Root{Format: roots.Format, Date: "2026-02-02", Leaves: roots.LeavesKey("2026-02-02")}
		change(&root)
		_, _, err := roots.Open(signed(t, root))
		require.Error(t, err, name)
	}
	document := signed(t, roots.Root{Format: roots.Format, Date: "2026-02-02", Leaves: roots.LeavesKey("2026-02-02")})
	_, _, err := roots.Open(bytes.Replace(document, []byte("2026-02-02"), []byte("2026-02-03"), 2))
	require.ErrorIs(t, err, certificate.ErrForged)
}

func signed(t *testing.T, root roots.Root) []byte {
	t.Helper()
	signer, err := certificate.ParseSigner(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	require.NoError(t, err)
	document, err := signer.Sign(root)
	require.NoError(t, err)
	return document
}

func TestARootIsNamedByTheDayThatHasEnded(t *testing.T) {
	at := func(text string) time.Time {
		now, err := time.Parse(time.RFC3339Nano, text)
		require.NoError(t, err)
		return now
	}
	for _, test := range []struct {
		now, want string
		day       time.Duration
	}{
		{"2026-03-01T00:00:00Z", "2026-02-28", 24 * time.Hour},
		{"2026-03-01T23:59:59Z", "2026-02-28", 24 * time.Hour},
		// 01:30 in Berlin is the day before in UTC.
		{"2026-03-29T01:30:00+02:00", "2026-03-27", 24 * time.Hour},
		{"2026-03-01T00:00:05.7Z", "2026-03-01T000004.000Z", time.Second},
		{"2026-03-01T00:00:05.7Z", "2026-03-01T000005.600Z", 100 * time.Millisecond},
	} {
		require.Equal(t, test.want, roots.LastDay(at(test.now), test.day), test.now)
	}
	var names []string
	for i := range 100 {
		names = append(names, roots.LastDay(at("2026-12-31T23:59:59.5Z").Add(time.Duration(i)*10*time.Millisecond), 10*time.Millisecond))
	}
	require.True(t, slices.IsSorted(names))
}

// BenchmarkRoot makes the root of 100,000 tenants and reads its leaves again; heap is what is alive at the end of the
// leaves, in bytes above what was alive before.
func BenchmarkRoot(b *testing.B) {
	const tenants = 100_000
	heads := func(atEnd func()) iter.Seq2[roots.Head, error] {
		return func(yield func(roots.Head, error) bool) {
			for i := range tenants {
				if !yield(head(fmt.Sprintf("tenant-%09d", i), int64(i)), nil) {
					return
				}
			}
			atEnd()
		}
	}
	b.Run("write", func(b *testing.B) {
		before := alive()
		var heap uint64
		for b.Loop() {
			if _, err := roots.Write(io.Discard, heads(func() { heap = alive() })); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap)-float64(before), "heap-bytes")
	})
	b.Run("read", func(b *testing.B) {
		var file bytes.Buffer
		if _, err := roots.Write(&file, heads(func() {})); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(file.Len()), "file-bytes")
		for b.Loop() {
			if _, err := roots.Read(bytes.NewReader(file.Bytes()), func(roots.Head) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// alive is how much of the heap is in use.
func alive() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
