package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	transfertypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"tenure/services/connectors/s3"
)

const (
	// partBytes times the uploads side by side is all the memory that an upload takes, whatever its size.
	partBytes  = 5 << 20
	sideBySide = 2
)

// Locks reports whether the bucket has object lock: only then may objects be put with a time until which they are kept.
// It is switched on when a bucket is made, or later at S3 itself.
func (s *Store) Locks(ctx context.Context) (bool, error) {
	out, err := s.client.GetObjectLockConfiguration(ctx, &awss3.GetObjectLockConfigurationInput{Bucket: &s.bucket})
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "ObjectLockConfigurationNotFoundError", "NotImplemented":
			return false, nil
		}
	}
	if err != nil {
		return false, s3.Classify(fmt.Errorf("ask whether bucket %s has object lock (s3:GetBucketObjectLockConfiguration): %w", s.bucket, err))
	}
	return out.ObjectLockConfiguration != nil && out.ObjectLockConfiguration.ObjectLockEnabled == types.ObjectLockEnabledEnabled, nil
}

// Upload streams body to key. The object appears whole or not at all: when the upload or body fails, it is aborted. With
// lockedUntil nobody can delete or overwrite it before: the mode is COMPLIANCE, which has no exception for
// administrators, since they are whom it protects against.
func (s *Store) Upload(ctx context.Context, key, contentType string, body io.Reader, lockedUntil *time.Time) error {
	transfer := transfermanager.New(s.client, func(o *transfermanager.Options) { o.PartSizeBytes, o.Concurrency = partBytes, sideBySide })
	in := &transfermanager.UploadObjectInput{Bucket: &s.bucket, Key: &key, Body: body, ContentType: &contentType}
	if lockedUntil != nil {
		in.ObjectLockMode, in.ObjectLockRetainUntilDate = transfertypes.ObjectLockModeCompliance, lockedUntil
	}
	if _, err := transfer.UploadObject(ctx, in); err != nil {
		return s3.Classify(fmt.Errorf("upload %s: %w", key, err))
	}
	return nil
}

// Open reads an object; the caller closes it.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	out, err := s.client.GetObject(ctx, &awss3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return nil, s3.Classify(fmt.Errorf("read %s: %w", key, err))
	}
	return out.Body, nil
}

// Keys lists the keys that begin with prefix and come behind after, in bytewise order.
func (s *Store) Keys(ctx context.Context, prefix, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		pages := awss3.NewListObjectsV2Paginator(s.client, &awss3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix, StartAfter: &after})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield("", s3.Classify(fmt.Errorf("list %s: %w", prefix, err)))
				return
			}
			for _, object := range page.Contents {
				if !yield(*object.Key, nil) {
					return
				}
			}
		}
	}
}
