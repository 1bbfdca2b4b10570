// Package blob keeps archives in an S3 bucket: streamed in, read back, linked to for a while, removed for good.
package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tenure/services/connectors/s3"
)

const (
	// partBytes times the uploads side by side (and one that is being filled) is all the memory an upload takes, whatever
	// its size: 32 MiB. S3 allows 10,000 parts: archives up to 78 GiB.
	partBytes    = 8 << 20
	sideBySide   = 3
	abortTimeout = 10 * time.Second

	// MaxLinkTime bounds how long a link works.
	MaxLinkTime = 15 * time.Minute

	prefix = "exports/"
)

// Settings say where the archives are.
type Settings struct {
	Server s3.Settings
	Bucket string
	// PublicEndpoint is the server as those see it who download; "" is as this process sees it.
	PublicEndpoint string
}

// Store is safe for concurrent use.
type Store struct {
	bucket   s3.Bucket
	transfer *transfermanager.Client
	links    *awss3.PresignClient
}

// Open makes a store; it connects at the first call.
func Open(ctx context.Context, cfg Settings) (*Store, error) {
	client, err := s3.NewClient(ctx, cfg.Server)
	if err != nil {
		return nil, err
	}
	public := client
	if cfg.PublicEndpoint != "" {
		cfg.Server.Endpoint = cfg.PublicEndpoint
		if public, err = s3.NewClient(ctx, cfg.Server); err != nil {
			return nil, err
		}
	}
	return &Store{
		bucket: s3.Bucket{Client: client, Name: cfg.Bucket},
		transfer: transfermanager.New(client, func(o *transfermanager.Options) {
			o.PartSizeBytes, o.Concurrency = partBytes, sideBySide
			o.FailTimeout = abortTimeout // a cancelled upload is aborted all the same
		}),
		links: awss3.NewPresignClient(public),
	}, nil
}

// Key is where the archive of an export is.
func Key(tenant, exportID string) string { return prefix + tenant + "/" + exportID + ".zip" }

// Object is what was sent, or found.
type Object struct {
	Bytes int64
	// SHA256 in hex.
	SHA256 string
}

// Upload streams body to key and tells what it sent. The object appears whole or not at all: an upload that fails, or
// whose body does, is aborted.
func (s *Store) Upload(ctx context.Context, key string, body io.Reader) (Object, error) {
	sum := newSummer()
	_, err := s.transfer.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: &s.bucket.Name, Key: &key, Body: io.TeeReader(body, sum), ContentType: aws.String("application/zip"),
	})
	if err != nil {
		return Object{}, s3.Classify(fmt.Errorf("upload %s: %w", key, err))
	}
	return sum.object(), nil
}

// Read reads the object back and tells what is really there.
func (s *Store) Read(ctx context.Context, key string) (Object, error) {
	out, err := s.bucket.Client.GetObject(ctx, &awss3.GetObjectInput{Bucket: &s.bucket.Name, Key: &key})
	if err != nil {
		return Object{}, s3.Classify(fmt.Errorf("read %s back: %w", key, err))
	}
	defer out.Body.Close()
	sum := newSummer()
	if _, err := io.Copy(sum, out.Body); err != nil {
		return Object{}, s3.Classify(fmt.Errorf("read %s back: %w", key, err))
	}
	return sum.object(), nil
}

// Link makes a link that downloads the archive for the given time, MaxLinkTime at most. It asks nobody.
func (s *Store) Link(ctx context.Context, key string, valid time.Duration) (string, error) {
	request, err := s.links.PresignGetObject(ctx, &awss3.GetObjectInput{
		Bucket: &s.bucket.Name, Key: &key,
		ResponseContentDisposition: aws.String(`attachment; filename="` + path.Base(key) + `"`),
	}, awss3.WithPresignExpires(min(valid, MaxLinkTime)))
	if err != nil {
		return "", fmt.Errorf("link to %s: %w", key, err)
	}
	return request.URL, nil
}

// Remove deletes an archive in every version, and what is being uploaded in its place. It is done when there is none.
func (s *Store) Remove(ctx context.Context, key string) error { return s.erase(ctx, key) }

// RemoveTenant deletes every archive of a tenant.
func (s *Store) RemoveTenant(ctx context.Context, tenant string) error {
	return s.erase(ctx, prefix+tenant+"/")
}

func (s *Store) erase(ctx context.Context, prefix string) error {
	_, err := s.bucket.Erase(ctx, prefix)
	if err != nil {
		return s3.Classify(fmt.Errorf("remove %s: %w", prefix, err))
	}
	return nil
}

// AbortUploads gives up every upload but those of the exports that uploading picks: their writers are dead, and their
// parts cost money.
func (s *Store) AbortUploads(ctx context.Context, uploading func(exportIDs []string) (map[string]bool, error)) error {
	var uploads []types.MultipartUpload
	var ids []string
	err := s.bucket.EachUpload(ctx, prefix, func(u types.MultipartUpload) error {
		uploads, ids = append(uploads, u), append(ids, exportOf(aws.ToString(u.Key)))
		return nil
	})
	if err != nil {
		return s3.Classify(fmt.Errorf("list uploads: %w", err))
	}
	if len(uploads) == 0 {
		return nil
	}
	live, err := uploading(ids)
	if err != nil {
		return err
	}
	for i, u := range uploads {
		if live[ids[i]] {
			continue
		}
		if err := s.bucket.Abort(ctx, u); err != nil {
			return s3.Classify(fmt.Errorf("abort the upload of %s: %w", aws.ToString(u.Key), err))
		}
	}
	return nil
}

// exportOf is the id in a key.
func exportOf(key string) string { return strings.TrimSuffix(path.Base(key), ".zip") }

// summer counts and hashes what passes.
type summer struct {
	hash hash.Hash
	n    int64
}

func newSummer() *summer { return &summer{hash: sha256.New()} }

func (s *summer) Write(p []byte) (int, error) {
	s.n += int64(len(p))
	return s.hash.Write(p)
}

func (s *summer) object() Object {
	return Object{Bytes: s.n, SHA256: hex.EncodeToString(s.hash.Sum(nil))}
}
