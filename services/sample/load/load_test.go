package load_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tenure/services/sample/load"
	"tenure/shared/testkit"
)

// store stands for a sample that keeps its documents in memory, and may be told to misbehave.
type store struct {
	mu        sync.Mutex
	documents []map[string]string
	failing   bool
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	switch kind := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]; {
	case kind == "seed":
		var seed struct{ Documents int }
		_ = json.NewDecoder(r.Body).Decode(&seed)
		for range seed.Documents {
			s.add("seed")
		}
		reply(w, nil)
	case kind == "query":
		reply(w, map[string]any{"results": s.documents[:20]})
	case r.Method == http.MethodPost:
		var in struct{ Name string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		reply(w, s.add(in.Name))
	default:
		var after []map[string]string
		for _, d := range s.documents {
			if d["id"] > r.URL.Query().Get("cursor") {
				after = append(after, d)
			}
		}
		reply(w, map[string]any{"items": after, "next_cursor": nil})
	}
}

func (s *store) add(name string) map[string]string {
	d := map[string]string{"id": fmt.Sprintf("%08d", len(s.documents)), "name": name}
	s.documents = append(s.documents, d)
	return d
}

func reply(w http.ResponseWriter, body any) { _ = json.NewEncoder(w).Encode(body) }

// run puts a load on the store until it has answered some requests; then, which may be nil, happens to it meanwhile.
func run(t *testing.T, s *store, meanwhile func()) (*load.Load, load.Report) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	l := load.New(load.Config{URL: server.URL, Tenant: "acme", Workers: 3, Rate: 1000})
	if err := l.Fill(t.Context(), 1<<20, func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all load.Report
	some := func() bool {
		r := l.Report()
		all.Took, all.Failed = append(all.Took, r.Took...), all.Failed+r.Failed
		return len(all.Took) > 50
	}
	testkit.WaitFor(t, 10*time.Second, "50 requests", some)
	if meanwhile != nil {
		meanwhile()
		all = load.Report{}
		testkit.WaitFor(t, 10*time.Second, "50 more", some)
	}
	l.Stop()
	return l, all
}

func TestALoadFindsWhatItHasWritten(t *testing.T) {
	l, report := run(t, &store{}, nil)
	if err := l.Check(t.Context()); err != nil || report.Failed > 0 || l.Written() == 0 {
		t.Errorf("%d of %d requests failed, %d documents: %v", report.Failed, len(report.Took), l.Written(), err)
	}
}

func TestALoadCountsWhatFails(t *testing.T) {
	s := &store{}
	_, report := run(t, s, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failing = true
	})
	if report.Failed < len(report.Took)/2 {
		t.Errorf("%d of %d requests failed against a store that refuses all", report.Failed, len(report.Took))
	}
}

func TestALoadNoticesWhatIsLostOrThereTwice(t *testing.T) {
	s := &store{}
	l, _ := run(t, s, nil)
	kept := s.documents
	for what, documents := range map[string][]map[string]string{
		"lost":  kept[:len(kept)-1],
		"twice": append(kept[:len(kept):len(kept)], kept[len(kept)-1]),
		"made":  append(kept[:len(kept):len(kept)], map[string]string{"id": "x"}),
	} {
		if s.documents = documents; l.Check(t.Context()) == nil {
			t.Errorf("a document is %s, and the load does not notice", what)
		}
	}
}
