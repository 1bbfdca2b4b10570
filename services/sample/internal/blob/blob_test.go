package blob_test

import (
	"strings"
	"testing"

	"tenure/services/connectors/s3"
	"tenure/services/connectors/s3/s3test"
	"tenure/services/sample/internal/blob"
)

func open(t *testing.T, bucket string) *blob.Archive {
	t.Helper()
	server := s3test.Settings(t)
	archive, err := blob.Open(t.Context(), bucket, func(name string) string {
		return map[string]string{
			"AWS_ENDPOINT_URL": server.Endpoint, "AWS_REGION": server.Region,
			"AWS_ACCESS_KEY_ID": server.AccessKey, "AWS_SECRET_ACCESS_KEY": server.SecretKey,
		}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

func TestPutAgainReplacesAndRemoveLeavesNothing(t *testing.T) {
	client, bucket := s3test.Bucket(t)
	archive := open(t, bucket)
	all := s3.Bucket{Client: client, Name: bucket}
	for _, rows := range []string{"1\n", "1\n2\n"} {
		if err := archive.Put(t.Context(), "acme", "op-1", strings.NewReader(rows)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := all.Count(t.Context(), "archive/acme/op-1/documents.ndjson"); err != nil || got["objects"] != 1 {
		t.Errorf("counted %v, %v", got, err)
	}
	if err := archive.Remove(t.Context(), "acme", "op-1"); err != nil {
		t.Fatal(err)
	}
	if got, err := all.Count(t.Context(), ""); err != nil || got.Total() != 0 {
		t.Errorf("left behind: %v, %v", got, err)
	}
}
