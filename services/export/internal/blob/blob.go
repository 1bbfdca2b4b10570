// Package blob keeps archives in an S3 bucket: uploaded part by part, read back, linked to for a while, removed for good.
package blob

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tenure/services/connectors/s3"
)

const (
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
	bucket s3.Bucket
	links  *awss3.PresignClient
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
		links:  awss3.NewPresignClient(public),
	}, nil
}

// Key is where the archive of an export is.
func Key(tenant, exportID string) string { return prefix + tenant + "/" + exportID + ".zip" }

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

// exportOf is the id in a key.
func exportOf(key string) string { return strings.TrimSuffix(path.Base(key), ".zip") }
