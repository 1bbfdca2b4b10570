// Package s3 connects the objects below one prefix per tenant in a bucket of any S3 server.
package s3

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tenure/services/connectors"
)

// Config says where the tenants' objects are.
type Config struct {
	Bucket string
	// Prefix has "{tenant}/" in it: the slash keeps tenant "a" from reaching the objects of "ab".
	Prefix string
	// Kind is what an archive calls the objects, one row each; "" keeps them out of exports, never out of erasure.
	Kind string
}

// Parts of a bucket, as the counts name them.
const (
	partObjects  = "objects"
	partVersions = "versions" // old versions and delete markers
	partUploads  = "uploads"  // multipart uploads that nobody finished
)

// Store is a connectors.Connector.
type Store struct {
	name   string
	client *awss3.Client
	cfg    Config
}

// New connects a prefix.
func New(name string, client *awss3.Client, cfg Config) *Store {
	return &Store{name: name, client: client, cfg: cfg}
}

// Name is the store's name in the data map.
func (s *Store) Name() string { return s.name }

// Count tells the tenant's objects, old versions and unfinished uploads.
func (s *Store) Count(ctx context.Context, tenant string) (connectors.Counts, error) {
	prefix, err := s.prefix(tenant)
	if err != nil {
		return nil, err
	}
	counts := connectors.Counts{partObjects: 0, partVersions: 0, partUploads: 0}
	err = s.eachVersions(ctx, prefix, func(page versionPage) error {
		counts[partObjects] += page.current
		counts[partVersions] += int64(len(page.ids)) - page.current
		return nil
	})
	if err == nil {
		err = s.eachUpload(ctx, prefix, func(types.MultipartUpload) error {
			counts[partUploads]++
			return nil
		})
	}
	return counts, s.wrap("count", err)
}

// Verify is Count: it already sees whatever S3 can still give back.
func (s *Store) Verify(ctx context.Context, tenant string) (connectors.Counts, error) {
	return s.Count(ctx, tenant)
}

// Erase deletes every version of every object for good, page by page, and aborts what is being uploaded.
func (s *Store) Erase(ctx context.Context, tenant string) (connectors.Counts, error) {
	prefix, err := s.prefix(tenant)
	if err != nil {
		return nil, err
	}
	erased := connectors.Counts{partObjects: 0, partVersions: 0, partUploads: 0}
	// Uploads go first: one that completes after its prefix was emptied would leave an object behind.
	err = s.eachUpload(ctx, prefix, func(u types.MultipartUpload) error {
		erased[partUploads]++
		return s.abort(ctx, u)
	})
	if err == nil {
		err = s.eraseVersions(ctx, prefix, erased)
	}
	return erased, s.wrap("erase", err)
}

// eraseVersions deletes the first page of versions until there is none. A listing that went on behind a marker would
// pass over objects on servers that look for the marker's version, which was just deleted.
func (s *Store) eraseVersions(ctx context.Context, prefix string, erased connectors.Counts) error {
	var before []types.ObjectIdentifier
	for {
		var page versionPage
		err := s.eachVersions(ctx, prefix, func(first versionPage) error {
			page = first
			return errStop
		})
		if err != nil && !errors.Is(err, errStop) {
			return err
		}
		if len(page.ids) == 0 {
			return nil
		}
		if reflect.DeepEqual(page.ids, before) {
			return fmt.Errorf("the server says that it deleted %d objects, but still lists them", len(before))
		}
		if err := s.delete(ctx, page.ids); err != nil {
			return err
		}
		erased[partObjects] += page.current
		erased[partVersions] += int64(len(page.ids)) - page.current
		before = page.ids
	}
}

// errStop ends a listing early.
var errStop = errors.New("enough")

func (s *Store) prefix(tenant string) (string, error) {
	if err := connectors.CheckTenant(tenant); err != nil {
		return "", err
	}
	return strings.ReplaceAll(s.cfg.Prefix, "{tenant}", tenant), nil
}

func (s *Store) wrap(action string, err error) error {
	if err == nil {
		return nil
	}
	return Classify(fmt.Errorf("store %s: %s: %w", s.name, action, err))
}

// versionPage is one page of a listing, at most 1,000 entries: as many as one delete takes.
type versionPage struct {
	ids     []types.ObjectIdentifier
	current int64 // how many of them are what a reader of the bucket sees
}

// eachVersions calls fn with every page of versions and delete markers.
func (s *Store) eachVersions(ctx context.Context, prefix string, fn func(versionPage) error) error {
	pages := awss3.NewListObjectVersionsPaginator(s.client, &awss3.ListObjectVersionsInput{
		Bucket: &s.cfg.Bucket, Prefix: &prefix,
	})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		// Some servers begin a page with the entry that its marker names, where S3 begins behind it.
		seen := func(key, version *string) bool {
			return aws.ToString(out.VersionIdMarker) != "" && aws.ToString(key) == aws.ToString(out.KeyMarker) &&
				aws.ToString(version) == aws.ToString(out.VersionIdMarker)
		}
		var page versionPage
		for _, v := range out.Versions {
			if seen(v.Key, v.VersionId) {
				continue
			}
			page.ids = append(page.ids, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
			if aws.ToBool(v.IsLatest) {
				page.current++
			}
		}
		for _, m := range out.DeleteMarkers {
			if !seen(m.Key, m.VersionId) {
				page.ids = append(page.ids, types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
			}
		}
		if err := fn(page); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) delete(ctx context.Context, ids []types.ObjectIdentifier) error {
	if len(ids) == 0 {
		return nil
	}
	out, err := s.client.DeleteObjects(ctx, &awss3.DeleteObjectsInput{
		Bucket: &s.cfg.Bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
	})
	if err != nil {
		return err
	}
	// The call succeeds even when the server refused single objects (a lock, a policy).
	if len(out.Errors) > 0 {
		e := out.Errors[0]
		return fmt.Errorf("%d objects were not deleted, the first is %s: %s: %s", len(out.Errors),
			aws.ToString(e.Key), aws.ToString(e.Code), aws.ToString(e.Message))
	}
	return nil
}

func (s *Store) eachUpload(ctx context.Context, prefix string, fn func(types.MultipartUpload) error) error {
	pages := awss3.NewListMultipartUploadsPaginator(s.client, &awss3.ListMultipartUploadsInput{
		Bucket: &s.cfg.Bucket, Prefix: &prefix,
	})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, u := range out.Uploads {
			if err := fn(u); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) abort(ctx context.Context, u types.MultipartUpload) error {
	_, err := s.client.AbortMultipartUpload(ctx, &awss3.AbortMultipartUploadInput{
		Bucket: &s.cfg.Bucket, Key: u.Key, UploadId: u.UploadId,
	})
	if code(err) == "NoSuchUpload" {
		return nil // finished or aborted meanwhile; the versions are listed after this
	}
	return err
}
