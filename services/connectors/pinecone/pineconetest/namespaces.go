package pineconetest

import (
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Pinecone's limits: the most ids that a listing answers, and that a fetch takes.
const (
	maxList  = 100
	maxFetch = 1000
)

type vector struct {
	ID           string         `json:"id"`
	Values       []float32      `json:"values,omitempty"`
	SparseValues *sparse        `json:"sparseValues,omitempty"`
	Metadata     map[string]any `json:"metadata,omitempty"`
}

type sparse struct {
	Indices []uint32  `json:"indices"`
	Values  []float32 `json:"values"`
}

// request has the fields of all requests.
type request struct {
	Namespace       string                       `json:"namespace"`
	Vectors         []vector                     `json:"vectors"`
	IDs             []string                     `json:"ids"`
	DeleteAll       bool                         `json:"deleteAll"`
	Filter          map[string]map[string]string `json:"filter"`
	Limit           int                          `json:"limit"`
	PaginationToken string                       `json:"paginationToken"`
}

// answer has the fields of all answers.
type answer map[string]any

var errNoNamespace = status.Error(codes.NotFound, "Namespace not found")

func (n namespaces) upsert(r request) (answer, error) {
	for _, v := range r.Vectors {
		if v.ID == "" || len(v.Values) != Dimension {
			return nil, status.Errorf(codes.InvalidArgument, "Vector dimension %d does not match the dimension of the index %d", len(v.Values), Dimension)
		}
	}
	if n[r.Namespace] == nil {
		n[r.Namespace] = map[string]vector{}
	}
	for _, v := range r.Vectors {
		n[r.Namespace][v.ID] = v
	}
	return answer{"upsertedCount": len(r.Vectors)}, nil
}

func (n namespaces) delete(r request) (answer, error) {
	vectors, ok := n[r.Namespace]
	if !ok {
		return nil, errNoNamespace
	}
	if !r.DeleteAll && len(r.IDs) == 0 && len(r.Filter) == 0 {
		return nil, status.Error(codes.InvalidArgument, "nothing says what to delete")
	}
	maps.DeleteFunc(vectors, func(id string, v vector) bool {
		return r.DeleteAll || slices.Contains(r.IDs, id) || len(r.Filter) > 0 && v.matches(r.Filter)
	})
	return answer{}, nil
}

func (n namespaces) deleteNamespace(r request) (answer, error) {
	if _, ok := n[r.Namespace]; !ok {
		return nil, errNoNamespace
	}
	delete(n, r.Namespace)
	return answer{}, nil
}

func (n namespaces) describe(r request) (answer, error) {
	vectors, ok := n[r.Namespace]
	if !ok {
		return nil, errNoNamespace
	}
	return answer{"name": r.Namespace, "recordCount": len(vectors)}, nil
}

func (n namespaces) list(r request) (answer, error) {
	if r.Limit > maxList {
		return nil, status.Errorf(codes.InvalidArgument, "limit must be at most %d", maxList)
	}
	ids, next := page(sortedKeys(n[r.Namespace]), r)
	items := make([]answer, len(ids))
	for i, id := range ids {
		items[i] = answer{"id": id}
	}
	return withNext(answer{"vectors": items, "namespace": r.Namespace}, next), nil
}

func (n namespaces) fetch(r request) (answer, error) {
	if len(r.IDs) == 0 || len(r.IDs) > maxFetch {
		return nil, status.Errorf(codes.InvalidArgument, "fetch takes 1 to %d ids", maxFetch)
	}
	return answer{"vectors": pick(n[r.Namespace], r.IDs), "namespace": r.Namespace}, nil
}

func (n namespaces) fetchByMetadata(r request) (answer, error) {
	if len(r.Filter) == 0 {
		return nil, status.Error(codes.InvalidArgument, "a filter is missing")
	}
	vectors := n[r.Namespace]
	matching := slices.DeleteFunc(sortedKeys(vectors), func(id string) bool { return !vectors[id].matches(r.Filter) })
	ids, next := page(matching, r)
	return withNext(answer{"vectors": pick(vectors, ids), "namespace": r.Namespace}, next), nil
}

// matches goes by $eq, the only operator here.
func (v vector) matches(filter map[string]map[string]string) bool {
	for field, condition := range filter {
		want, ok := condition["$eq"]
		if !ok || v.Metadata[field] != want {
			return false
		}
	}
	return true
}

// page are the ids behind the token, and the token of the next page.
func page(ids []string, r request) (part []string, next string) {
	from, _ := slices.BinarySearch(ids, r.PaginationToken+"\x00") // the token is the last id of the page before
	if r.PaginationToken == "" {
		from = 0
	}
	limit := r.Limit
	if limit == 0 {
		limit = maxList
	}
	part = ids[from:min(from+limit, len(ids))]
	if from+limit < len(ids) {
		next = part[len(part)-1]
	}
	return part, next
}

func withNext(a answer, next string) answer {
	if next != "" {
		a["pagination"] = answer{"next": next}
	}
	return a
}

func pick(vectors map[string]vector, ids []string) map[string]vector {
	found := map[string]vector{}
	for _, id := range ids {
		if v, ok := vectors[id]; ok {
			found[id] = v
		}
	}
	return found
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
