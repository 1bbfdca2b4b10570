package sample_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
)

const (
	isolationOperations = 10_000
	isolationWorkers    = 8
)

// visitor does random things as one tenant and knows everything that is its own.
type visitor struct {
	w        *world
	tenant   string
	stranger string // the other tenant

	mu        sync.Mutex
	documents map[string]bool // ids
	unknown   int             // seeded ones, whose ids nobody was told
}

// everything that a visitor writes has its tenant's mark, so that a foreign row shows whatever is in it.
func (v *visitor) mark() string { return "mark-of-" + v.tenant + "." }

// act does one thing and returns what came back of somebody else's, or "".
func (v *visitor) act(dice *rand.Rand) (leak string) {
	path := "/sample/" + v.tenant
	switch n := dice.IntN(100); {
	case n < 25:
		a := v.w.call("POST", path+"/documents", "", fmt.Sprintf(`{"name":"%s%d","content":"%s"}`, v.mark(), dice.IntN(500), v.mark()))
		v.own(a)
		return v.foreign(a)
	case n < 50:
		// Words that are the stranger's alone, nobody's or everybody's.
		q := []string{"mark-of-" + v.stranger + ".", "seed", "", "'", v.mark()}[dice.IntN(5)]
		return v.foreign(v.w.call("POST", path+"/query", "", fmt.Sprintf(`{"q":%q}`, q)))
	case n < 90:
		cursor := []string{"", "0", v.anyID(dice), "' OR true --"}[dice.IntN(4)]
		return v.foreign(v.w.call("GET", path+"/documents?limit=20&cursor="+url.QueryEscape(cursor), "", ""))
	case n < 99:
		return v.foreign(v.w.call("GET", path+"/usage", "", ""))
	default:
		v.mu.Lock()
		v.unknown += 2
		v.mu.Unlock()
		return v.foreign(v.w.call("POST", path+"/seed", "", `{"documents":2,"bytes_each":50,"vectors":2}`))
	}
}

func (v *visitor) own(a answer) {
	id, _ := a.body["id"].(string)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.documents[id] = true
}

func (v *visitor) anyID(dice *rand.Rand) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	skip := dice.IntN(len(v.documents) + 1)
	for id := range v.documents {
		if skip--; skip < 0 {
			return id
		}
	}
	return ""
}

// foreign looks for the stranger's mark in an answer, and for a status that hides one.
func (v *visitor) foreign(a answer) string {
	if text := fmt.Sprint(a.body); strings.Contains(text, "mark-of-"+v.stranger+".") || a.status >= 400 {
		return fmt.Sprintf("%s was answered %d: %.500s", v.tenant, a.status, text)
	}
	return ""
}

// mingle lets two tenants do random things side by side until one sees what is not its own, and returns that.
func mingle(w *world, operations int64) (leak string, visitors []*visitor) {
	for _, tenant := range [][2]string{{"acme", "other"}, {"other", "acme"}} {
		w.signUp(tenant[0], "enterprise")
		visitors = append(visitors, &visitor{w: w, tenant: tenant[0], stranger: tenant[1], documents: map[string]bool{}})
	}
	var left atomic.Int64
	left.Store(operations)
	var found sync.Once
	var workers errgroup.Group
	for i := range isolationWorkers {
		dice := rand.New(rand.NewPCG(20261122, uint64(i)))
		workers.Go(func() error {
			for left.Add(-1) >= 0 {
				if seen := visitors[dice.IntN(len(visitors))].act(dice); seen != "" {
					found.Do(func() { leak = seen })
					left.Store(0)
				}
			}
			return nil
		})
	}
	_ = workers.Wait() // they return nothing
	return leak, visitors
}

// 10,000 random operations of two tenants through every route, on the same tables and connections: nobody ever sees a row
// of the other, and afterwards each has its own, all of them.
func TestTwoTenantsSeeNothingOfEachOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leak, visitors := mingle(w, isolationOperations)
	if leak != "" {
		t.Fatal(leak)
	}
	for _, v := range visitors {
		var rows, strange int
		err := w.db.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE content LIKE '%mark-of-' || $2 || '.%')
			FROM documents WHERE tenant_id = $1`, v.tenant, v.stranger).Scan(&rows, &strange)
		if err != nil || rows != len(v.documents)+v.unknown || strange != 0 {
			t.Errorf("%s has %d rows, %d of them the other's; it wrote %d, %v", v.tenant, rows, strange, len(v.documents)+v.unknown, err)
		}
	}
}

// The same test must fail when row-level security is off: otherwise it would prove nothing.
func TestWithoutRowLevelSecurityTheyWould(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, table := range w.tables() {
		if _, err := w.db.Exec(t.Context(), `ALTER TABLE `+table+` DISABLE ROW LEVEL SECURITY`); err != nil {
			t.Fatal(err)
		}
	}
	if leak, _ := mingle(w, isolationOperations); leak == "" {
		t.Error("without row-level security nothing was seen: the test looks in the wrong places")
	}
}
