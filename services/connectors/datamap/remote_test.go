package datamap_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/datamap"
)

// Stores behind an API are opened without asking them anything.
func TestRemoteStores(t *testing.T) {
	m, err := datamap.Load("testdata/remote.yaml")
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"WEAVIATE_URL": "http://127.0.0.1:1", "WEAVIATE_API_KEY": "k", "PINECONE_HOST": "http://127.0.0.1:1", "PINECONE_API_KEY": "k",
		"CLICKHOUSE_URL": "http://u:p@127.0.0.1:1/", "CRM_URL": "http://127.0.0.1:1/tenure", "CRM_TOKEN": "k",
	}
	stores, err := m.Open(t.Context(), func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	defer stores.Close()
	want := []connectors.Traits{
		{
			Kind: "weaviate", Settles: 30 * time.Second, Subjects: true,
			Targets: []string{"tenant {tenant} of collection Document", "collection Question"},
		},
		{Kind: "pinecone", Settles: 2 * time.Minute, Subjects: true, Targets: []string{"namespace tenant-{tenant}"}},
		{Kind: "clickhouse", Class: "usage-records", Subjects: true, Targets: []string{"table analytics.usage", "table analytics.clicks"}},
		{Kind: "endpoint", Settles: 30 * time.Second, Subjects: true, Targets: []string{"data of {tenant} at http://127.0.0.1:1/tenure"}},
	}
	for i, store := range stores {
		if got := store.Traits(); !reflect.DeepEqual(got, want[i]) {
			t.Errorf("%s is %+v, not %+v", store.Name(), got, want[i])
		}
	}
	for name := range env {
		_, err := m.Open(t.Context(), func(asked string) string {
			if asked == name {
				return ""
			}
			return env[asked]
		})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestRefusesRemoteStores(t *testing.T) {
	for name, store := range map[string]string{
		"a collection with a lower letter": `weaviate: {url_env: U, collections: [{collection: document}]}`,
		"a collection that is a statement": `weaviate: {url_env: U, collections: [{collection: "A){x}"}]}`,
		"a property that is a statement":   `weaviate: {url_env: U, collections: [{collection: A, tenant: "x\"]"}]}`,
		"no collections":                   `weaviate: {url_env: U, collections: []}`,
		"objects that are documents":       `weaviate: {url_env: U, collections: [{collection: A, kind: documents}]}`,
		"a namespace that tenants share":   `pinecone: {host_env: H, api_key_env: K, namespace: all}`,
		"a key in place of its variable":   `pinecone: {host_env: H, api_key_env: pcsk_x, namespace: "{tenant}"}`,
		"a time that is none":              `pinecone: {host_env: H, api_key_env: K, namespace: "{tenant}", settles: soon}`,
		"a number that may be anything":    `pinecone: {host_env: H, api_key_env: K, namespace: "{tenant}", settles: 60}`,
		"a table without a tenant":         `clickhouse: {url_env: U, tables: [{table: t}]}`,
		"a kind without a key":             `clickhouse: {url_env: U, tables: [{table: t, tenant: x, kind: usage, columns: [a]}]}`,
		"an endpoint without a token":      `endpoint: {url_env: U}`,
		"an endpoint of an unknown kind":   `endpoint: {url_env: U, token_env: T, kinds: [people]}`,
		"an endpoint and a table":          `endpoint: {url_env: U, token_env: T}, s3: {bucket_env: B, prefix: "{tenant}/"}`,
	} {
		if _, err := datamap.Parse([]byte("stores: [{name: a, " + store + "}]")); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := datamap.Parse([]byte(`stores: [{name: a, endpoint: {url_env: U, token_env: T}}]`)); err != nil {
		t.Error(err)
	}
}
