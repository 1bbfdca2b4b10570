// Package blob keeps in S3 what a lower plan has no room for.
package blob

import (
	"context"
	"fmt"
	"io"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tenure/services/connectors/s3"
)

// Archive is the part of a bucket that the data map lists as the store "archive": exports pass over it, since the rows are
// still in the tables, and deletion erases it.
type Archive struct{ bucket s3.Bucket }

// Open connects at the first call. getenv tells the AWS_* variables.
func Open(ctx context.Context, bucket string, getenv func(string) string) (*Archive, error) {
	client, err := s3.NewClient(ctx, s3.SettingsFromEnv(getenv))
	if err != nil {
		return nil, err
	}
	return &Archive{s3.Bucket{Client: client, Name: bucket}}, nil
}

func prefixOf(tenant string) string { return "archive/" + tenant + "/" }

func key(tenant, operation string) string { return prefixOf(tenant) + operation + "/documents.ndjson" }

// Put keeps what an operation archived, one JSON object on a line. Called again, it replaces what it kept.
func (a *Archive) Put(ctx context.Context, tenant, operation string, rows io.ReadSeeker) error {
	name, contentType := key(tenant, operation), "application/x-ndjson"
	_, err := a.bucket.Client.PutObject(ctx, &awss3.PutObjectInput{Bucket: &a.bucket.Name, Key: &name, Body: rows, ContentType: &contentType})
	if err != nil {
		return fmt.Errorf("put %s: %w", name, s3.Classify(err))
	}
	return nil
}

// Remove takes back what Put did, in every version.
func (a *Archive) Remove(ctx context.Context, tenant, operation string) error {
	name := key(tenant, operation)
	if _, err := a.bucket.Erase(ctx, name); err != nil {
		return fmt.Errorf("remove %s: %w", name, s3.Classify(err))
	}
	return nil
}
