package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"tenure/services/connectors/s3"
	"tenure/services/export/internal/archive"
)

var (
	// ErrNoUpload says that S3 does not know the upload: it was completed, aborted or lost.
	ErrNoUpload = errors.New("S3 does not know the upload")
	// ErrOtherParts says that S3 has other parts than those to be put together: somebody else uploads under their numbers.
	ErrOtherParts = errors.New("the parts in S3 are not those that were uploaded")
)

// tries is how often one call is tried when S3 answers with an error of its own: a call of which S3 refuses one in five fails
// once in 3,000 times.
const tries = 5

// Upload is a multipart upload. The object appears when it is completed, whole or not at all. It is safe for concurrent
// use.
type Upload struct {
	store   *Store
	key, id string
}

// Begin starts an upload of an object. Nothing of it is seen until it is completed, but it takes room until it is
// aborted.
func (s *Store) Begin(ctx context.Context, key string) (*Upload, error) {
	out, err := s.bucket.Client.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{
		Bucket: &s.bucket.Name, Key: &key, ContentType: aws.String("application/zip"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	}, patiently)
	if err != nil {
		return nil, classify(err, "begin the upload of "+key)
	}
	return s.Upload(key, aws.ToString(out.UploadId)), nil
}

// Upload is one that was begun before. It asks nobody.
func (s *Store) Upload(key, id string) *Upload { return &Upload{store: s, key: key, id: id} }

// ID is S3's name of the upload.
func (u *Upload) ID() string { return u.id }

// Put uploads a part in place of whatever was uploaded under its number. S3 refuses what does not arrive as it was sent.
func (u *Upload) Put(ctx context.Context, number int32, body []byte) (archive.Part, error) {
	out, err := u.store.bucket.Client.UploadPart(ctx, &awss3.UploadPartInput{
		Bucket: &u.store.bucket.Name, Key: &u.key, UploadId: &u.id, PartNumber: &number, Body: bytes.NewReader(body),
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32,
	}, patiently)
	if err != nil {
		return archive.Part{}, classify(err, fmt.Sprintf("upload part %d of %s", number, u.key))
	}
	return archive.Part{
		Number: number, Bytes: int64(len(body)), ETag: aws.ToString(out.ETag), CRC32: aws.ToString(out.ChecksumCRC32),
	}, nil
}

// Complete makes the object of these parts, and drops all others. S3 has the latest of each number: when that is not the one
// that is meant, by its ETag, it refuses, and the error is ErrOtherParts. The same again is ErrNoUpload.
func (u *Upload) Complete(ctx context.Context, parts []archive.Part) error {
	all := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		all[i] = types.CompletedPart{PartNumber: &p.Number, ETag: &p.ETag}
		if p.CRC32 != "" {
			all[i].ChecksumCRC32 = &p.CRC32
		}
	}
	_, err := u.store.bucket.Client.CompleteMultipartUpload(ctx, &awss3.CompleteMultipartUploadInput{
		Bucket: &u.store.bucket.Name, Key: &u.key, UploadId: &u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: all},
	}, patiently)
	return classify(err, "complete "+u.key)
}

// Abort gives the upload up, with its parts; one that is gone is none the worse.
func (u *Upload) Abort(ctx context.Context) error {
	err := u.store.bucket.Abort(ctx, types.MultipartUpload{Key: &u.key, UploadId: &u.id})
	return classify(err, "abort the upload of "+u.key)
}

// patiently tries a call longer than the SDK does by itself: giving one up costs more than its waiting. What is read back is
// checked by its SHA-256, so nobody needs to hear that S3 sends no checksum with a range.
func patiently(o *awss3.Options) {
	o.RetryMaxAttempts = tries
	o.DisableLogOutputChecksumValidationSkipped = true
}

// classify tells the errors apart that an upload must know.
func classify(err error, action string) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", action, err)
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "NoSuchUpload":
			return fmt.Errorf("%w: %w", ErrNoUpload, err)
		case "InvalidPart", "InvalidPartOrder":
			return fmt.Errorf("%w: %w", ErrOtherParts, err)
		case "NoSuchKey", "NotFound":
			return fmt.Errorf("%w: %w", ErrNoObject, err)
		}
	}
	return s3.Classify(err)
}

// AbortUploads gives up every upload that is nobody's: its writer is dead, and its parts cost money. theirs tells the id of
// the upload of each export that is open, "" when its worker may just be beginning one; the list of uploads is older than its answer.
func (s *Store) AbortUploads(ctx context.Context, theirs func(exportIDs []string) (map[string]string, error)) error {
	var uploads []*Upload
	var ids []string
	err := s.bucket.EachUpload(ctx, prefix, func(u types.MultipartUpload) error {
		key := aws.ToString(u.Key)
		uploads, ids = append(uploads, s.Upload(key, aws.ToString(u.UploadId))), append(ids, exportOf(key))
		return nil
	})
	if err != nil {
		return classify(err, "list uploads")
	}
	if len(uploads) == 0 {
		return nil
	}
	open, err := theirs(ids)
	if err != nil {
		return err
	}
	for i, u := range uploads {
		if id, ok := open[ids[i]]; ok && (id == "" || id == u.id) {
			continue
		}
		if err := u.Abort(ctx); err != nil {
			return err
		}
	}
	return nil
}
