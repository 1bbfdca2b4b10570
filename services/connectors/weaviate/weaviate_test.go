package weaviate_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/google/uuid"
	client "github.com/weaviate/weaviate-go-client/v5/weaviate"
	"github.com/weaviate/weaviate/entities/models"

	"tenure/services/connectors"
	"tenure/services/connectors/conformance"
	"tenure/services/connectors/weaviate"
	"tenure/services/connectors/weaviate/weaviatetest"
)

var server *weaviatetest.Server

// TestMain starts one server for all tests; each has a collection of its own.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if server, err = weaviatetest.Start(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer server.Stop()
		return m.Run()
	}())
}

// collection is a collection of the test's and the SaaS's way to it.
type collection struct {
	name   string
	multi  bool
	client *client.Client
}

func newCollection(t *testing.T, multi bool) collection {
	t.Helper()
	return newCollectionOn(t, server, multi)
}

func newCollectionOn(t *testing.T, server *weaviatetest.Server, multi bool) collection {
	t.Helper()
	c, err := client.NewClient(client.Config{Scheme: "http", Host: strings.TrimPrefix(server.URL, "http://")})
	if err != nil {
		t.Fatal(err)
	}
	text := func(name string) *models.Property {
		return &models.Property{Name: name, DataType: []string{"text"}, Tokenization: models.PropertyTokenizationField}
	}
	made := collection{"Test" + rand.Text(), multi, c}
	err = c.Schema().ClassCreator().WithClass(&models.Class{
		Class: made.name, Vectorizer: "none",
		MultiTenancyConfig: &models.MultiTenancyConfig{Enabled: multi},
		Properties:         []*models.Property{text("tenant_id"), text("person"), text("content")},
	}).Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (c collection) config() weaviate.Collection {
	cfg := weaviate.Collection{Name: c.name, Kind: "vectors", Subject: "person"}
	if !c.multi {
		cfg.Tenant = "tenant_id"
	}
	return cfg
}

func (c collection) connect(t *testing.T, url string) *weaviate.Store {
	t.Helper()
	store, err := weaviate.New("vectors", weaviate.Config{URL: url, Collections: []weaviate.Collection{c.config()}})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// idOf is the object's id for a short name.
func idOf(tenant, name string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(tenant+"/"+name)).String()
}

func (c collection) putFor(ctx context.Context, tenant, person, name, content string) error {
	object := &models.Object{
		Class: c.name, ID: strfmt.UUID(idOf(tenant, name)), Vector: []float32{0.5, 0.25, float32(len(content))},
		Properties: map[string]any{"tenant_id": tenant, "person": person, "content": content},
	}
	if c.multi {
		object.Tenant = tenant
		if err := c.client.Schema().TenantsCreator().WithClassName(c.name).WithTenants(models.Tenant{Name: tenant}).Do(ctx); err != nil {
			return err
		}
	}
	answers, err := c.client.Batch().ObjectsBatcher().WithObjects(object).Do(ctx)
	if err != nil {
		return err
	}
	if failed := answers[0].Result.Errors; failed != nil {
		return errors.New(failed.Error[0].Message)
	}
	return nil
}

// named is a store whose rows have the names that the suite gave them in place of Weaviate's ids.
type named struct {
	connectors.Connector
	names *sync.Map
}

func (n named) Snapshot(ctx context.Context, of connectors.Scope, since time.Time) (connectors.Snapshot, error) {
	s, err := n.Connector.Snapshot(ctx, of, since)
	if err != nil {
		return nil, err
	}
	return namedSnapshot{s, n.names}, nil
}

type namedSnapshot struct {
	connectors.Snapshot
	names *sync.Map
}

func (n namedSnapshot) Read(ctx context.Context, r connectors.Range, to connectors.Sink) error {
	return n.Snapshot.Read(ctx, r, &renaming{to, n.names})
}

type renaming struct {
	connectors.Sink
	names *sync.Map
}

func (r *renaming) Write(row []byte) (int, error) {
	const start, length = len(`{"id":"`), 36
	name, ok := r.names.Load(string(row[start : start+length]))
	if !ok {
		return 0, fmt.Errorf("%s has the id of no row that was put", row)
	}
	renamed := string(row[:start]) + name.(string) + string(row[start+length:])
	_, err := r.Sink.Write([]byte(renamed))
	return len(row), err
}

func (c collection) fixture(t *testing.T, store connectors.Connector, many int) conformance.Fixture {
	names := new(sync.Map)
	putFor := func(ctx context.Context, tenant, person, name, content string) error {
		names.Store(idOf(tenant, name), name)
		return c.putFor(ctx, tenant, person, name, content)
	}
	return conformance.Fixture{
		Connector: named{store, names}, Kind: "vectors", Many: many,
		Put: func(ctx context.Context, tenant, name, content string) error {
			return putFor(ctx, tenant, "", name, content)
		},
		PutFor: putFor,
		Delete: func(ctx context.Context, tenant, name string) error {
			deleter := c.client.Data().Deleter().WithClassName(c.name).WithID(idOf(tenant, name))
			if c.multi {
				deleter = deleter.WithTenant(tenant)
			}
			return deleter.Do(ctx)
		},
	}
}

func TestConformance(t *testing.T) {
	t.Run("multi-tenancy", func(t *testing.T) {
		conformance.Run(t, func(t *testing.T) conformance.Fixture {
			c := newCollection(t, true)
			return c.fixture(t, c.connect(t, server.URL), 250)
		})
	})
	t.Run("a property names the tenant", func(t *testing.T) {
		conformance.Run(t, func(t *testing.T) conformance.Fixture {
			c := newCollection(t, false)
			return c.fixture(t, weaviate.WithPage(c.connect(t, server.URL), 30), 250)
		})
	})
}
