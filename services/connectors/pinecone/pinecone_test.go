package pinecone_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	client "github.com/pinecone-io/go-pinecone/v5/pinecone"
	"google.golang.org/grpc/codes"

	"tenure/services/connectors"
	"tenure/services/connectors/conformance"
	"tenure/services/connectors/pinecone"
	"tenure/services/connectors/pinecone/pineconetest"
	"tenure/shared/fault"
	"tenure/shared/testkit"
)

var acme = connectors.Tenant("acme")

// index is an index and the SaaS's way to it.
type index struct {
	*pineconetest.Index
	saas *client.IndexConnection
}

func newIndex(t *testing.T) index {
	t.Helper()
	made := pineconetest.Start(t)
	api, err := client.NewClient(client.NewClientParams{ApiKey: pineconetest.APIKey})
	if err != nil {
		t.Fatal(err)
	}
	saas, err := api.Index(client.NewIndexConnParams{Host: made.Host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { saas.Close() })
	return index{made, saas}
}

func (i index) connect(t *testing.T, change func(*pinecone.Config)) *pinecone.Store {
	t.Helper()
	cfg := pinecone.Config{Host: i.Host, APIKey: pineconetest.APIKey, Namespace: "tenant-{tenant}", Kind: "vectors", Subject: "person"}
	if change != nil {
		change(&cfg)
	}
	store, err := pinecone.New("vectors", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

func (i index) upsert(ctx context.Context, tenant string, v *client.Vector) error {
	_, err := i.saas.WithNamespace("tenant-"+tenant).UpsertVectors(ctx, []*client.Vector{v})
	return err
}

func (i index) putFor(ctx context.Context, tenant, person, id, content string) error {
	metadata, err := client.NewMetadata(map[string]any{"person": person, "content": content})
	if err != nil {
		return err
	}
	return i.upsert(ctx, tenant, &client.Vector{Id: id, Values: &[]float32{1, 0.5, 0.1}, Metadata: metadata})
}

func (i index) fill(t *testing.T, tenant string, n int) {
	t.Helper()
	for k := range n {
		if err := i.putFor(t.Context(), tenant, "", fmt.Sprintf("row-%04d", k), "content"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) conformance.Fixture {
		i := newIndex(t)
		return conformance.Fixture{
			Connector: i.connect(t, nil), Kind: "vectors", Many: 250, PutFor: i.putFor,
			Put: func(ctx context.Context, tenant, id, content string) error {
				return i.putFor(ctx, tenant, "", id, content)
			},
			Delete: func(ctx context.Context, tenant, id string) error {
				return i.saas.WithNamespace("tenant-"+tenant).DeleteVectorsById(ctx, []string{id})
			},
		}
	})
}

// rows is a sink that keeps everything.
type rows struct{ list []string }

func (r *rows) Write(p []byte) (int, error) {
	r.list = append(r.list, string(p))
	return len(p), nil
}

func (*rows) EndRow() error { return nil }

func read(t *testing.T, store connectors.Connector) []string {
	t.Helper()
	s, err := store.Snapshot(t.Context(), acme, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got rows
	if err := connectors.ReadKind(t.Context(), s, "vectors", &got); err != nil {
		t.Fatal(err)
	}
	return got.list
}

func TestRow(t *testing.T) {
	i := newIndex(t)
	metadata, err := client.NewMetadata(map[string]any{"pages": 12, "tags": []any{"a"}, "ok": true})
	if err != nil {
		t.Fatal(err)
	}
	err = i.upsert(t.Context(), "acme", &client.Vector{
		Id: "a/b c", Values: &[]float32{1, 0.5, 0.1}, Metadata: metadata,
		SparseValues: &client.SparseValues{Indices: []uint32{3, 7}, Values: []float32{0.25, 2}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var row map[string]any
	if err := json.Unmarshal([]byte(read(t, i.connect(t, nil))[0]), &row); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": "a/b c", "values": []any{1.0, 0.5, 0.1},
		"sparse_values": map[string]any{"indices": []any{3.0, 7.0}, "values": []any{0.25, 2.0}},
		"metadata":      map[string]any{"pages": 12.0, "tags": []any{"a"}, "ok": true},
	}
	if !reflect.DeepEqual(row, want) {
		t.Errorf("the row is %v, not %v", row, want)
	}
}

// An erasure is not seen at once: Verify must not take the lag for an end, nor an end for a lag.
func TestReadsThatLag(t *testing.T) {
	i := newIndex(t)
	i.fill(t, "acme", 120)
	i.fill(t, "acm", 1)
	store := i.connect(t, nil)
	if s := store.Traits().Settles; s != time.Minute {
		t.Errorf("settles in %v", s)
	}
	i.Lag()
	if n, err := store.Erase(t.Context(), acme); err != nil || n.Total() != 120 {
		t.Errorf("erased %v, %v", n, err)
	}
	if n, err := store.Verify(t.Context(), acme); err != nil || n.Total() != 120 {
		t.Errorf("before it settled %v are left, %v", n, err)
	}
	if _, err := store.Erase(t.Context(), acme); err != nil {
		t.Errorf("erased again: %v", err)
	}
	i.Settle()
	if n, err := store.Verify(t.Context(), acme); err != nil || n.Total() != 0 {
		t.Errorf("left are %v, %v", n, err)
	}
	if names := i.Names(); !slices.Equal(names, []string{"tenant-acm"}) {
		t.Errorf("the namespaces left are %v", names)
	}
}

func TestAnIndexThatFailsEveryFifthCall(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.ResourceExhausted, codes.Internal} {
		i := newIndex(t)
		i.fill(t, "acme", 1000)
		i.FailEvery(5, code, time.Second)
		store := i.connect(t, nil)
		if got := read(t, store); len(got) != 1000 {
			t.Errorf("%v: read %d of 1000 rows", code, len(got))
		}
		if n, err := store.Erase(t.Context(), acme); err != nil || n.Total() != 1000 {
			t.Errorf("%v: erased %v, %v", code, n, err)
		}
		if n, err := store.Verify(t.Context(), acme); err != nil || n.Total() != 0 {
			t.Errorf("%v: left are %v, %v", code, n, err)
		}
	}
}

func TestAnIndexThatFailsIsWaitedFor(t *testing.T) {
	i := newIndex(t)
	i.FailEvery(1, codes.ResourceExhausted, 90*time.Second)
	_, err := i.connect(t, nil).Count(t.Context(), acme)
	if delay, wait := fault.Delay(err); !wait || delay != 90*time.Second {
		t.Errorf("Count answers %v, to be asked again in %v", err, delay)
	}
}

func TestAnIndexThatIsGoneIsWaitedFor(t *testing.T) {
	i := newIndex(t)
	i.fill(t, "acme", 3)
	proxy, through := testkit.ProxyURL(t, i.Host)
	store := i.connect(t, func(c *pinecone.Config) { c.Host = through })
	proxy.Down()
	_, err := store.Verify(t.Context(), acme)
	if _, wait := fault.Delay(err); !wait {
		t.Errorf("Verify answers %v, which does not say to wait", err)
	}
	proxy.Up()
	testkit.WaitFor(t, 30*time.Second, "the index is found again", func() bool {
		n, err := store.Erase(t.Context(), acme)
		if _, wait := fault.Delay(err); err != nil && !wait {
			t.Fatal(err)
		}
		return n.Total() == 3
	})
}

func TestARefusalIsNotNothing(t *testing.T) {
	i := newIndex(t)
	i.fill(t, "acme", 3)
	store := i.connect(t, func(c *pinecone.Config) { c.APIKey = "withdrawn" })
	if n, err := store.Verify(t.Context(), acme); err == nil {
		t.Errorf("Verify answers %v", n)
	}
	n, err := store.Erase(t.Context(), connectors.Scope{Tenant: "acme", Subject: "ann"})
	if _, wait := fault.Delay(err); err == nil || wait {
		t.Errorf("Erase answers %v, %v", n, err)
	}
}

func TestSettingsThatAreNone(t *testing.T) {
	for name, cfg := range map[string]pinecone.Config{
		"no address":         {APIKey: "k", Namespace: "{tenant}"},
		"no scheme":          {Host: "index.pinecone.io", APIKey: "k", Namespace: "{tenant}"},
		"no key":             {Host: "https://index.pinecone.io", Namespace: "{tenant}"},
		"a shared namespace": {Host: "https://index.pinecone.io", APIKey: "k", Namespace: "all"},
	} {
		if _, err := pinecone.New("vectors", cfg); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
