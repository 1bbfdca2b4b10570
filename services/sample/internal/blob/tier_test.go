package blob_test

import (
	"io"
	"strings"
	"sync"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"tenure/services/connectors/s3"
	"tenure/services/connectors/s3/s3test"
	"tenure/services/sample/internal/blob"
)

// rows are so many that it shows when they are small.
var rows = strings.Repeat(`{"id":"1","content":"about whales"}`+"\n", 1000)

type bucket struct {
	t *testing.T
	s3.Bucket
	*blob.Archive
}

func newBucket(t *testing.T) *bucket {
	t.Helper()
	client, name := s3test.Bucket(t)
	return &bucket{t, s3.Bucket{Client: client, Name: name}, open(t, name)}
}

func (b *bucket) put(tenant, operation string) {
	b.t.Helper()
	if err := b.Put(b.t.Context(), tenant, operation, strings.NewReader(rows)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bucket) do(change func() error) {
	b.t.Helper()
	if err := change(); err != nil {
		b.t.Fatal(err)
	}
}

// get returns an object as it lies there.
func (b *bucket) get(key string) (content, encoding string) {
	b.t.Helper()
	out, err := b.Client.GetObject(b.t.Context(), &awss3.GetObjectInput{Bucket: &b.Name, Key: &key})
	if err != nil {
		b.t.Fatal(err)
	}
	defer out.Body.Close()
	all, err := io.ReadAll(out.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if out.ContentEncoding != nil {
		encoding = *out.ContentEncoding
	}
	return string(all), encoding
}

func (b *bucket) wantWarm(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		if content, encoding := b.get(key); content != rows || encoding != "" {
			b.t.Errorf("%s holds %d bytes, encoded %q", key, len(content), encoding)
		}
	}
}

func (b *bucket) wantCold(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		if content, encoding := b.get(key); len(content) > len(rows)/20 || encoding != "gzip" {
			b.t.Errorf("%s holds %d bytes, encoded %q", key, len(content), encoding)
		}
	}
}

const one, two, others = "archive/acme/op-1/documents.ndjson", "archive/acme/op-2/documents.ndjson", "archive/acme2/op-1/documents.ndjson"

func TestCoolMakesSmallAndWarmUndoesIt(t *testing.T) {
	b := newBucket(t)
	b.put("acme", "op-1")
	b.put("acme", "op-2")
	b.put("acme2", "op-1")
	for range 2 { // told again
		b.do(func() error { return b.Cool(t.Context(), "acme") })
		b.wantCold(one, two)
		b.wantWarm(others)
	}
	b.put("acme", "op-2") // a downgrade of a cold tenant
	for range 2 {
		b.do(func() error { return b.Warm(t.Context(), "acme") })
		b.wantWarm(one, two, others)
	}
	b.do(func() error { return b.Cool(t.Context(), "acme") })
	b.do(func() error { return b.Remove(t.Context(), "acme", "op-1") })
	b.do(func() error { _, err := b.Erase(t.Context(), "archive/acme/"); return err })
	if got, err := b.Count(t.Context(), "archive/acme/"); err != nil || got.Total() != 0 {
		t.Errorf("left behind: %v, %v", got, err)
	}
	b.do(func() error { return b.Warm(t.Context(), "acme") })
}

// Where the bucket keeps versions, the big ones must not stay.
func TestCoolLeavesNoOldVersions(t *testing.T) {
	b := newBucket(t)
	_, err := b.Client.PutBucketVersioning(t.Context(), &awss3.PutBucketVersioningInput{
		Bucket: &b.Name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.put("acme", "op-1")
	b.do(func() error { return b.Cool(t.Context(), "acme") })
	b.wantCold(one)
	if got, err := b.Count(t.Context(), ""); err != nil || got.Total() != 1 {
		t.Errorf("counted %v, %v", got, err)
	}
}

// again calls what fails once more, as the bus does with a hint: a server may refuse what meets an erasure.
func again(change func() error) (err error) {
	for range 10 {
		if err = change(); err == nil {
			return nil
		}
	}
	return err
}

// However cooling, warming and an erasure meet, every object is whole, and none comes back.
func TestMeetingTheErasureBringsNothingBack(t *testing.T) {
	b := newBucket(t)
	for range 20 {
		b.put("acme", "op-1")
		b.put("acme", "op-2")
		b.put("acme2", "op-1")
		var all errgroup.Group
		var start sync.WaitGroup
		start.Add(1)
		for _, change := range []func() error{
			func() error { return b.Cool(t.Context(), "acme") }, func() error { return b.Warm(t.Context(), "acme") },
			func() error { return b.Cool(t.Context(), "acme2") }, func() error { return b.Warm(t.Context(), "acme2") },
			func() error { _, err := b.Erase(t.Context(), "archive/acme/"); return err },
		} {
			all.Go(func() error { start.Wait(); return again(change) })
		}
		start.Done()
		b.do(all.Wait)
		if got, err := b.Count(t.Context(), "archive/acme/"); err != nil || got.Total() != 0 {
			t.Fatalf("came back: %v, %v", got, err)
		}
		b.do(func() error { return b.Warm(t.Context(), "acme2") })
		b.wantWarm(others)
	}
}
