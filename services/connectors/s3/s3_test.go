package s3_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tenure/services/connectors"
	"tenure/services/connectors/conformance"
	"tenure/services/connectors/s3"
	"tenure/services/connectors/s3/s3test"
	"tenure/shared/fault"
)

// bucket is a store and the objects in it.
type bucket struct {
	client *awss3.Client
	name   string
	store  *s3.Store
}

func newBucket(t *testing.T) bucket {
	client, name := s3test.Bucket(t)
	store := s3.New("files", client, s3.Config{Bucket: name, Prefix: "data/{tenant}/", Kind: "documents"})
	return bucket{client, name, store}
}

func (b bucket) put(ctx context.Context, tenant, id, content string) error {
	_, err := b.client.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: &b.name, Key: aws.String("data/" + tenant + "/" + id), Body: strings.NewReader(content),
		Metadata: map[string]string{"author": "ann"},
	})
	return err
}

func (b bucket) delete(ctx context.Context, tenant, id string) error {
	_, err := b.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &b.name, Key: aws.String("data/" + tenant + "/" + id)})
	return err
}

// clutter leaves, in a bucket that now keeps versions, an old version, a delete marker and an upload that nobody finished.
func (b bucket) clutter(ctx context.Context, tenant string) error {
	_, err := b.client.PutBucketVersioning(ctx, &awss3.PutBucketVersioningInput{
		Bucket: &b.name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		return err
	}
	key := aws.String("data/" + tenant + "/clutter")
	for range 2 {
		if err := b.put(ctx, tenant, "clutter", "an old version"); err != nil {
			return err
		}
	}
	if _, err := b.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &b.name, Key: key}); err != nil {
		return err
	}
	upload, err := b.client.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{Bucket: &b.name, Key: key})
	if err != nil {
		return err
	}
	_, err = b.client.UploadPart(ctx, &awss3.UploadPartInput{
		Bucket: &b.name, Key: key, UploadId: upload.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("a part"),
	})
	return err
}

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) conformance.Fixture {
		b := newBucket(t)
		return conformance.Fixture{Connector: b.store, Kind: "documents", Put: b.put, Delete: b.delete, Clutter: b.clutter, Many: 1050}
	})
}

// row is a sink of one row.
type row []byte

func (r *row) Write(p []byte) (int, error) {
	*r = append(*r, p...)
	return len(p), nil
}

func (*row) EndRow() error { return nil }

func TestRow(t *testing.T) {
	b := newBucket(t)
	if err := b.put(t.Context(), "acme", "reports/2026 \u00fcber.txt", "content"); err != nil {
		t.Fatal(err)
	}
	snapshot, err := b.store.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	var got row
	if err := connectors.ReadKind(t.Context(), snapshot, "documents", &got); err != nil {
		t.Fatal(err)
	}
	var object struct {
		ID, Name, Content string
		Metadata          map[string]string
		CreatedAt         time.Time `json:"created_at"`
	}
	if err := json.Unmarshal(got, &object); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	content, err := base64.StdEncoding.DecodeString(object.Content)
	if err != nil || string(content) != "content" {
		t.Errorf("content is %q, %v", object.Content, err)
	}
	if object.ID != "reports/2026 \u00fcber.txt" || object.Name != "2026 \u00fcber.txt" || object.CreatedAt.IsZero() {
		t.Errorf("row is %+v", object)
	}
	if object.Metadata["author"] != "ann" || object.Metadata["content_encoding"] != "base64" {
		t.Errorf("metadata is %v", object.Metadata)
	}
}

func TestAChangedObjectEndsTheReading(t *testing.T) {
	b := newBucket(t)
	for name, change := range map[string]func() error{
		"overwritten": func() error { return b.put(t.Context(), "acme", "1", "other content") },
		"deleted": func() error {
			_, err := b.client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: &b.name, Key: aws.String("data/acme/1")})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := b.put(t.Context(), "acme", "1", "content"); err != nil {
				t.Fatal(err)
			}
			snapshot, err := b.store.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			defer snapshot.Close()
			if err := change(); err != nil {
				t.Fatal(err)
			}
			if err := connectors.ReadKind(t.Context(), snapshot, "documents", &row{}); err == nil {
				t.Error("Read mixes two states")
			}
		})
	}
}

// TestNamesThatSortApartInFolders: "a-b" is before "a/b", although the folder "a" is before "a-b".
func TestNamesThatSortApartInFolders(t *testing.T) {
	b := newBucket(t)
	names := []string{"a-b", "a/b", "a/c", "b:0123", "\u00e9/x"}
	for _, id := range names {
		if err := b.put(t.Context(), "acme", id, "content"); err != nil {
			t.Fatal(err)
		}
	}
	snapshot, err := b.store.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Close()
	ranges, err := snapshot.Ranges(t.Context(), "documents", len(names))
	if err != nil || len(ranges) != len(names) {
		t.Fatalf("ranges are %v, %v", ranges, err)
	}
	for i, r := range ranges {
		var got row
		if err := snapshot.Read(t.Context(), r, &got); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`{"id":%q,`, names[i]); !strings.HasPrefix(string(got), want) {
			t.Errorf("range %d is %.80s, not %s", i, got, names[i])
		}
	}
}

// TestAnOldVersionThatComesToLightIsAChange: neither the count nor the times are newer than the earlier snapshot's.
func TestAnOldVersionThatComesToLightIsAChange(t *testing.T) {
	b := newBucket(t)
	_, err := b.client.PutBucketVersioning(t.Context(), &awss3.PutBucketVersioningInput{
		Bucket: &b.name, VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.put(t.Context(), "acme", "1", "old"); err != nil {
		t.Fatal(err)
	}
	newest, err := b.client.PutObject(t.Context(), &awss3.PutObjectInput{
		Bucket: &b.name, Key: aws.String("data/acme/1"), Body: strings.NewReader("new"),
	})
	if err != nil {
		t.Fatal(err)
	}
	same := func(at connectors.Watermark) (bool, connectors.Watermark) {
		snapshot, err := b.store.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		defer snapshot.Close()
		same, err := snapshot.Same(t.Context(), connectors.Range{Kind: "documents"}, 1, at)
		if err != nil {
			t.Fatal(err)
		}
		return same, snapshot.Watermark()
	}
	_, at := same(connectors.Watermark{})
	if ok, _ := same(at); !ok {
		t.Error("what did not change is not the same")
	}
	_, err = b.client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{
		Bucket: &b.name, Key: aws.String("data/acme/1"), VersionId: newest.VersionId,
	})
	if err != nil {
		t.Fatal(err)
	}
	if ok, _ := same(at); ok {
		t.Error("the old version passes for the new one")
	}
}

func TestLoadPutsTheObjectAsItWas(t *testing.T) {
	b := newBucket(t)
	row := `{"id":"reports/1.txt","metadata":{"author":"ann","content_encoding":"base64","content_type":"text/x-report"},"content":"Y29udGVudA=="}`
	n, err := b.store.Load(t.Context(), "fresh", "documents", []json.RawMessage{json.RawMessage(row)}, nil)
	if err != nil || n != 1 {
		t.Fatalf("loaded %d, %v", n, err)
	}
	got, err := b.client.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: &b.name, Key: aws.String("data/fresh/reports/1.txt")})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	content, err := io.ReadAll(got.Body)
	if err != nil || string(content) != "content" || aws.ToString(got.ContentType) != "text/x-report" || got.Metadata["author"] != "ann" || len(got.Metadata) != 1 {
		t.Errorf("it is %q, %v, %+v", content, err, got.Metadata)
	}
	for _, id := range []string{"", "../acme/x", "a/../../x", "."} {
		hostile := strings.Replace(row, "reports/1.txt", id, 1)
		if _, err := b.store.Load(t.Context(), "fresh", "documents", []json.RawMessage{json.RawMessage(hostile)}, nil); !fault.IsPermanent(err) {
			t.Errorf("the name %q is taken: %v", id, err)
		}
	}
}

func TestAServerThatIsDownIsWaitedFor(t *testing.T) {
	client, err := s3.NewClient(t.Context(), s3.Settings{Endpoint: "http://127.0.0.1:1", Region: "us-east-1", AccessKey: "a", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	store := s3.New("files", client, s3.Config{Bucket: "b", Prefix: "{tenant}/", Kind: "documents"})
	_, err = store.Count(t.Context(), connectors.Tenant("acme"))
	if _, wait := fault.Delay(err); !wait {
		t.Errorf("Count answers %v, which does not say to wait", err)
	}
}

func TestAMissingBucketIsNot(t *testing.T) {
	client, _ := s3test.Bucket(t)
	store := s3.New("files", client, s3.Config{Bucket: "no-such-bucket", Prefix: "{tenant}/", Kind: "documents"})
	_, err := store.Snapshot(t.Context(), connectors.Tenant("acme"), time.Time{})
	if _, wait := fault.Delay(err); err == nil || wait {
		t.Errorf("Snapshot answers %v", err)
	}
}
