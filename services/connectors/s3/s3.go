// Package s3 connects the objects below one prefix per tenant in a bucket of any S3 server.
package s3

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"tenure/services/connectors"
)

// Config says where the tenants' objects are.
type Config struct {
	Bucket string
	// Prefix has "{tenant}/" in it: the slash keeps tenant "a" from reaching the objects of "ab".
	Prefix string
	// Kind is what an archive calls the objects, one row each; "" keeps them out of exports, never out of erasure.
	Kind string
	// Class is the data class that the retention policy knows the objects by.
	Class string
}

// Store is a connectors.Connector.
type Store struct {
	name   string
	bucket Bucket
	cfg    Config
}

// New connects a prefix.
func New(name string, client *awss3.Client, cfg Config) *Store {
	return &Store{name: name, bucket: Bucket{client, cfg.Bucket}, cfg: cfg}
}

// Name is the store's name in the data map.
func (s *Store) Name() string { return s.name }

// Traits tells the prefix.
func (s *Store) Traits() connectors.Traits {
	return connectors.Traits{Kind: "s3", Targets: []string{"prefix " + s.cfg.Prefix}, Class: s.cfg.Class}
}

// Bytes adds up the objects that a reader of the bucket sees.
func (s *Store) Bytes(ctx context.Context, of connectors.Scope) (total int64, err error) {
	prefix, err := s.prefix(of)
	if err != nil || of.Subject != "" {
		return 0, err
	}
	for page, err := range s.bucket.objects(ctx, prefix) {
		if err != nil {
			return 0, s.wrap("measure", err)
		}
		for _, o := range page.Contents {
			total += aws.ToInt64(o.Size)
		}
	}
	return total, nil
}

// Count tells the tenant's objects, old versions and unfinished uploads. No object names the person it is of.
func (s *Store) Count(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	prefix, err := s.prefix(of)
	if err != nil || of.Subject != "" {
		return nil, err
	}
	counts, err := s.bucket.Count(ctx, prefix)
	return counts, s.wrap("count", err)
}

// Verify is Count: it already sees whatever S3 can still give back.
func (s *Store) Verify(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.Count(ctx, of)
}

// Erase deletes every version of every object for good, page by page, and aborts what is being uploaded. What an object
// lock keeps stays, is named in the error with the lock's end, and keeps nothing else from being erased.
func (s *Store) Erase(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	prefix, err := s.prefix(of)
	if err != nil || of.Subject != "" {
		return nil, err
	}
	erased, err := s.bucket.Erase(ctx, prefix)
	return erased, s.wrap("erase", err)
}

func (s *Store) prefix(of connectors.Scope) (string, error) {
	if err := of.Check(); err != nil {
		return "", err
	}
	return strings.ReplaceAll(s.cfg.Prefix, "{tenant}", of.Tenant), nil
}

func (s *Store) wrap(action string, err error) error {
	if err == nil {
		return nil
	}
	return Classify(fmt.Errorf("store %s: %s: %w", s.name, action, err))
}
