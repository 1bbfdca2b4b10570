package weaviate

import (
	"context"
	"errors"
	"fmt"

	"tenure/services/connectors"
)

// Erase drops the scope's Weaviate tenant, or deletes its objects where it has none of its own.
func (s *Store) Erase(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.each(ctx, "erase", of, func(ctx context.Context, objects selection) (int64, error) {
		if len(objects.where) == 0 {
			return s.dropTenant(ctx, objects)
		}
		return s.deleteObjects(ctx, objects)
	})
}

// dropTenant removes the files of the tenant's shard from every node at once, where deleting its objects first would write a
// tombstone for each and keep their content until a compaction.
func (s *Store) dropTenant(ctx context.Context, objects selection) (int64, error) {
	n, err := s.count(ctx, objects)
	if err != nil {
		return 0, err
	}
	weaviate, err := s.connect(ctx)
	if err != nil {
		return 0, err
	}
	err = weaviate.Schema().TenantsDeleter().WithClassName(objects.collection.Name).WithTenants(objects.tenant).Do(ctx)
	if err != nil {
		return 0, err
	}
	return n, nil
}

// deleteObjects deletes what the conditions match, as many at a time as the server takes, until nothing does.
func (s *Store) deleteObjects(ctx context.Context, objects selection) (erased int64, err error) {
	weaviate, err := s.connect(ctx)
	if err != nil {
		return 0, err
	}
	for {
		answer, err := weaviate.Batch().ObjectsBatchDeleter().WithClassName(objects.collection.Name).WithTenant(objects.tenant).
			WithWhere(objects.filter()).WithOutput("minimal").Do(ctx)
		if err != nil {
			return erased, err
		}
		if answer.Results == nil {
			return erased, errors.New("the server does not tell what it deleted")
		}
		erased += answer.Results.Successful
		switch {
		case answer.Results.Failed > 0:
			return erased, fmt.Errorf("%d of %d objects were not deleted", answer.Results.Failed, answer.Results.Matches)
		case answer.Results.Matches == 0:
			return erased, nil
		case answer.Results.Successful == 0:
			return erased, fmt.Errorf("the server found %d objects and deleted none", answer.Results.Matches)
		}
	}
}
