// Package blob keeps certificates in an S3 bucket.
package blob

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tenure/services/connectors/s3"
)

// Store is safe for concurrent use.
type Store struct {
	client *awss3.Client
	bucket string
}

// Open makes a store; it connects at the first call.
func Open(ctx context.Context, server s3.Settings, bucket string) (*Store, error) {
	client, err := s3.NewClient(ctx, server)
	if err != nil {
		return nil, err
	}
	return New(client, bucket), nil
}

// New makes a store on a client that there is.
func New(client *awss3.Client, bucket string) *Store { return &Store{client, bucket} }

// CertificatesPrefix is what the keys of all certificates begin with.
const CertificatesPrefix = "certificates/"

// Key is where the certificate of one life of a tenant is.
func Key(tenant string, generation int64) string {
	return fmt.Sprintf("certificates/%s/%d.json", tenant, generation)
}

// RetentionKey is where the certificate of a class of data is that outlived the tenant.
func RetentionKey(tenant string, generation int64, class string) string {
	return fmt.Sprintf("certificates/%s/%d-%s.json", tenant, generation, class)
}

// Put writes a document, whole or not at all. Again does no harm. A server that is down is a fault.RetryAfter.
func (s *Store) Put(ctx context.Context, key string, document []byte) error {
	_, err := s.client.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(document), ContentType: aws.String("application/json"),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, // the server refuses a body that was damaged on its way
	})
	if err != nil {
		return s3.Classify(fmt.Errorf("put %s: %w", key, err))
	}
	return nil
}
