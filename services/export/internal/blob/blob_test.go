package blob_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tenure/services/connectors/s3"
	"tenure/services/connectors/s3/s3test"
	"tenure/services/export/internal/blob"
	"tenure/shared/fault"
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

func (a archives) upload(t *testing.T, key string, content []byte) blob.Object {
	t.Helper()
	sent, err := a.Upload(t.Context(), key, iotest.HalfReader(bytes.NewReader(content)))
	if err != nil {
		t.Fatal(err)
	}
	return sent
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
	for name, size := range map[string]int{"one part": 1000, "three parts": 20 << 20} {
		t.Run(name, func(t *testing.T) {
			key, content := blob.Key("acme", "exp_1"), random(t, size)
			sum := sha256.Sum256(content)
			want := blob.Object{Bytes: int64(size), SHA256: hex.EncodeToString(sum[:])}
			if sent := a.upload(t, key, content); sent != want {
				t.Errorf("sent %+v, not %+v", sent, want)
			}
			if found, err := a.Read(t.Context(), key); err != nil || found != want {
				t.Errorf("found %+v, %v, not %+v", found, err, want)
			}
		})
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

func TestAFailedUploadLeavesNothing(t *testing.T) {
	errBroken := errors.New("the rows end here")
	for name, body := range map[string]io.Reader{
		"at once":         iotest.ErrReader(errBroken),
		"in the first MB": io.MultiReader(bytes.NewReader(random(t, 1<<20)), iotest.ErrReader(errBroken)),
		"in a later part": io.MultiReader(bytes.NewReader(random(t, 20<<20)), iotest.ErrReader(errBroken)),
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchives(t)
			if _, err := a.Upload(t.Context(), blob.Key("acme", "exp_1"), body); err == nil {
				t.Error("it is taken for whole")
			}
			if n := a.left(t); n != 0 {
				t.Errorf("%d objects and uploads are left", n)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		a := newArchives(t)
		ctx, cancel := context.WithCancel(t.Context())
		stopping := readerFunc(func([]byte) (int, error) { cancel(); return 0, ctx.Err() })
		body := io.MultiReader(bytes.NewReader(random(t, 20<<20)), stopping)
		if _, err := a.Upload(ctx, blob.Key("acme", "exp_1"), body); err == nil {
			t.Error("it is taken for whole")
		}
		if n := a.left(t); n != 0 {
			t.Errorf("%d objects and uploads are left", n)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

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
	dead, live := blob.Key("acme", "dead"), blob.Key("acme", "live")
	for _, key := range []string{dead, live} {
		_, err := a.client.CreateMultipartUpload(t.Context(), &awss3.CreateMultipartUploadInput{Bucket: &a.bucket, Key: aws.String(key)})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := a.AbortUploads(t.Context(), func(exportIDs []string) (map[string]bool, error) {
		if len(exportIDs) != 2 {
			t.Errorf("the uploads are of %q", exportIDs)
		}
		return map[string]bool{"live": true}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := a.left(t); n != 1 {
		t.Errorf("%d uploads are left, not the live one", n)
	}
}

func TestAServerThatIsDownIsWaitedFor(t *testing.T) {
	store, err := blob.Open(t.Context(), blob.Settings{
		Server: s3.Settings{Endpoint: "http://127.0.0.1:1", Region: "us-east-1", AccessKey: "a", SecretKey: "b"}, Bucket: "tenure",
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Upload(t.Context(), blob.Key("acme", "exp_1"), strings.NewReader("content"))
	if _, wait := fault.Delay(err); !wait {
		t.Errorf("Upload answers %v, which does not say to wait", err)
	}
}
