package archive_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/parquet-go/parquet-go"

	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/manifest"
)

// unzip yields the files in the order of the directory.
func unzip(t fataler, object []byte) func(func(string, []byte) bool) {
	r, err := zip.NewReader(bytes.NewReader(object), int64(len(object)))
	check(t, err)
	return func(yield func(string, []byte) bool) {
		for _, f := range r.File {
			content, err := f.Open()
			check(t, err)
			all, err := io.ReadAll(content)
			check(t, err)
			if !yield(f.Name, all) {
				return
			}
		}
	}
}

func TestRefusesNames(t *testing.T) {
	lane := archive.NewLane(archive.Numbers{First: 1, Last: 2}, nil, nil, parts{}.put)
	for _, name := range []string{"../a.json", "/a.json", "A.JSON", "a\x00.json", "usage.ndjson.gz.age"} {
		if _, err := archive.Create(lane, name, archive.Options{}); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestEncrypted(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	check(t, err)
	o := archive.Options{Modified: noon, EncryptTo: identity.Recipient()}
	rows := []string{`{"id":"a secret"}`, `{"id":"another"}`}
	object, manifestJSON := write(t, []content{{"documents/part-00001.ndjson.gz.age", rows}}, o)
	check(t, reads(t, object, manifestJSON))
	var m manifest.Manifest
	check(t, json.Unmarshal(manifestJSON, &m))
	for name, stored := range unzip(t, object) {
		if name == manifest.Name {
			continue
		}
		if sum := sha256.Sum256(stored); hex.EncodeToString(sum[:]) != m.Files[0].StoredSHA256 || int64(len(stored)) != m.Files[0].StoredBytes {
			t.Errorf("%s is stored otherwise than %+v", name, m.Files[0])
		}
		opened, err := age.Decrypt(bytes.NewReader(stored), identity)
		check(t, err)
		unpacked, err := gzip.NewReader(opened)
		check(t, err)
		got, err := io.ReadAll(unpacked)
		check(t, err)
		if sum := sha256.Sum256(got); string(got) != strings.Join(rows, "\n")+"\n" || hex.EncodeToString(sum[:]) != m.Files[0].SHA256 {
			t.Errorf("%s holds %q, the manifest has %+v", name, got, m.Files[0])
		}
	}
}

// vector and usage are the columns that a reader finds.
type (
	vector struct {
		ID       *string   `parquet:"id,optional"`
		Values   []float64 `parquet:"values,list"`
		Metadata string    `parquet:"metadata,optional"`
		Rest     string    `parquet:"rest,optional"`
	}
	usage struct {
		ID       *string    `parquet:"id,optional"`
		Metric   *string    `parquet:"metric,optional"`
		Quantity *float64   `parquet:"quantity,optional"`
		Time     *time.Time `parquet:"time,optional,timestamp(microsecond)"`
		Rest     string     `parquet:"rest,optional"`
	}
)

func TestParquet(t *testing.T) {
	vectors := []string{
		`{"id":"v-1","values":[0.1,-2,3e-7],"metadata":{"a": [1, 2]}}`,
		`{"id":7,"values":["x"],"metadata":null,"extra":12345678901234567890}`,
	}
	used := []string{
		`{"id":"u-1","metric":"queries","quantity":2.5,"time":"2026-03-01T12:00:00.000001+01:00"}`,
		`{"id":"u-2","metric":"queries","quantity":"many","time":"2026-03-01T12:00:00.000000001Z"}`,
	}
	object, manifestJSON := write(t, []content{{"vectors/part-00001.parquet", vectors}, {"usage.parquet", used}}, archive.Options{Modified: noon})
	check(t, reads(t, object, manifestJSON))
	want := map[string]string{
		"vectors/part-00001.parquet": `[{"ID":"v-1","Values":[0.1,-2,3e-7],"Metadata":"{\"a\": [1, 2]}","Rest":""},` +
			`{"ID":null,"Values":[],"Metadata":"null","Rest":"{\"extra\":12345678901234567890,\"id\":7,\"values\":[\"x\"]}"}]`,
		"usage.parquet": `[{"ID":"u-1","Metric":"queries","Quantity":2.5,"Time":"2026-03-01T11:00:00.000001Z","Rest":""},` +
			`{"ID":"u-2","Metric":"queries","Quantity":null,"Time":null,"Rest":"{\"quantity\":\"many\",\"time\":\"2026-03-01T12:00:00.000000001Z\"}"}]`,
	}
	for name, content := range unzip(t, object) {
		var rows any
		var err error
		switch name {
		case "vectors/part-00001.parquet":
			rows, err = parquet.Read[vector](bytes.NewReader(content), int64(len(content)))
		case "usage.parquet":
			rows, err = parquet.Read[usage](bytes.NewReader(content), int64(len(content)))
		default:
			continue
		}
		check(t, err)
		got, err := json.Marshal(rows)
		check(t, err)
		if string(got) != want[name] {
			t.Errorf("%s holds\n%s, not\n%s", name, got, want[name])
		}
	}
	again, _ := write(t, []content{{"vectors/part-00001.parquet", vectors}, {"usage.parquet", used}}, archive.Options{Modified: noon})
	if !bytes.Equal(object, again) {
		t.Error("the same rows give other bytes")
	}
}

func TestParquetTakesNoOtherKinds(t *testing.T) {
	lane := archive.NewLane(archive.Numbers{First: 1, Last: 2}, nil, nil, parts{}.put)
	if _, err := archive.Create(lane, "documents/part-00001.parquet", archive.Options{}); err == nil {
		t.Error("documents were taken")
	}
	w, err := archive.Create(lane, "usage.parquet", archive.Options{})
	check(t, err)
	_, err = io.WriteString(w, `[1]`)
	check(t, err)
	if w.EndRow() == nil {
		t.Error("a row that is no object was taken")
	}
}

// noise is text that does not get much smaller by compressing.
func noise(seed uint64, bytes int) string {
	random := rand.New(rand.NewPCG(seed, 0))
	var out strings.Builder
	for out.Len() < bytes {
		fmt.Fprintf(&out, "%016x", random.Uint64())
	}
	return out.String()[:bytes]
}

// TestPartsOfALane writes files of many sizes. All parts but the last are as large as S3 wants, none is much larger, and
// what is left in the end begins with a file.
func TestPartsOfALane(t *testing.T) {
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 1))
		p := parts{}
		var ends []int64
		var total int64
		lane := archive.NewLane(archive.Numbers{First: 5, Last: 10_000}, nil, nil, func(n int32, body []byte, end bool) error {
			if total += int64(len(body)); end {
				ends = append(ends, total)
			}
			return p.put(n, body, end)
		})
		var begins []int64
		for range 8 {
			begins = append(begins, lane.Offset())
			for left := random.IntN(16 << 20); left > 0; {
				n := min(left, 1+random.IntN(1<<20))
				_, err := lane.Write(make([]byte, n))
				check(t, err)
				left -= n
			}
			check(t, lane.EndFile())
		}
		made := total
		if made+int64(len(lane.Rest())) != lane.Offset() || len(lane.Rest()) >= archive.LeastPart {
			t.Fatalf("seed %d: %d bytes in parts and %d left are not %d", seed, made, len(lane.Rest()), lane.Offset())
		}
		if len(lane.Rest()) > 0 && !slices.Contains(begins, made) {
			t.Fatalf("seed %d: the rest begins in the middle of a file", seed)
		}
		for _, end := range ends {
			if !slices.Contains(append(begins, lane.Offset()), end) {
				t.Fatalf("seed %d: a part is said to end with a file, but does not", seed)
			}
		}
		for n, body := range p {
			if len(body) < archive.LeastPart || len(body) > 2*archive.LeastPart+(1<<20) {
				t.Fatalf("seed %d: part %d has %d bytes", seed, n, len(body))
			}
		}
	}
}

func TestALaneWithoutRoom(t *testing.T) {
	lane := archive.NewLane(archive.Numbers{First: 1, Last: 2}, nil, nil, parts{}.put)
	_, err := lane.Write(make([]byte, 100<<20))
	if err == nil {
		t.Error("two parts were made where there is room for one")
	}
}

var errFull = errors.New("the disk is full")

func TestTheOutputsErrorComesThrough(t *testing.T) {
	lane := archive.NewLane(archive.Numbers{First: 1, Last: 9}, nil, nil, func(int32, []byte, bool) error { return errFull })
	w, err := archive.Create(lane, "usage.ndjson", archive.Options{})
	check(t, err)
	_, err = io.WriteString(w, noise(1, 40<<20))
	if !errors.Is(err, errFull) {
		t.Errorf("writing answers %v", err)
	}
}
