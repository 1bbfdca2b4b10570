package archive_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/manifest"
)

func TestStrangersReadIt(t *testing.T) {
	object, _ := write(t, []content{
		{"metadata.json", []string{`{}`}},
		{"documents/part-00001.ndjson", []string{`{"id":"1"}`, `{"id":"2"}`}},
		{"usage.ndjson", nil},
	}, archive.Options{Modified: noon})
	path := filepath.Join(t.TempDir(), "a.zip")
	check(t, os.WriteFile(path, object, 0o600))
	for _, stranger := range [][]string{
		{"unzip", "-t", path},
		{"python3", "-c", `import sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
assert z.read("documents/part-00001.ndjson") == b'{"id":"1"}\n{"id":"2"}\n', z.read("documents/part-00001.ndjson")
assert z.infolist()[0].date_time == (2026, 3, 1, 12, 0, 2), z.infolist()[0].date_time`, path},
		{"bsdtar", "-tvf", path},
	} {
		t.Run(stranger[0], func(t *testing.T) {
			if _, err := exec.LookPath(stranger[0]); err != nil {
				t.Logf("%s is not installed; archive/zip reads it in the other tests", stranger[0])
				return
			}
			if out, err := exec.CommandContext(t.Context(), stranger[0], stranger[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// TestAnyRowsComeBack writes any rows and reads them with the standard library.
func TestAnyRowsComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOf(rapid.StringMatching(`[^\n]*`)).Draw(t, "rows")
		object, manifestJSON := write(t, []content{{"documents/part-00001.ndjson", rows}, {"audit.ndjson", nil}}, archive.Options{Modified: noon})
		z, err := zip.NewReader(bytes.NewReader(object), int64(len(object)))
		check(t, err)
		if len(z.File) != 3 || !z.File[0].Modified.Equal(noon) || z.File[0].Mode() != 0o644 {
			t.Fatalf("it has %d files, the first is %+v", len(z.File), z.File[0].FileHeader)
		}
		f, err := z.File[0].Open()
		check(t, err)
		got, err := io.ReadAll(f) // its CRC is checked here
		check(t, err)
		want := strings.Join(append(rows, ""), "\n")
		if string(got) != want {
			t.Fatalf("%q, not %q", got, want)
		}
		if _, err := archive.Check(bytes.NewReader(object), bytes.NewReader(object), int64(len(object)), manifestJSON); err != nil {
			t.Fatal(err)
		}
	})
}

// window is a file that is nearly all zeros, too large to be written: only its end is there.
type window struct {
	size, from int64
	end        []byte
}

func (w window) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		switch at := off + int64(i); {
		case at >= w.size:
			return i, io.EOF
		case at >= w.from:
			p[i] = w.end[at-w.from]
		default:
			p[i] = 0
		}
	}
	return len(p), nil
}

func TestDirectoryOfWhatIsLarge(t *testing.T) {
	const giant = 5 << 30
	many := make([]archive.Entry, 70_000)
	for i := range many {
		many[i] = archive.Entry{Name: manifest.FileName("documents", i+1, 1, manifest.Form{})}
	}
	for name, test := range map[string]struct {
		entries []archive.Entry
		start   int64
	}{
		"small":           {[]archive.Entry{{Name: "a", Size: 10, Packed: 5}}, 100},
		"a large file":    {[]archive.Entry{{Name: "a", Size: giant, Packed: giant / 2}, {Name: "b", Offset: giant / 2}}, giant},
		"a far file":      {[]archive.Entry{{Name: "a"}, {Name: "b", Size: 3, Packed: 2, Offset: giant}}, giant + 100},
		"at the brink":    {[]archive.Entry{{Name: "a", Size: math.MaxUint32, Packed: math.MaxUint32, Offset: math.MaxUint32}}, math.MaxUint32},
		"below the brink": {[]archive.Entry{{Name: "a", Size: math.MaxUint32 - 1, Packed: math.MaxUint32 - 1, Offset: math.MaxUint32 - 1}}, math.MaxUint32 - 1},
		"many files":      {many, 70_000 * 60},
		"exactly as many": {many[:math.MaxUint16], 70_000 * 60},
	} {
		t.Run(name, func(t *testing.T) {
			end := archive.Directory(test.entries, noon, test.start)
			size := test.start + int64(len(end))
			z, err := zip.NewReader(window{size, test.start, end}, size)
			check(t, err)
			if len(z.File) != len(test.entries) {
				t.Fatalf("it lists %d files, not %d", len(z.File), len(test.entries))
			}
			for i, f := range z.File {
				e := test.entries[i]
				if f.Name != e.Name || f.UncompressedSize64 != uint64(e.Size) || f.CompressedSize64 != uint64(e.Packed) || !f.Modified.Equal(noon) {
					t.Fatalf("file %d is %+v, not %+v", i, f.FileHeader, e)
				}
			}
		})
	}
}

func TestLargeOffsetsLeadToTheirFiles(t *testing.T) {
	const far = 5 << 30
	p := parts{}
	lane := archive.NewLane(archive.Numbers{First: 1, Last: 9}, []archive.Part{{Number: 0, Bytes: far}}, nil, p.put)
	w, err := archive.Create(lane, "usage.ndjson", archive.Options{Modified: noon})
	check(t, err)
	_, err = io.WriteString(w, `{"id":"u"}`)
	check(t, err)
	check(t, w.EndRow())
	f, err := w.Close()
	check(t, err)
	_, err = lane.Write(archive.Directory([]archive.Entry{f.Entry}, noon, lane.Offset()))
	check(t, err)
	check(t, lane.End())
	size := far + int64(len(p.object()))
	z, err := zip.NewReader(window{size, far, p.object()}, size)
	check(t, err)
	content, err := z.File[0].Open()
	check(t, err)
	if got, err := io.ReadAll(content); err != nil || string(got) != "{\"id\":\"u\"}\n" {
		t.Errorf("it reads %q, %v", got, err)
	}
}

// TestHeadersAreThoseOfTheStandardLibrary holds header and descriptor against what archive/zip writes.
func TestHeadersAreThoseOfTheStandardLibrary(t *testing.T) {
	object, _ := write(t, []content{{"usage.ndjson", []string{`{"id":"u"}`}}}, archive.Options{Modified: noon})
	var want bytes.Buffer
	z := zip.NewWriter(&want)
	_, err := z.CreateHeader(&zip.FileHeader{Name: "usage.ndjson", Method: zip.Deflate, Modified: noon})
	check(t, err)
	check(t, z.Flush())
	header := want.Bytes()
	if !bytes.Equal(object[:len(header)], header) {
		t.Errorf("the header is\n%x, not\n%x", object[:len(header)], header)
	}
	descriptor := binary.LittleEndian.AppendUint32(nil, 0x08074b50)
	if bytes.Count(object, descriptor) != 2 {
		t.Error("a descriptor is missing")
	}
}

func TestCheckFindsDamage(t *testing.T) {
	files := []content{{"metadata.json", []string{`{}`}}, {"documents/part-00001.ndjson", []string{`{"id":"1"}`, `{"id":"2"}`}}}
	object, manifestJSON := write(t, files, archive.Options{Modified: noon})
	whole, err := archive.Check(bytes.NewReader(object), bytes.NewReader(object), int64(len(object)), manifestJSON)
	check(t, err)
	others := slices.Clone(files)
	others[1].rows = []string{`{"id":"1"}`, `{"id":"3"}`}
	other, otherJSON := write(t, others, archive.Options{Modified: noon})
	more, _ := write(t, append(slices.Clone(files), content{"usage.ndjson", nil}), archive.Options{Modified: noon})
	for name, spoiled := range map[string][]byte{
		"other rows": other, "another file": more, "cut": object[:len(object)-30], "nothing": nil,
	} {
		if err := reads(t, spoiled, manifestJSON); !errors.Is(err, archive.ErrNotWritten) {
			t.Errorf("%s: Check answers %v", name, err)
		}
	}
	if err := reads(t, object, otherJSON); !errors.Is(err, archive.ErrNotWritten) {
		t.Errorf("another manifest: Check answers %v", err)
	}
	for i := range object {
		spoiled := slices.Clone(object)
		spoiled[i] ^= 0x10
		sum, err := archive.Check(bytes.NewReader(spoiled), bytes.NewReader(spoiled), int64(len(spoiled)), manifestJSON)
		if err == nil && sum == whole {
			t.Errorf("byte %d was changed, and neither the check nor the sum tells", i)
		}
	}
}
