// Package pinecone connects a serverless index of Pinecone's where each tenant has a namespace of its own.
//
// Pinecone has neither snapshots nor clocks, and settles late. A snapshot is a copy made in one pass (see package spool): each
// vector is in it once, as it was when the pass came by; every export has all of them, and its watermark is from this
// machine's clock.
package pinecone

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	client "github.com/pinecone-io/go-pinecone/v5/pinecone"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tenure/services/connectors"
	"tenure/services/connectors/remote"
	"tenure/shared/fault"
)

// Config says where the tenants' vectors are.
type Config struct {
	// Host is the index's own address, as Pinecone's console shows it: "https://index-project.svc.region.pinecone.io".
	Host   string
	APIKey string
	// Namespace has "{tenant}" in it.
	Namespace string
	// Kind is what an archive calls the vectors; "" keeps them out of exports, never out of erasure.
	Kind string
	// Subject is the metadata field that holds the key of the person whose vector it is; "" when there is none.
	Subject string
	// Settles is how long reads may lag behind writes; 0 is DefaultSettles.
	Settles time.Duration
	// Class is the data class that the retention policy knows the store by.
	Class string
}

// DefaultSettles is more than Pinecone's "a few seconds" for changes to be visible to reads (Check data freshness), for
// which it gives no bound.
const DefaultSettles = time.Minute

// Store is a connectors.Connector.
type Store struct {
	name  string
	cfg   Config
	index *client.IndexConnection
}

// patience makes gRPC repeat calls as remote.NewClient repeats requests. INTERNAL is what a gateway makes of a 500.
var patience = fmt.Sprintf(`{"methodConfig": [{"name": [{}], "timeout": "60s", "retryPolicy": {
	"maxAttempts": %d, "initialBackoff": "%fs", "maxBackoff": "%fs", "backoffMultiplier": 2,
	"retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL"]
}}]}`, remote.Tries, remote.FirstBackoff.Seconds(), remote.MaxBackoff.Seconds())

// maxAnswer is more than a page of vectors with the most dimensions and metadata that Pinecone allows, 100 of 120 KB.
const maxAnswer = 64 << 20

// New connects an index. It dials at the first call.
func New(name string, cfg Config) (*Store, error) {
	// The client ends the process when it is given an address that is none.
	at, err := url.Parse(cfg.Host)
	if err != nil || at.Host == "" || at.User != nil || strings.Trim(at.Path, "/") != "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, errors.New("the address of a Pinecone index must be like https://index-project.svc.region.pinecone.io")
	}
	if !strings.Contains(cfg.Namespace, "{tenant}") {
		return nil, fmt.Errorf("the namespace %q has no {tenant} in it: all tenants would share it", cfg.Namespace)
	}
	if cfg.APIKey == "" { // the client would look for one in the environment
		return nil, errors.New("a Pinecone index needs an API key")
	}
	if cfg.Settles == 0 {
		cfg.Settles = DefaultSettles
	}
	api, err := client.NewClient(client.NewClientParams{ApiKey: cfg.APIKey})
	if err != nil {
		return nil, err
	}
	redial := backoff.DefaultConfig
	redial.MaxDelay = connectors.RetryDelay
	index, err := api.Index(client.NewIndexConnParams{Host: at.Scheme + "://" + at.Host},
		grpc.WithDefaultServiceConfig(patience), grpc.WithMaxCallAttempts(remote.Tries),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: redial, MinConnectTimeout: connectors.RetryDelay}))
	if err != nil {
		return nil, err
	}
	return &Store{name: name, cfg: cfg, index: index}, nil
}

// Close ends the connection.
func (s *Store) Close() { _ = s.index.Close() }

// Name is the store's name in the data map.
func (s *Store) Name() string { return s.name }

// Traits tells the namespace.
func (s *Store) Traits() connectors.Traits {
	return connectors.Traits{
		Kind: "pinecone", Targets: []string{"namespace " + s.cfg.Namespace}, Settles: s.cfg.Settles,
		Subjects: s.cfg.Subject != "", Class: s.cfg.Class,
	}
}

const partVectors = "vectors"

// Count tells the vectors by Pinecone's own records, which lag behind.
func (s *Store) Count(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.counts(ctx, "count", of, s.count)
}

// Verify lists what is there beside asking for the count, and tells the larger: each of them lags behind by itself.
func (s *Store) Verify(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.counts(ctx, "verify", of, func(ctx context.Context, v vectors) (int64, error) {
		counted, err := s.count(ctx, v)
		if err != nil {
			return 0, err
		}
		var listed int64
		err = v.pages(ctx, func(ids []string) error {
			listed += int64(len(ids))
			return nil
		})
		return max(counted, listed), err
	})
}

// Bytes reckons from the first page.
func (s *Store) Bytes(ctx context.Context, of connectors.Scope) (int64, error) {
	sizes, err := s.counts(ctx, "measure", of, s.estimate)
	return sizes.Total(), err
}

// Erase deletes the namespace, or a person's vectors in it.
func (s *Store) Erase(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.counts(ctx, "erase", of, func(ctx context.Context, v vectors) (int64, error) {
		n, err := s.count(ctx, v)
		if err != nil {
			return 0, err
		}
		if v.filter != nil {
			err = v.index.DeleteVectorsByFilter(ctx, v.filter)
		} else {
			err = v.index.DeleteNamespace(ctx, v.namespace)
		}
		if status.Code(err) == codes.NotFound { // a namespace that is not there has nothing
			return 0, nil
		}
		return n, err
	})
}

// counts answers fn's number for the scope's vectors, the only part of the store.
func (s *Store) counts(ctx context.Context, action string, of connectors.Scope, fn func(context.Context, vectors) (int64, error)) (connectors.Counts, error) {
	v, there, err := s.find(of)
	if err != nil {
		return nil, err
	}
	counts := connectors.Counts{}
	if there {
		counts[partVectors], err = fn(ctx, v)
	}
	return counts, s.wrap(action, of, err)
}

func (s *Store) count(ctx context.Context, v vectors) (n int64, err error) {
	if v.filter != nil {
		err = v.pages(ctx, func(ids []string) error {
			n += int64(len(ids))
			return nil
		})
		return n, err
	}
	found, err := v.index.DescribeNamespace(ctx, v.namespace)
	if status.Code(err) == codes.NotFound {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return int64(found.RecordCount), nil
}

// estimate is the size of the rows, by those of the first page.
func (s *Store) estimate(ctx context.Context, v vectors) (int64, error) {
	n, err := s.count(ctx, v)
	if err != nil || n == 0 {
		return 0, err
	}
	var rows, size int64
	err = v.walk(ctx, func(_ string, row []byte) error {
		rows, size = rows+1, size+int64(len(row))
		if rows == pageSize {
			return errSampled
		}
		return nil
	})
	if err != nil && !errors.Is(err, errSampled) || rows == 0 {
		return 0, err
	}
	return n * size / rows, nil
}

// errSampled ends a walk that has seen enough.
var errSampled = errors.New("sampled")

func (s *Store) wrap(action string, of connectors.Scope, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store %s: %s: %w", s.name, action, remote.Hide(classify(err), of))
}

// classify turns an error that says "down", "too busy" or "not settled" into a fault.RetryAfter.
func classify(err error) error {
	answer, ok := status.FromError(err)
	if !ok || errors.Is(err, context.Canceled) {
		return err
	}
	said := &remote.Words{Brief: "Pinecone answers " + answer.Code().String(), Text: answer.Message()}
	switch answer.Code() {
	case codes.Unavailable, codes.ResourceExhausted, codes.Internal, codes.DeadlineExceeded, codes.Aborted, codes.Unknown:
		return fault.RetryAfter(said, max(pause(answer), connectors.RetryDelay))
	}
	return said
}

// pause is how long Pinecone wants to be left alone, 0 when it does not say.
func pause(answer *status.Status) time.Duration {
	for _, detail := range answer.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return retry.GetRetryDelay().AsDuration()
		}
	}
	return 0
}
