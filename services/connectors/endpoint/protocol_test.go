package endpoint_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"tenure/services/connectors/endpoint"
)

// schemaOf is a schema of the protocol's.
func schemaOf(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON(endpoint.Protocol)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("openapi.json#/components/schemas/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// The service that others start from answers as the published protocol says.
func TestTheServiceSpeaksTheProtocol(t *testing.T) {
	s := newService(t)
	s.fill(t, "acme", 3)
	for _, call := range []struct{ method, path, schema string }{
		{http.MethodGet, "/tenants/acme/count", "Count"},
		{http.MethodGet, "/tenants/nobody/count", "Count"},
		{http.MethodGet, "/tenants/acme/rows?kind=documents&limit=2", "Line"},
		{http.MethodGet, "/tenants/acme/rows?kind=documents&limit=2&after=row-00001", "Line"},
		{http.MethodDelete, "/tenants/acme/data", "Erased"},
		{http.MethodDelete, "/tenants/acme/data?subject=ann", "Erased"},
	} {
		req, err := http.NewRequest(call.method, s.url+call.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v", call.path, resp.StatusCode, err)
		}
		schema := schemaOf(t, call.schema)
		for _, line := range bytes.Split(bytes.TrimSpace(body), []byte("\n")) {
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); err != nil {
				t.Errorf("%s answers %s: %v", call.path, line, err)
			}
		}
	}
}
