package s3

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tenure/services/connectors"
)

// eraseVersions deletes the first page of versions until there is none. A listing that went on behind a marker would
// pass over objects on servers that look for the marker's version, which was just deleted: only what was not deleted, and
// is passed over, is a marker.
func (b Bucket) eraseVersions(ctx context.Context, prefix string, erased connectors.Counts) error {
	var before []version
	var refused error
	listing := b.versions(prefix)
	for {
		page, err := nextPage(ctx, awss3.NewListObjectVersionsPaginator(b.Client, listing))
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return refused
		}
		if slices.Equal(page, before) {
			return cmp.Or(refused, fmt.Errorf("the server says that it deleted %d objects, but still lists them", len(page)))
		}
		before = page
		kept, err := b.delete(ctx, page)
		if err != nil {
			return err
		}
		for _, v := range page {
			if _, ok := kept[identity(v)]; !ok {
				erased[v.part()]++
				continue
			}
			listing.KeyMarker, listing.VersionIdMarker = &v.key, &v.id
			if refused == nil {
				refused = b.explain(ctx, v, kept[identity(v)])
			}
		}
	}
}

// identity is what a delete names a version by.
func identity(v version) version {
	v.current = false
	return v
}

// delete deletes versions and returns those that the server kept (a lock, a policy), each with its reason.
func (b Bucket) delete(ctx context.Context, page []version) (kept map[version]error, err error) {
	ids := make([]types.ObjectIdentifier, len(page))
	for i := range page {
		ids[i] = types.ObjectIdentifier{Key: &page[i].key, VersionId: &page[i].id}
	}
	out, err := b.Client.DeleteObjects(ctx, &awss3.DeleteObjectsInput{
		Bucket: &b.Name, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)},
	})
	if err != nil {
		return nil, err
	}
	kept = map[version]error{}
	for _, e := range out.Errors { // the call succeeds even so
		v := version{key: aws.ToString(e.Key), id: aws.ToString(e.VersionId)}
		kept[v] = fmt.Errorf("%s: %s", aws.ToString(e.Code), aws.ToString(e.Message))
	}
	return kept, nil
}

// explain says why a version was kept and until when, if an object lock is the reason. There is no sense in trying again
// before: an operator has to know.
func (b Bucket) explain(ctx context.Context, v version, reason error) error {
	lock, err := b.Client.GetObjectRetention(ctx, &awss3.GetObjectRetentionInput{Bucket: &b.Name, Key: &v.key, VersionId: &v.id})
	if err == nil && lock.Retention != nil && lock.Retention.RetainUntilDate != nil {
		return fmt.Errorf("object %s, version %s, is locked until %s (%s mode) and was kept: %w", v.key, v.id,
			lock.Retention.RetainUntilDate.UTC().Format(time.RFC3339), lock.Retention.Mode, reason)
	}
	hold, err := b.Client.GetObjectLegalHold(ctx, &awss3.GetObjectLegalHoldInput{Bucket: &b.Name, Key: &v.key, VersionId: &v.id})
	if err == nil && hold.LegalHold != nil && hold.LegalHold.Status == types.ObjectLockLegalHoldStatusOn {
		return fmt.Errorf("object %s, version %s, is under a legal hold and was kept: %w", v.key, v.id, reason)
	}
	return fmt.Errorf("object %s, version %s, was kept: %w", v.key, v.id, reason)
}
