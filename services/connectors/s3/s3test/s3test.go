// Package s3test gives tests a bucket of their own on a real S3 server.
package s3test

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tenure/services/connectors/s3"
)

// Variable names the server: http://ACCESS_KEY:SECRET_KEY@HOST:PORT. The server is no part of this module, whose
// dependencies the embedded one would multiply.
const Variable = "TENURE_TEST_S3"

// Settings reach the server. Without one the test fails: a skipped test would pass for a proof.
func Settings(t testing.TB) s3.Settings {
	t.Helper()
	server, err := url.Parse(os.Getenv(Variable))
	if err != nil || server.Host == "" || server.User == nil {
		t.Fatalf("%s must be the URL of an S3 server, http://ACCESS_KEY:SECRET_KEY@HOST:PORT; `go run ./services/devstack/cmd/testservers go test ./...` starts one and sets it", Variable)
	}
	secret, _ := server.User.Password()
	return s3.Settings{
		Endpoint:  server.Scheme + "://" + server.Host,
		Region:    "us-east-1",
		AccessKey: server.User.Username(),
		SecretKey: secret,
	}
}

// Bucket makes an empty bucket that no other test uses. It stays behind, as the server's directory is thrown away.
func Bucket(t testing.TB) (client *awss3.Client, bucket string) {
	t.Helper()
	client, err := s3.NewClient(t.Context(), Settings(t))
	if err != nil {
		t.Fatal(err)
	}
	bucket = "test-" + strings.ToLower(rand.Text())
	if _, err := client.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(fmt.Errorf("create bucket %s on %s: %w", bucket, os.Getenv(Variable), err))
	}
	return client, bucket
}
