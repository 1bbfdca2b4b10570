package pinecone

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	client "github.com/pinecone-io/go-pinecone/v5/pinecone"

	"tenure/services/connectors"
	"tenure/services/connectors/spool"
	"tenure/shared/fault"
)

// pageSize is the most that one call lists.
const pageSize = 100

// vectors are those of a scope.
type vectors struct {
	index     *client.IndexConnection
	namespace string
	filter    *client.MetadataFilter // nil: all in the namespace
}

// find tells which vectors a scope has; there is false when vectors name no persons and the scope is one.
func (s *Store) find(of connectors.Scope) (v vectors, there bool, err error) {
	if err := of.Check(); err != nil {
		return v, false, err
	}
	v.namespace = strings.ReplaceAll(s.cfg.Namespace, "{tenant}", of.Tenant)
	v.index = s.index.WithNamespace(v.namespace)
	if of.Subject == "" {
		return v, true, nil
	}
	if s.cfg.Subject == "" {
		return v, false, nil
	}
	v.filter, err = client.NewMetadataFilter(map[string]any{s.cfg.Subject: map[string]any{"$eq": of.Subject}})
	return v, true, err
}

// Snapshot copies the vectors that there are now.
func (s *Store) Snapshot(ctx context.Context, of connectors.Scope, _ time.Time) (connectors.Snapshot, error) {
	v, there, err := s.find(of)
	if err != nil {
		return nil, err
	}
	return spool.Copy(s.name, time.Now(), func(w *spool.Writer) error {
		if !there || s.cfg.Kind == "" {
			return nil
		}
		err := v.walk(ctx, func(_ string, row []byte) error { return w.Add(s.cfg.Kind, row) })
		w.Position = "until " + time.Now().UTC().Format(time.RFC3339)
		return s.wrap("copy", of, err)
	})
}

// row is a vector in an archive.
type row struct {
	ID       string               `json:"id"`
	Values   []float32            `json:"values"`
	Sparse   *client.SparseValues `json:"sparse_values,omitempty"`
	Metadata map[string]any       `json:"metadata"`
}

func rowOf(v *client.Vector) ([]byte, error) {
	r := row{ID: v.Id, Values: []float32{}, Sparse: v.SparseValues, Metadata: map[string]any{}}
	if v.Values != nil {
		r.Values = *v.Values
	}
	if v.Metadata != nil {
		r.Metadata = v.Metadata.AsMap()
	}
	return json.Marshal(r)
}

// walk visits the rows, in the order of their ids unless they are one person's.
func (v vectors) walk(ctx context.Context, visit func(id string, row []byte) error) error {
	if v.filter != nil {
		return v.matches(ctx, func(found map[string]*client.Vector) error {
			return visitAll(slices.Sorted(maps.Keys(found)), found, visit)
		})
	}
	last := ""
	return v.pages(ctx, func(ids []string) error {
		if len(ids) == 0 {
			return nil
		}
		if !slices.IsSorted(ids) || ids[0] <= last {
			return fmt.Errorf("the listing is not in the order of the ids: %s is behind %s", ids[0], last)
		}
		last = ids[len(ids)-1]
		found, err := v.index.FetchVectors(ctx, ids)
		if err != nil {
			return err
		}
		return visitAll(ids, found.Vectors, visit)
	})
}

// visitAll makes rows of vectors. A vector that is listed but not found was deleted just now, or written just now and did not
// settle: only another listing tells.
func visitAll(ids []string, found map[string]*client.Vector, visit func(id string, row []byte) error) error {
	for _, id := range ids {
		vector, ok := found[id]
		if !ok {
			return fault.RetryAfter(fmt.Errorf("vector %s is listed but not there: the index has not settled", id), connectors.RetryDelay)
		}
		row, err := rowOf(vector)
		if err != nil {
			return err
		}
		if err := visit(id, row); err != nil {
			return err
		}
	}
	return nil
}

// pages visits the ids, a page at a time.
func (v vectors) pages(ctx context.Context, visit func(ids []string) error) error {
	if v.filter != nil {
		return v.matches(ctx, func(found map[string]*client.Vector) error { return visit(slices.Collect(maps.Keys(found))) })
	}
	limit := uint32(pageSize)
	return follow(func(token *string) (*string, error) {
		page, err := v.index.ListVectors(ctx, &client.ListVectorsRequest{Limit: &limit, PaginationToken: token})
		if err != nil {
			return nil, err
		}
		ids := make([]string, len(page.VectorIds))
		for i, id := range page.VectorIds {
			ids[i] = *id
		}
		return page.NextPaginationToken, visit(ids)
	})
}

// matches visits the vectors of one person, a page at a time.
func (v vectors) matches(ctx context.Context, visit func(map[string]*client.Vector) error) error {
	limit := uint32(pageSize)
	return follow(func(token *string) (*string, error) {
		page, err := v.index.FetchVectorsByMetadata(ctx, &client.FetchVectorsByMetadataRequest{
			Filter: v.filter, Limit: &limit, PaginationToken: token,
		})
		if err != nil {
			return nil, err
		}
		var next *string
		if page.Pagination != nil {
			next = &page.Pagination.Next
		}
		return next, visit(page.Vectors)
	})
}

// follow asks for page after page until there is no token of a next one.
func follow(page func(token *string) (next *string, err error)) error {
	var token *string
	for {
		next, err := page(token)
		if err != nil || next == nil || *next == "" {
			return err
		}
		if token != nil && *next == *token {
			return fmt.Errorf("the page behind %q is itself", *next)
		}
		token = next
	}
}
