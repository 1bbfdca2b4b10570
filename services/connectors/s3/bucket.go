package s3

import (
	"context"
	"iter"

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
	pages := awss3.NewListObjectVersionsPaginator(b.Client, b.versions(prefix))
	for pages.HasMorePages() {
		page, err := nextPage(ctx, pages)
		if err != nil {
			return counts, err
		}
		for _, v := range page {
			counts[v.part()]++
		}
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

// objects lists what a reader of the bucket sees, page by page.
func (b Bucket) objects(ctx context.Context, prefix string) iter.Seq2[*awss3.ListObjectsV2Output, error] {
	return func(yield func(*awss3.ListObjectsV2Output, error) bool) {
		pages := awss3.NewListObjectsV2Paginator(b.Client, &awss3.ListObjectsV2Input{Bucket: &b.Name, Prefix: &prefix})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if !yield(page, err) || err != nil {
				return
			}
		}
	}
}

// version is one version of an object, or a delete marker.
type version struct {
	key, id string
	current bool // it is what a reader of the bucket sees
}

func (v version) part() string {
	if v.current {
		return partObjects
	}
	return partVersions
}

func (b Bucket) versions(prefix string) *awss3.ListObjectVersionsInput {
	return &awss3.ListObjectVersionsInput{Bucket: &b.Name, Prefix: &prefix}
}

// nextPage gets at most 1,000 versions: as many as one delete takes.
func nextPage(ctx context.Context, pages *awss3.ListObjectVersionsPaginator) (page []version, err error) {
	out, err := pages.NextPage(ctx)
	if err != nil {
		return nil, err
	}
	marker := version{key: aws.ToString(out.KeyMarker), id: aws.ToString(out.VersionIdMarker)}
	add := func(key, id *string, current bool) {
		v := version{key: aws.ToString(key), id: aws.ToString(id)}
		// Some servers begin a page with the entry that its marker names, where S3 begins behind it.
		if marker.id != "" && v == marker {
			return
		}
		v.current = current
		page = append(page, v)
	}
	for _, m := range out.DeleteMarkers {
		add(m.Key, m.VersionId, false)
	}
	for _, v := range out.Versions {
		add(v.Key, v.VersionId, aws.ToBool(v.IsLatest))
	}
	return page, nil
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
