package blob_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tenure/services/connectors/s3"
	"tenure/services/connectors/s3/s3test"
	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/blob"
	"tenure/shared/fault"
	"tenure/shared/testkit"
)

// archives are a store and the way past it.
type archives struct {
	*blob.Store
	client *awss3.Client
	bucket string
}

func newArchives(t *testing.T) archives {
	t.Helper()
	client, bucket := s3test.Bucket(t)
	store, err := blob.Open(t.Context(), blob.Settings{Server: s3test.Settings(t), Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	return archives{store, client, bucket}
}

// left counts everything that S3 still holds.
func (a archives) left(t *testing.T) int64 {
	t.Helper()
	counts, err := s3.Bucket{Client: a.client, Name: a.bucket}.Count(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return counts.Total()
}

// upload makes an object of parts of 5 MiB, the least that S3 takes.
func (a archives) upload(t *testing.T, key string, content []byte) {
	t.Helper()
	u := a.begin(t, key)
	var parts []archive.Part
	for part := range slices.Chunk(content, archive.LeastPart) {
		parts = append(parts, a.put(t, u, int32(len(parts)+1), part))
	}
	if err := u.Complete(t.Context(), parts); err != nil {
		t.Fatal(err)
	}
}

func (a archives) begin(t *testing.T, key string) *blob.Upload {
	t.Helper()
	u, err := a.Begin(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (a archives) put(t *testing.T, u *blob.Upload, number int32, body []byte) archive.Part {
	t.Helper()
	part, err := u.Put(t.Context(), number, body)
	if err != nil {
		t.Fatal(err)
	}
	return part
}

// read is the whole object.
func (a archives) read(t *testing.T, key string) []byte {
	t.Helper()
	object, err := a.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	stream := object.Stream(t.Context())
	defer stream.Close()
	all, err := io.ReadAll(stream)
	if err != nil || int64(len(all)) != object.Size {
		t.Fatalf("read %d of %d bytes: %v", len(all), object.Size, err)
	}
	return all
}

func random(t *testing.T, n int) []byte {
	t.Helper()
	content := make([]byte, n)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	return content
}

func TestRoundTrip(t *testing.T) {
	a := newArchives(t)
	for name, size := range map[string]int{"one part": 1000, "three parts": 12 << 20} {
		t.Run(name, func(t *testing.T) {
			key, content := blob.Key("acme", "exp_1"), random(t, size)
			a.upload(t, key, content)
			if !bytes.Equal(a.read(t, key), content) {
				t.Error("it is not what was uploaded")
			}
			object, err := a.Stat(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if size < 1<<20 { // it reads byte by byte
				if err := iotest.TestReader(io.NewSectionReader(object.At(t.Context()), 0, object.Size), content); err != nil {
					t.Error(err)
				}
			}
			middle := make([]byte, 100)
			if n, err := object.At(t.Context()).ReadAt(middle, int64(size)/2); err != nil || !bytes.Equal(middle, content[size/2:size/2+n]) {
				t.Errorf("the middle is %x, %v", middle[:n], err)
			}
		})
	}
}

// TestPartsInAnyOrder uploads with gaps between the numbers, the last first, one part twice, and one that is not wanted in the end.
func TestPartsInAnyOrder(t *testing.T) {
	a := newArchives(t)
	key := blob.Key("acme", "exp_1")
	first, second, end := random(t, archive.LeastPart), random(t, archive.LeastPart+7), random(t, 100)
	begun := a.begin(t, key)
	again := a.Upload(key, begun.ID()) // as another process goes on with it
	last := a.put(t, begun, 9901, end)
	a.put(t, begun, 17, random(t, archive.LeastPart))
	two := a.put(t, again, 17, second)
	a.put(t, begun, 30, random(t, archive.LeastPart))
	one := a.put(t, again, 3, first)
	if err := again.Complete(t.Context(), []archive.Part{one, two, last}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.read(t, key), slices.Concat(first, second, end)) {
		t.Error("the object is not the parts that were named")
	}
	if n := a.left(t); n != 1 {
		t.Errorf("%d objects and uploads are left", n)
	}
}

// TestAPartThatSomebodyReplaced is what a former holder of a job does who wakes up late: no object has his part.
func TestAPartThatSomebodyReplaced(t *testing.T) {
	a := newArchives(t)
	u := a.begin(t, blob.Key("acme", "exp_1"))
	mine := a.put(t, u, 1, []byte("mine"))
	a.put(t, u, 1, []byte("his!"))
	if err := u.Complete(t.Context(), []archive.Part{mine}); !errors.Is(err, blob.ErrOtherParts) {
		t.Errorf("completing answers %v", err)
	}
	if _, err := a.Stat(t.Context(), blob.Key("acme", "exp_1")); !errors.Is(err, blob.ErrNoObject) {
		t.Errorf("finding it answers %v", err)
	}
}

func TestAnUploadThatIsGone(t *testing.T) {
	a := newArchives(t)
	u := a.begin(t, blob.Key("acme", "exp_1"))
	part := a.put(t, u, 1, []byte("content"))
	for range 2 { // the second time it is gone already
		if err := u.Abort(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.Put(t.Context(), 2, []byte("content")); !errors.Is(err, blob.ErrNoUpload) {
		t.Errorf("a part more answers %v", err)
	}
	if err := u.Complete(t.Context(), []archive.Part{part}); !errors.Is(err, blob.ErrNoUpload) {
		t.Errorf("completing answers %v", err)
	}
	if n := a.left(t); n != 0 {
		t.Errorf("%d objects and uploads are left", n)
	}
}

// TestAConnectionThatBreaks cuts the connection while an object is read: the reading goes on where it was.
func TestAConnectionThatBreaks(t *testing.T) {
	a := newArchives(t)
	key, content := blob.Key("acme", "exp_1"), random(t, 12<<20)
	a.upload(t, key, content)
	server := s3test.Settings(t)
	proxy, endpoint := testkit.ProxyURL(t, server.Endpoint)
	server.Endpoint = endpoint
	store, err := blob.Open(t.Context(), blob.Settings{Server: server, Bucket: a.bucket})
	if err != nil {
		t.Fatal(err)
	}
	object, err := store.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	stream := object.Stream(t.Context())
	defer stream.Close()
	read := make([]byte, 1<<20)
	if _, err := io.ReadFull(stream, read); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	rest, err := io.ReadAll(stream)
	if err != nil || !bytes.Equal(append(read, rest...), content) {
		t.Errorf("%d bytes were read: %v", len(read)+len(rest), err)
	}
}

// TestAnObjectThatIsReplaced while it is read is not two objects in one.
func TestAnObjectThatIsReplaced(t *testing.T) {
	a := newArchives(t)
	key := blob.Key("acme", "exp_1")
	a.upload(t, key, []byte("content"))
	object, err := a.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	a.upload(t, key, []byte("another"))
	if all, err := io.ReadAll(object.Stream(t.Context())); err == nil {
		t.Errorf("it reads %q", all)
	}
}

func TestLink(t *testing.T) {
	a := newArchives(t)
	key := blob.Key("acme", "exp_1")
	a.upload(t, key, []byte("content"))
	link, err := a.Link(t.Context(), key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(link, "X-Amz-Expires=900&") {
		t.Errorf("the link %s works for longer than 15 minutes", link)
	}
	response := get(t, link)
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "content" || response.Header.Get("Content-Disposition") != `attachment; filename="exp_1.zip"` {
		t.Errorf("the link answers %s, %q, %v", response.Status, body, err)
	}
	if forged := get(t, strings.Replace(link, "exp_1", "exp_2", 1)); forged.StatusCode != http.StatusForbidden {
		t.Errorf("a forged link answers %s", forged.Status)
	}
	if err := a.Remove(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if dead := get(t, link); dead.StatusCode != http.StatusNotFound {
		t.Errorf("the link to a removed archive answers %s", dead.Status)
	}
}

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func TestPublicEndpoint(t *testing.T) {
	store, err := blob.Open(t.Context(), blob.Settings{
		Server: s3.Settings{Endpoint: "http://s3:7070", Region: "us-east-1", AccessKey: "a", SecretKey: "b"},
		Bucket: "tenure", PublicEndpoint: "https://files.example.com",
	})
	if err != nil {
		t.Fatal(err)
	}
	link, err := store.Link(t.Context(), blob.Key("acme", "exp_1"), time.Minute)
	if err != nil || !strings.HasPrefix(link, "https://files.example.com/tenure/exports/acme/exp_1.zip?") {
		t.Errorf("the link is %s, %v", link, err)
	}
}

func TestRemove(t *testing.T) {
	a := newArchives(t)
	for _, key := range []string{blob.Key("acme", "exp_1"), blob.Key("acme", "exp_2"), blob.Key("acme-2", "exp_3")} {
		a.upload(t, key, []byte("content"))
	}
	check := func(want int64) {
		t.Helper()
		if n := a.left(t); n != want {
			t.Errorf("%d archives are left, not %d", n, want)
		}
	}
	for range 2 { // the second time there is nothing to do
		if err := a.Remove(t.Context(), blob.Key("acme", "exp_1")); err != nil {
			t.Fatal(err)
		}
		check(2)
	}
	if err := a.RemoveTenant(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	check(1)
}

func TestAbortUploads(t *testing.T) {
	a := newArchives(t)
	live, other := a.begin(t, blob.Key("acme", "live")), a.begin(t, blob.Key("acme", "live"))
	beginning, dead := a.begin(t, blob.Key("acme", "beginning")), a.begin(t, blob.Key("acme", "dead"))
	err := a.AbortUploads(t.Context(), func(exportIDs []string) (map[string]string, error) {
		if len(exportIDs) != 4 {
			t.Errorf("the uploads are of %q", exportIDs)
		}
		return map[string]string{"live": live.ID(), "beginning": ""}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []*blob.Upload{live, beginning} {
		a.put(t, u, 1, []byte("content"))
	}
	for _, u := range []*blob.Upload{other, dead} {
		if _, err := u.Put(t.Context(), 1, []byte("content")); !errors.Is(err, blob.ErrNoUpload) {
			t.Errorf("an orphan takes a part: %v", err)
		}
	}
}

func TestAServerThatIsDownIsWaitedFor(t *testing.T) {
	store, err := blob.Open(t.Context(), blob.Settings{
		Server: s3.Settings{Endpoint: "http://127.0.0.1:1", Region: "us-east-1", AccessKey: "a", SecretKey: "b"}, Bucket: "tenure",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = store.Begin(ctx, blob.Key("acme", "exp_1"))
	if _, wait := fault.Delay(err); !wait {
		t.Errorf("Begin answers %v, which does not say to wait", err)
	}
}
