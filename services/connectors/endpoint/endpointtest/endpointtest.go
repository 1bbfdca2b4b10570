// Package endpointtest is a service that speaks the protocol of package endpoint, with its rows in memory. It is what the
// connector is tested on, and what a SaaS can start from.
package endpointtest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
)

// Row is a row of a tenant's.
type Row struct {
	Subject string
	// Content is what stands in the archive: a JSON object.
	Content json.RawMessage
}

// Service answers the calls. Its methods may be called from any goroutine.
type Service struct {
	token string

	mu   sync.Mutex
	rows map[string]map[string]Row // by tenant, then by id
	// pending is how many times an erasure still answers that it is under way.
	pending int
}

// New makes an empty service, which has rows of one kind.
func New(token string) *Service {
	return &Service{token: token, rows: map[string]map[string]Row{}}
}

// Put writes a row, or writes it anew.
func (s *Service) Put(tenant, id string, row Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[tenant] == nil {
		s.rows[tenant] = map[string]Row{}
	}
	s.rows[tenant][id] = row
}

// Delete removes a row.
func (s *Service) Delete(tenant, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rows[tenant], id)
}

// TakeTime makes the next erasure answer n times that it is under way.
func (s *Service) TakeTime(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = n
}

// Handler is the HTTP side.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /tenants/{tenant}/count", s.count)
	mux.HandleFunc("GET /tenants/{tenant}/rows", s.list)
	mux.HandleFunc("DELETE /tenants/{tenant}/data", s.erase)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+s.token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		mux.ServeHTTP(w, r)
	})
}

// Kind of the rows.
const Kind = "documents"

// matching are the ids of the rows that a call is about, in order.
func (s *Service) matching(r *http.Request) []string {
	subject := r.FormValue("subject")
	rows := s.rows[r.PathValue("tenant")]
	return slices.DeleteFunc(slices.Sorted(maps.Keys(rows)), func(id string) bool {
		return subject != "" && rows[id].Subject != subject
	})
}

func (s *Service) count(w http.ResponseWriter, r *http.Request) {
	ids := s.matching(r)
	size := 0
	for _, id := range ids {
		size += len(s.rows[r.PathValue("tenant")][id].Content)
	}
	answer(w, map[string]any{"counts": map[string]int{Kind: len(ids)}, "bytes": size})
}

func (s *Service) list(w http.ResponseWriter, r *http.Request) {
	limit, err := strconv.Atoi(r.FormValue("limit"))
	if err != nil || limit < 1 || limit > 1000 {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	ids := s.matching(r)
	if r.FormValue("kind") != Kind {
		ids = nil
	}
	from, found := slices.BinarySearch(ids, r.FormValue("after"))
	if found {
		from++
	}
	page := ids[from:min(from+limit, len(ids))]
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	for _, id := range page {
		_ = lines.Encode(map[string]any{"row": s.rows[r.PathValue("tenant")][id].Content})
	}
	if from+limit < len(ids) {
		_ = lines.Encode(map[string]any{"next": page[len(page)-1]})
		return
	}
	_ = lines.Encode(map[string]any{"next": nil})
}

func (s *Service) erase(w http.ResponseWriter, r *http.Request) {
	if s.pending > 0 {
		s.pending--
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusAccepted)
		return
	}
	ids := s.matching(r)
	for _, id := range ids {
		delete(s.rows[r.PathValue("tenant")], id)
	}
	answer(w, map[string]any{"erased": map[string]int{Kind: len(ids)}})
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
