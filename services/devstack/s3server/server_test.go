package s3server_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tenure/services/devstack/s3server"
)

const bucket = "tenure"

// TestObjects walks through what the services and the connectors ask of an S3 server. It is one test: a process can
// run one server at a time.
func TestObjects(t *testing.T) {
	ctx := t.Context()
	t.Chdir(t.TempDir()) // the server changes the working directory; this puts it back
	cfg := s3server.Config{Dir: t.TempDir(), Addr: freeAddr(t), AccessKey: "TENURE", SecretKey: "secret", Bucket: bucket}
	server := start(ctx, t, cfg)
	client := connect(cfg)

	put(ctx, t, client, "exports/acme/1.zip", "hello world")
	t.Run("range", func(t *testing.T) {
		out, err := client.GetObject(ctx, &s3.GetObjectInput{
			Bucket: aws.String(bucket), Key: aws.String("exports/acme/1.zip"), Range: aws.String("bytes=6-"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, out.Body); got != "world" {
			t.Errorf("bytes from 6 = %q", got)
		}
	})
	t.Run("multipart", func(t *testing.T) { multipart(ctx, t, client) })
	t.Run("presigned link", func(t *testing.T) { presigned(ctx, t, client) })
	t.Run("versions", func(t *testing.T) { versions(ctx, t, client) })
	t.Run("a stranger's key is refused", func(t *testing.T) {
		stranger := cfg
		stranger.SecretKey = "guess"
		if _, err := connect(stranger).ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(bucket)}); err == nil {
			t.Error("a wrong secret key may list the bucket")
		}
	})
	t.Run("objects outlive a restart", func(t *testing.T) {
		server.Stop()
		start(ctx, t, cfg)
		if got := get(ctx, t, client, "exports/acme/1.zip"); got != "hello world" {
			t.Errorf("after the restart the object is %q", got)
		}
	})
}

func multipart(ctx context.Context, t *testing.T, client *s3.Client) {
	t.Helper()
	key := aws.String("exports/acme/big.zip")
	created, err := client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	for i, body := range []string{strings.Repeat("a", 5<<20), "end"} {
		number := aws.Int32(int32(i + 1))
		part, err := client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: aws.String(bucket), Key: key, UploadId: created.UploadId, PartNumber: number, Body: strings.NewReader(body),
		})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{ETag: part.ETag, PartNumber: number})
	}
	if _, err := client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: aws.String(bucket), Key: key, UploadId: created.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}); err != nil {
		t.Fatal(err)
	}
	if got := get(ctx, t, client, *key); len(got) != 5<<20+3 || !strings.HasSuffix(got, "aend") {
		t.Errorf("the object has %d bytes", len(got))
	}
}

func presigned(ctx context.Context, t *testing.T, client *s3.Client) {
	t.Helper()
	link, err := s3.NewPresignClient(client).PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: aws.String(bucket), Key: aws.String("exports/acme/1.zip"),
	}, s3.WithPresignExpires(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]int{
		link.URL: http.StatusOK,
		strings.Replace(link.URL, "exports/acme", "exports/other", 1): http.StatusForbidden,
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("GET %s = %d, want %d", url, res.StatusCode, want)
		}
	}
}

func versions(ctx context.Context, t *testing.T, client *s3.Client) {
	t.Helper()
	if _, err := client.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket:                  aws.String(bucket),
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	}); err != nil {
		t.Fatal(err)
	}
	put(ctx, t, client, "archive/acme/doc", "one")
	put(ctx, t, client, "archive/acme/doc", "two")
	out, err := client.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{
		Bucket: aws.String(bucket), Prefix: aws.String("archive/acme/"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Versions) != 2 {
		t.Errorf("%d versions, want 2", len(out.Versions))
	}
}

func start(ctx context.Context, t *testing.T, cfg s3server.Config) *s3server.Server {
	t.Helper()
	server, err := s3server.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

func connect(cfg s3server.Config) *s3.Client {
	return s3.New(s3.Options{
		Region:       s3server.Region,
		BaseEndpoint: aws.String("http://" + cfg.Addr),
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(cfg.AccessKey, cfg.SecretKey, ""),
	})
}

func put(ctx context.Context, t *testing.T, client *s3.Client, key, body string) {
	t.Helper()
	if _, err := client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader([]byte(body)),
	}); err != nil {
		t.Fatal(err)
	}
}

func get(ctx context.Context, t *testing.T, client *s3.Client, key string) string {
	t.Helper()
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		t.Fatal(err)
	}
	return read(t, out.Body)
}

func read(t *testing.T, body io.ReadCloser) string {
	t.Helper()
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
