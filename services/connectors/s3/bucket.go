package s3

import (
	"context"
	"fmt"
	"reflect"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tenure/services/connectors"
)

// Parts of a bucket, as the counts name them.
const (
	partObjects  = "objects"
	partVersions = "versions" // old versions and delete markers
	partUploads  = "uploads"  // multipart uploads that nobody finished
)

// Bucket counts and erases below any prefix, for programs that keep objects of their own. Its errors are the SDK's:
// see Classify.
type Bucket struct {
	Client *awss3.Client
	Name   string
}

// Count tells the objects, old versions and unfinished uploads whose keys begin with prefix.
func (b Bucket) Count(ctx context.Context, prefix string) (connectors.Counts, error) {
	counts := connectors.Counts{partObjects: 0, partVersions: 0, partUploads: 0}
	pages := b.versions(prefix)
	for pages.HasMorePages() {
		page, err := nextPage(ctx, pages)
		if err != nil {
			return counts, err
		}
		page.addTo(counts)
	}
	err := b.EachUpload(ctx, prefix, func(types.MultipartUpload) error {
		counts[partUploads]++
		return nil
	})
	return counts, err
}

// Erase deletes every version of every object whose key begins with prefix, and aborts what is being uploaded there.
func (b Bucket) Erase(ctx context.Context, prefix string) (connectors.Counts, error) {
	erased := connectors.Counts{partObjects: 0, partVersions: 0, partUploads: 0}
	// Uploads go first: one that completes after its prefix was emptied would leave an object behind.
	err := b.EachUpload(ctx, prefix, func(u types.MultipartUpload) error {
		erased[partUploads]++
		return b.Abort(ctx, u)
	})
	if err == nil {
		err = b.eraseVersions(ctx, prefix, erased)
	}
	return erased, err
}

// eraseVersions deletes the first page of versions until there is none. A listing that went on behind a marker would
// pass over objects on servers that look for the marker's version, which was just deleted.
func (b Bucket) eraseVersions(ctx context.Context, prefix string, erased connectors.Counts) error {
	var before []types.ObjectIdentifier
	for {
		page, err := nextPage(ctx, b.versions(prefix))
		if err != nil {
			return err
		}
		if len(page.ids) == 0 {
			return nil
		}
		if reflect.DeepEqual(page.ids, before) {
			return fmt.Errorf("the server says that it deleted %d objects, but still lists them", len(before))
		}
		if err := b.delete(ctx, page.ids); err != nil {
			return err
		}
		page.addTo(erased)
		before = page.ids
	}
}

// versionPage is one page of a listing, at most 1,000 entries: as many as one delete takes.
type versionPage struct {
	ids     []types.ObjectIdentifier
	current int64 // how many of them are what a reader of the bucket sees
}

func (p versionPage) addTo(counts connectors.Counts) {
	counts[partObjects] += p.current
	counts[partVersions] += int64(len(p.ids)) - p.current
}

// versions lists versions and delete markers.
func (b Bucket) versions(prefix string) *awss3.ListObjectVersionsPaginator {
	return awss3.NewListObjectVersionsPaginator(b.Client, &awss3.ListObjectVersionsInput{Bucket: &b.Name, Prefix: &prefix})
}

func nextPage(ctx context.Context, pages *awss3.ListObjectVersionsPaginator) (page versionPage, err error) {
	out, err := pages.NextPage(ctx)
	if err != nil {
		return page, err
	}
	// Some servers begin a page with the entry that its marker names, where S3 begins behind it.
	seen := func(key, version *string) bool {
		return aws.ToString(out.VersionIdMarker) != "" && aws.ToString(key) == aws.ToString(out.KeyMarker) &&
			aws.ToString(version) == aws.ToString(out.VersionIdMarker)
	}
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
	return page, nil
}

func (b Bucket) delete(ctx context.Context, ids []types.ObjectIdentifier) error {
	out, err := b.Client.DeleteObjects(ctx, &awss3.DeleteObjectsInput{
		Bucket: &b.Name, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
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

// EachUpload calls fn with every multipart upload under way whose key begins with prefix.
func (b Bucket) EachUpload(ctx context.Context, prefix string, fn func(types.MultipartUpload) error) error {
	pages := awss3.NewListMultipartUploadsPaginator(b.Client, &awss3.ListMultipartUploadsInput{
		Bucket: &b.Name, Prefix: &prefix,
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

// Abort gives up an upload and its parts; one that is gone already is none the worse.
func (b Bucket) Abort(ctx context.Context, u types.MultipartUpload) error {
	_, err := b.Client.AbortMultipartUpload(ctx, &awss3.AbortMultipartUploadInput{
		Bucket: &b.Name, Key: u.Key, UploadId: u.UploadId,
	})
	if code(err) == "NoSuchUpload" {
		return nil // finished or aborted meanwhile; the versions are listed after this
	}
	return err
}
