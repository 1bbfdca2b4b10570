package weaviate_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/go-openapi/strfmt"
	"github.com/weaviate/weaviate/entities/models"

	"tenure/services/connectors/s3"
	"tenure/services/connectors/s3/s3test"
	"tenure/services/connectors/weaviate"
	"tenure/services/connectors/weaviate/weaviatetest"
	"tenure/shared/testkit"
)

func (c collection) status(t *testing.T, tenant string) string {
	t.Helper()
	tenants, err := c.client.Schema().TenantsGetter().WithClassName(c.name).Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range tenants {
		if found.Name == tenant {
			return found.ActivityStatus
		}
	}
	return ""
}

func (c collection) setStatus(t *testing.T, tenant, status string) {
	t.Helper()
	err := c.client.Schema().TenantsUpdater().WithClassName(c.name).
		WithTenants(models.Tenant{Name: tenant, ActivityStatus: status}).Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
}

func TestAColdTenantIsActivated(t *testing.T) {
	c := newCollection(t, true)
	c.fill(t, "acme", 5)
	c.fill(t, "acm", 2)
	store := c.connect(t, server.URL)
	for name, use := range map[string]func(){
		"count": func() {
			if n, err := store.Count(t.Context(), acme); err != nil || n.Total() != 5 {
				t.Errorf("counted %v, %v", n, err)
			}
		},
		"read": func() {
			if got := read(t, store, time.Time{}); got.n != 5 {
				t.Errorf("read %d rows of 5", got.n)
			}
		},
	} {
		c.setStatus(t, "acme", models.TenantActivityStatusINACTIVE)
		use()
		if t.Failed() {
			t.Fatalf("after %s the tenant is %s", name, c.status(t, "acme"))
		}
	}
	c.setStatus(t, "acme", models.TenantActivityStatusINACTIVE)
	c.setStatus(t, "acm", models.TenantActivityStatusINACTIVE)
	eraseAll(t, store, 5)
	if status := c.status(t, "acme"); status != "" {
		t.Errorf("the tenant is still there, %s", status)
	}
	if status := c.status(t, "acm"); status != models.TenantActivityStatusCOLD {
		t.Errorf("another tenant was touched: it is %s", status)
	}
}

func TestRow(t *testing.T) {
	c := newCollection(t, true)
	name := c.name + "Named"
	vectors := map[string]models.VectorConfig{}
	for _, v := range []string{"title", "body"} {
		vectors[v] = models.VectorConfig{Vectorizer: map[string]any{"none": map[string]any{}}, VectorIndexType: "flat"}
	}
	err := c.client.Schema().ClassCreator().WithClass(&models.Class{
		Class: name, VectorConfig: vectors, MultiTenancyConfig: &models.MultiTenancyConfig{Enabled: true, AutoTenantCreation: true},
	}).Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := strfmt.UUID(idOf("acme", "a"))
	_, err = c.client.Batch().ObjectsBatcher().WithObjects(&models.Object{
		Class: name, ID: id, Tenant: "acme", Properties: map[string]any{"pages": 12, "tags": []string{"a", "b"}},
		Vectors: models.Vectors{"title": []float32{1, 0.5}, "body": []float32{0.1, 2, 3}},
	}).Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.fill(t, "acme", 1)
	store, err := weaviate.New("vectors", weaviate.Config{URL: server.URL + "/", Collections: []weaviate.Collection{
		{Name: name, Kind: "vectors"}, {Name: c.name},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, store, time.Time{})
	var row map[string]any
	if err := json.Unmarshal(got.last, &row); err != nil || got.n != 1 {
		t.Fatalf("%d rows, %v: %s", got.n, err, got.last)
	}
	want := map[string]any{
		"id": id.String(), "values": []any{}, "metadata": map[string]any{"pages": 12.0, "tags": []any{"a", "b"}},
		"vectors": map[string]any{"title": []any{1.0, 0.5}, "body": []any{0.1, 2.0, 3.0}},
	}
	if !reflect.DeepEqual(row, want) {
		t.Errorf("the row is %v, not %v", row, want)
	}
	eraseAll(t, store, 2) // what is not exported is erased all the same
}

func TestRowsSince(t *testing.T) {
	c := newCollection(t, true)
	c.fill(t, "acme", 3)
	store := c.connect(t, server.URL)
	if got := read(t, store, time.Now().Add(time.Minute)); got.n != 0 {
		t.Errorf("%d rows changed in a minute from now", got.n)
	}
	if got := read(t, store, time.Now().Add(-time.Minute)); got.n != 3 {
		t.Errorf("%d rows changed since a minute ago, not 3", got.n)
	}
	s, err := store.Snapshot(t.Context(), acme, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := s.Watermark()
	var until time.Time
	if err := until.UnmarshalText([]byte(w.Position[len("until "):])); err != nil || !w.TakenAt.Before(until) {
		t.Errorf("the watermark is from %v %s", w.TakenAt, w.Position)
	}
}

// A tenant whose files were moved to S3 comes back to be read, and leaves nothing there when it is erased.
func TestAnOffloadedTenant(t *testing.T) {
	objects, bucket := s3test.Bucket(t)
	settings := s3test.Settings(t)
	offloading, err := weaviatetest.Start(t.Context(),
		"ENABLE_MODULES=offload-s3", "OFFLOAD_S3_BUCKET="+bucket, "OFFLOAD_S3_ENDPOINT="+settings.Endpoint,
		"AWS_ACCESS_KEY_ID="+settings.AccessKey, "AWS_SECRET_ACCESS_KEY="+settings.SecretKey, "AWS_REGION="+settings.Region,
		"OFFLOAD_S3_BUCKET_AUTO_CREATE=false", "OFFLOAD_TIMEOUT=60")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(offloading.Stop)
	c := newCollectionOn(t, offloading, true)
	c.fill(t, "acme", 5)
	store := c.connect(t, offloading.URL)
	offload := func() {
		c.setStatus(t, "acme", models.TenantActivityStatusOFFLOADED)
		testkit.WaitFor(t, time.Minute, "the tenant is offloaded", func() bool { return c.status(t, "acme") == models.TenantActivityStatusFROZEN })
	}
	offload()
	if got := read(t, store, time.Time{}); got.n != 5 {
		t.Errorf("read %d rows of 5", got.n)
	}
	offload()
	eraseAll(t, store, 5)
	testkit.WaitFor(t, time.Minute, "nothing is left in the bucket", func() bool {
		left, err := s3.Bucket{Client: objects, Name: bucket}.Count(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		return left.Total() == 0
	})
}
