package blob

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"tenure/services/connectors/s3"
	"tenure/services/sample/internal/spool"
)

// small is the encoding of a cold object.
const small = "gzip"

// Cool makes the tenant's objects small, each under its own name: an object is replaced by one call, so that it is whole
// at any moment, and deletion and removal find it where it always was. Called again, it goes on where it ended.
func (a *Archive) Cool(ctx context.Context, tenant string) error {
	return a.each(ctx, tenant, func(o *awss3.GetObjectOutput) (*os.File, error) {
		if encoding(o) == small {
			return nil, nil
		}
		return spool.File(func(w io.Writer) error {
			zip := gzip.NewWriter(w)
			if _, err := io.Copy(zip, o.Body); err != nil {
				return err
			}
			return zip.Close()
		})
	}, small)
}

// Warm puts the tenant's objects back as they were.
func (a *Archive) Warm(ctx context.Context, tenant string) error {
	return a.each(ctx, tenant, func(o *awss3.GetObjectOutput) (*os.File, error) {
		if encoding(o) != small {
			return nil, nil
		}
		return spool.File(func(w io.Writer) error {
			plain, err := gzip.NewReader(o.Body)
			if err != nil {
				return err
			}
			_, err = io.Copy(w, plain)
			return err
		})
	}, "")
}

func encoding(o *awss3.GetObjectOutput) string {
	if o.ContentEncoding == nil {
		return ""
	}
	return *o.ContentEncoding
}

// each replaces every object of the tenant that convert has another content for.
func (a *Archive) each(ctx context.Context, tenant string, convert func(*awss3.GetObjectOutput) (*os.File, error), to string) error {
	prefix := prefixOf(tenant)
	pages := awss3.NewListObjectsV2Paginator(a.bucket.Client, &awss3.ListObjectsV2Input{Bucket: &a.bucket.Name, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list %s: %w", prefix, s3.Classify(err))
		}
		for _, o := range page.Contents {
			if err := a.convert(ctx, *o.Key, convert, to); err != nil && !replaced(err) {
				return fmt.Errorf("convert %s: %w", *o.Key, s3.Classify(err))
			}
		}
	}
	return nil
}

// convert writes only over what it has read: an object that was removed meanwhile, with its tenant perhaps, must not come
// back.
func (a *Archive) convert(ctx context.Context, name string, convert func(*awss3.GetObjectOutput) (*os.File, error), to string) error {
	was, err := a.bucket.Client.GetObject(ctx, &awss3.GetObjectInput{Bucket: &a.bucket.Name, Key: &name})
	if err != nil {
		return err
	}
	defer was.Body.Close()
	content, err := convert(was)
	if err != nil || content == nil {
		return err
	}
	defer content.Close()
	put := &awss3.PutObjectInput{Bucket: &a.bucket.Name, Key: &name, Body: content, ContentType: was.ContentType, IfMatch: was.ETag}
	if to != "" {
		put.ContentEncoding = &to
	}
	if _, err := a.bucket.Client.PutObject(ctx, put); err != nil {
		return err
	}
	if was.VersionId == nil || *was.VersionId == "null" {
		return nil
	}
	// Where the bucket keeps versions, the one that was replaced would take as much room as before.
	_, err = a.bucket.Client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &a.bucket.Name, Key: &name, VersionId: was.VersionId})
	return err
}

// replaced reports that somebody else has changed or removed the object in between.
func replaced(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "NoSuchKey", "PreconditionFailed", "ConditionalRequestConflict":
		return true
	}
	return false
}
