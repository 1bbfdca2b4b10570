package weaviate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/weaviate/weaviate-go-client/v5/weaviate/filters"
	"github.com/weaviate/weaviate/entities/models"
	"golang.org/x/sync/errgroup"

	"tenure/services/connectors"
	"tenure/services/connectors/remote"
	"tenure/services/connectors/spool"
	"tenure/shared/fault"
)

const (
	// maxResults is the most that a query answers (QUERY_MAXIMUM_RESULTS's default).
	maxResults = 10_000
	// pageSize is how many objects are in memory at once: 100 of 1,536 dimensions are some 2 MB.
	pageSize = 100
	// gets is how many objects are asked for side by side where they must be asked for one by one.
	gets = 8
	// sampled is how many objects an estimate goes by.
	sampled = 20
)

// Snapshot copies the objects that there are now.
func (s *Store) Snapshot(ctx context.Context, of connectors.Scope, since time.Time) (connectors.Snapshot, error) {
	if err := of.Check(); err != nil {
		return nil, err
	}
	const clock = "/v1/.well-known/live"
	begun, err := s.get(ctx, clock, nil)
	if err != nil {
		return nil, s.wrap("snapshot", of, err)
	}
	return spool.Copy(s.name, begun, func(w *spool.Writer) error {
		for _, c := range s.cfg.Collections {
			if c.Kind == "" || of.Subject != "" && c.Subject == "" {
				continue
			}
			if err := s.copyOf(ctx, c, of, since, w); err != nil {
				return s.wrap("copy "+c.Name, of, err)
			}
		}
		ended, err := s.get(ctx, clock, nil)
		w.Position = "until " + ended.Add(time.Second).UTC().Format(time.RFC3339) // the clock tells whole seconds
		return s.wrap("snapshot", of, err)
	})
}

func (s *Store) copyOf(ctx context.Context, c Collection, of connectors.Scope, since time.Time, to *spool.Writer) error {
	objects, there, err := s.find(ctx, c, of)
	if err != nil || !there {
		return err
	}
	return s.walk(ctx, objects, func(o *models.Object) error {
		if o.LastUpdateTimeUnix < since.UnixMilli() {
			return nil
		}
		row, err := rowOf(o)
		if err != nil {
			return err
		}
		return to.Add(c.Kind, row)
	})
}

// row is an object in an archive.
type row struct {
	ID       string         `json:"id"`
	Values   []float32      `json:"values"`
	Vectors  models.Vectors `json:"vectors,omitempty"` // named ones
	Metadata any            `json:"metadata"`
}

func rowOf(o *models.Object) ([]byte, error) {
	r := row{ID: o.ID.String(), Values: o.Vector, Vectors: o.Vectors, Metadata: o.Properties}
	if r.Values == nil {
		r.Values = []float32{}
	}
	return json.Marshal(r)
}

// walk visits the objects in the order of their ids.
func (s *Store) walk(ctx context.Context, objects selection, visit func(*models.Object) error) error {
	if len(objects.where) == 0 {
		return s.walkAll(ctx, objects, visit)
	}
	return s.walkIDs(ctx, objects, new(big.Int), lastID(), func(ids []string) error {
		for page := range slices.Chunk(ids, pageSize) {
			if err := s.visitEach(ctx, objects, page, visit); err != nil {
				return err
			}
		}
		return nil
	})
}

// walkAll goes through a whole Weaviate tenant by the server's cursor, which takes no conditions.
func (s *Store) walkAll(ctx context.Context, objects selection, visit func(*models.Object) error) error {
	weaviate, err := s.connect(ctx)
	if err != nil {
		return err
	}
	after := ""
	for {
		page, err := weaviate.Data().ObjectsGetter().WithClassName(objects.collection.Name).WithTenant(objects.tenant).
			WithVector().WithLimit(pageSize).WithAfter(after).Do(ctx)
		if err != nil {
			return err
		}
		for _, o := range page {
			if err := objects.check(o); err != nil {
				return err
			}
			if o.ID.String() <= after {
				return fmt.Errorf("the server lists object %s behind %s", o.ID, after)
			}
			after = o.ID.String()
			if err := visit(o); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
	}
}

// check refuses an object that was not asked for.
func (s selection) check(o *models.Object) error {
	if o.Class != s.collection.Name {
		return fmt.Errorf("the server answers with an object of collection %s", o.Class)
	}
	properties, _ := o.Properties.(map[string]any)
	for _, c := range s.where {
		if c.operator == filters.Equal && properties[c.property] != c.value {
			return fmt.Errorf("object %s has another %s than was asked for", o.ID, c.property)
		}
	}
	return nil
}

func lastID() *big.Int {
	return new(big.Int).SetBytes(slices.Repeat([]byte{0xff}, 16))
}

func idOf(n *big.Int) string {
	var id uuid.UUID
	n.FillBytes(id[:])
	return id.String()
}

// walkIDs visits the ids of the selection from first to last, in order. A query answers with so many at most, and in no order:
// where that is too little, the ids are halved.
func (s *Store) walkIDs(ctx context.Context, objects selection, first, last *big.Int, visit func([]string) error) error {
	ids, err := s.listIDs(ctx, objects.with(
		condition{"id", filters.GreaterThanEqual, idOf(first)}, condition{"id", filters.LessThanEqual, idOf(last)}))
	if err != nil {
		return err
	}
	if len(ids) < s.page {
		slices.Sort(ids)
		return visit(ids)
	}
	middle := new(big.Int).Add(first, last)
	middle.Rsh(middle, 1)
	if err := s.walkIDs(ctx, objects, first, middle, visit); err != nil {
		return err
	}
	return s.walkIDs(ctx, objects, middle.Add(middle, big.NewInt(1)), last, visit)
}

func (s *Store) listIDs(ctx context.Context, objects selection) ([]string, error) {
	arguments, err := objects.arguments(s.page)
	if err != nil {
		return nil, err
	}
	var found []struct {
		Additional struct {
			ID string `json:"id"`
		} `json:"_additional"`
	}
	if err := s.query(ctx, "Get", objects, arguments+"{_additional{id}}", &found); err != nil {
		return nil, err
	}
	ids := make([]string, len(found))
	for i, f := range found {
		ids[i] = f.Additional.ID
	}
	return ids, nil
}

// visitEach gets objects one by one. One that was deleted since it was listed is passed over.
func (s *Store) visitEach(ctx context.Context, objects selection, ids []string, visit func(*models.Object) error) error {
	weaviate, err := s.connect(ctx)
	if err != nil {
		return err
	}
	page := make([]*models.Object, len(ids))
	getting, getCtx := errgroup.WithContext(ctx)
	getting.SetLimit(gets)
	for i, id := range ids {
		getting.Go(func() error {
			found, err := weaviate.Data().ObjectsGetter().WithClassName(objects.collection.Name).WithTenant(objects.tenant).
				WithID(id).WithVector().Do(getCtx)
			var status *remote.StatusError
			if errors.As(opened(err), &status) && status.Status == http.StatusNotFound {
				return nil
			}
			if err != nil {
				return err
			}
			page[i] = found[0]
			return objects.check(found[0])
		})
	}
	if err := getting.Wait(); err != nil {
		return err
	}
	for _, o := range page {
		if o == nil {
			continue
		}
		if err := visit(o); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) count(ctx context.Context, objects selection) (int64, error) {
	arguments, err := objects.arguments(0)
	if err != nil {
		return 0, err
	}
	var found []struct {
		Meta struct {
			Count *int64 `json:"count"`
		} `json:"meta"`
	}
	if err := s.query(ctx, "Aggregate", objects, arguments+"{meta{count}}", &found); err != nil {
		return 0, err
	}
	if len(found) != 1 || found[0].Meta.Count == nil {
		return 0, errors.New("the server answers no count")
	}
	return *found[0].Meta.Count, nil
}

// errSampled ends a walk that has seen enough.
var errSampled = errors.New("sampled")

// estimate is the size of the rows, by the first few.
func (s *Store) estimate(ctx context.Context, objects selection) (int64, error) {
	n, err := s.count(ctx, objects)
	if err != nil || n == 0 {
		return 0, err
	}
	var seen, size int64
	err = s.walk(ctx, objects, func(o *models.Object) error {
		row, err := rowOf(o)
		seen, size = seen+1, size+int64(len(row))
		if err == nil && seen == sampled {
			err = errSampled
		}
		return err
	})
	if err != nil && !errors.Is(err, errSampled) || seen == 0 {
		return 0, err
	}
	return n * size / seen, nil
}

// query runs a GraphQL query about one collection and reads its answer. A query that fails is a success to HTTP.
func (s *Store) query(ctx context.Context, function string, objects selection, rest string, into any) error {
	weaviate, err := s.connect(ctx)
	if err != nil {
		return err
	}
	answer, err := weaviate.GraphQL().Raw().WithQuery("{" + function + "{" + objects.collection.Name + rest + "}}").Do(ctx)
	if err != nil {
		return err
	}
	if len(answer.Errors) > 0 {
		err := &remote.Words{Brief: "the query fails", Text: answer.Errors[0].Message}
		if strings.Contains(err.Text, "tenant not active") { // somebody deactivated it since find
			return fault.RetryAfter(err, connectors.RetryDelay)
		}
		return err
	}
	of, _ := answer.Data[function].(map[string]any)
	encoded, err := json.Marshal(of[objects.collection.Name])
	if err != nil {
		return err
	}
	return json.Unmarshal(encoded, into)
}
