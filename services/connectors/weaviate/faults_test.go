package weaviate_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weaviate/weaviate/entities/models"

	"tenure/services/connectors"
	"tenure/services/connectors/remote/remotetest"
	"tenure/services/connectors/weaviate"
	"tenure/shared/fault"
	"tenure/shared/testkit"
)

var acme = connectors.Tenant("acme")

func (c collection) fill(t *testing.T, tenant string, n int) {
	t.Helper()
	for i := range n {
		if err := c.putFor(t.Context(), tenant, "", fmt.Sprintf("row-%03d", i), "content"); err != nil {
			t.Fatal(err)
		}
	}
}

// rows is a sink that counts.
type rows struct {
	n    int
	last []byte
}

func (r *rows) Write(p []byte) (int, error) {
	r.last = append(r.last, p...)
	return len(p), nil
}

func (r *rows) EndRow() error {
	r.n++
	return nil
}

func read(t *testing.T, store connectors.Connector, since time.Time) rows {
	t.Helper()
	s, err := store.Snapshot(t.Context(), acme, since)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got rows
	if err := connectors.ReadKind(t.Context(), s, "vectors", &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// eraseAll takes a store through the end of a tenant.
func eraseAll(t *testing.T, store connectors.Connector, want int64) {
	t.Helper()
	if n, err := store.Erase(t.Context(), acme); err != nil || n.Total() != want {
		t.Errorf("erased %v of %d: %v", n, want, err)
	}
	if n, err := store.Verify(t.Context(), acme); err != nil || n.Total() != 0 {
		t.Errorf("left are %v: %v", n, err)
	}
}

func TestAServerThatFailsEveryFifthCall(t *testing.T) {
	for _, multi := range []bool{true, false} {
		c := newCollection(t, multi)
		c.fill(t, "acme", 120)
		store := c.connect(t, remotetest.Flaky(t, server.URL, 5))
		if got := read(t, store, time.Time{}); got.n != 120 {
			t.Errorf("read %d of 120 rows", got.n)
		}
		eraseAll(t, store, 120)
	}
}

func TestAServerThatIsGoneIsWaitedFor(t *testing.T) {
	c := newCollection(t, true)
	c.fill(t, "acme", 3)
	proxy, through := testkit.ProxyURL(t, server.URL)
	store := c.connect(t, through)
	proxy.Down()
	_, err := store.Verify(t.Context(), acme)
	if _, wait := fault.Delay(err); !wait {
		t.Errorf("Verify answers %v, which does not say to wait", err)
	}
	proxy.Up()
	eraseAll(t, store, 3)
}

// answering is the server, but for a part of its API that answers with a status.
func answering(t *testing.T, status int, part string) string {
	t.Helper()
	to, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, part) {
			w.WriteHeader(status)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// A key that was withdrawn must not pass for a tenant that is gone.
func TestARefusalIsNotNothing(t *testing.T) {
	c := newCollection(t, true)
	c.fill(t, "acme", 3)
	for _, part := range []string{"/meta", "/schema/", "/tenants/", "/graphql"} {
		store := c.connect(t, answering(t, http.StatusUnauthorized, part))
		if n, err := store.Verify(t.Context(), acme); err == nil {
			t.Errorf("with %s refused, Verify answers %v", part, n)
		}
		if n, err := store.Erase(t.Context(), acme); err == nil {
			t.Errorf("with %s refused, Erase answers %v", part, n)
		}
	}
}

func TestACollectionThatIsNotAsTheDataMapSays(t *testing.T) {
	shared, multi := newCollection(t, false), newCollection(t, true)
	shared.fill(t, "acme", 1)
	multi.fill(t, "acme", 1)
	for name, c := range map[string]weaviate.Collection{
		"no collection":                    {Name: "Nowhere"},
		"no property with the tenant":      {Name: shared.name},
		"a property beside multi-tenancy":  {Name: multi.name, Tenant: "tenant_id"},
		"a property that is not there":     {Name: shared.name, Tenant: "tennant_id"},
		"a property that is cut in words":  {Name: words(t), Tenant: "tenant_id"},
		"a person's that is not there":     {Name: multi.name, Subject: "persona"},
		"a person's that is cut in words":  {Name: words(t), Tenant: "content", Subject: "tenant_id"},
		"a collection of another's letter": {Name: strings.ToLower(shared.name), Tenant: "tenant_id"},
	} {
		store, err := weaviate.New("vectors", weaviate.Config{URL: server.URL, Collections: []weaviate.Collection{c}})
		if err != nil {
			t.Fatal(err)
		}
		of := acme
		if c.Subject != "" {
			of.Subject = "ann"
		}
		if n, err := store.Verify(t.Context(), of); err == nil {
			t.Errorf("%s: Verify answers %v", name, n)
		}
	}
}

// words is a collection whose tenant_id has Weaviate's default tokenization.
func words(t *testing.T) string {
	t.Helper()
	c := newCollection(t, false)
	name := "Words" + c.name
	err := c.client.Schema().ClassCreator().WithClass(&models.Class{
		Class: name, Vectorizer: "none", Properties: []*models.Property{
			{Name: "tenant_id", DataType: []string{"text"}},
			{Name: "content", DataType: []string{"text"}, Tokenization: models.PropertyTokenizationField},
		},
	}).Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAnAddressThatIsNone(t *testing.T) {
	for _, at := range []string{"", "weaviate:8080", "ftp://host", "https://host/path", "http://"} {
		if _, err := weaviate.New("vectors", weaviate.Config{URL: at}); err == nil {
			t.Errorf("%q is taken", at)
		}
	}
}
