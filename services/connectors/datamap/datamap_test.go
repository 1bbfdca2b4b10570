package datamap_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"tenure/services/connectors/datamap"
)

const example = "testdata/example.yaml"

func TestExample(t *testing.T) {
	m, err := datamap.Load(example)
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"APP_DATABASE_URL": "postgres://127.0.0.1:1/nowhere",
		"APP_BUCKET":       "app",
		"AWS_ENDPOINT_URL": "http://127.0.0.1:1",
		"AWS_REGION":       "us-east-1",
	}
	stores, err := m.Open(t.Context(), func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	defer stores.Close()
	var names []string
	for _, s := range stores {
		names = append(names, s.Name())
	}
	if got := strings.Join(names, " "); got != "app files" {
		t.Errorf("stores are %q", got)
	}
}

func TestOpenNamesTheMissingVariable(t *testing.T) {
	m, err := datamap.Load(example)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Open(t.Context(), func(string) string { return "" })
	if err == nil || !strings.Contains(err.Error(), "APP_DATABASE_URL") {
		t.Errorf("error is %v", err)
	}
}

func TestRefuses(t *testing.T) {
	const table = `stores: [{name: a, postgres: {url_env: URL, tables: [{table: t, tenant: tenant_id, key: [id]`
	for name, file := range map[string]string{
		"nothing":                     ``,
		"no stores":                   `stores: 3`,
		"no YAML":                     `stores: [`,
		"an unknown field":            `{stores: [], extra: 1}`,
		"a store of no kind":          `stores: [{name: a}]`,
		"a store of two kinds":        table + `}]}, s3: {bucket_env: B, prefix: "{tenant}/"}}]`,
		"a misspelt column":           table + `, tennant: x}]}}]`,
		"a kind without columns":      table + `, kind: documents}]}}]`,
		"an unknown kind":             table + `, kind: "../../x", columns: [id]}]}}]`,
		"no key":                      `stores: [{name: a, postgres: {url_env: URL, tables: [{table: t, tenant: tenant_id}]}}]`,
		"a name that is a path":       `stores: [{name: ../a, s3: {bucket_env: B, prefix: "{tenant}/"}}]`,
		"a prefix without a tenant":   `stores: [{name: a, s3: {bucket_env: B, prefix: "x/"}}]`,
		"a prefix that others share":  `stores: [{name: a, s3: {bucket_env: B, prefix: "x/{tenant}"}}]`,
		"a prefix that others end in": `stores: [{name: a, s3: {bucket_env: B, prefix: "x-{tenant}/"}}]`,
		"a secret in place of a name": `stores: [{name: a, s3: {bucket_env: "s3://key:secret", prefix: "{tenant}/"}}]`,
		"a tenant and a join":         table + `, join: {table: u, on: {a: b}}}]}}]`,
		"a join on nothing":           `stores: [{name: a, postgres: {url_env: URL, tables: [{table: t, key: [id], join: {table: u, on: {}}}]}}]`,
		"a class that is a path":      table + `, class: ../a}]}}]`,
		"two stores of one name":      `stores: [{name: a, s3: {bucket_env: B, prefix: "{tenant}/"}}, {name: a, s3: {bucket_env: B, prefix: "{tenant}/"}}]`,
	} {
		if _, err := datamap.Parse([]byte(file)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	misspelt := "stores:\n  - name: a\n    postgres:\n      url_env: URL\n      tables:\n        - {table: t, key: [id], tennant: x}\n"
	if _, err := datamap.Parse([]byte(misspelt)); err == nil || !strings.Contains(err.Error(), "line 6: stores[0].postgres.tables[0]: additional properties 'tennant'") {
		t.Errorf("the misspelt word is not told with its line: %v", err)
	}
	if _, err := datamap.Parse([]byte(table + `}]}}]`)); err != nil {
		t.Errorf("the table that the others spoil is refused itself: %v", err)
	}
}

func open(t *testing.T, file string) (datamap.Stores, error) {
	t.Helper()
	m, err := datamap.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	stores, err := m.Open(t.Context(), func(string) string { return "postgres://127.0.0.1:1/nowhere" })
	t.Cleanup(stores.Close)
	return stores, err
}

// TestTheExampleForDeployments has a table of a class of its own, which is a store to the retention policy.
func TestTheExampleForDeployments(t *testing.T) {
	file, err := os.ReadFile("../../../deploy/datamap.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	stores, err := open(t, string(file))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range stores {
		traits := s.Traits()
		got = append(got, fmt.Sprintf("%s (%s, class %q, persons: %v, %d targets)", s.Name(), traits.Kind, traits.Class, traits.Subjects, len(traits.Targets)))
	}
	want := []string{
		`app (postgres, class "", persons: true, 4 targets)`, `app/accounting (postgres, class "accounting", persons: false, 1 targets)`,
		`files (s3, class "", persons: false, 1 targets)`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("stores are %q", got)
	}
}

func TestOpenRefusesJoinsThatLeadNowhere(t *testing.T) {
	const parent, child = `{table: orders, tenant: t, key: [id]`, `{table: lines, key: [id], join: {table: orders, on: {order: id}}`
	for name, tables := range map[string]string{
		"a parent that is not listed":      child + `}`,
		"a parent before its child":        parent + `}, ` + child + `}`,
		"a class that is not the parent's": child + `, class: kept}, ` + parent + `}`,
	} {
		if _, err := open(t, `stores: [{name: a, postgres: {url_env: URL, tables: [`+tables+`]}}]`); err == nil || !strings.Contains(err.Error(), "lines") {
			t.Errorf("%s: %v", name, err)
		}
	}
	stores, err := open(t, `stores: [{name: a, class: x, postgres: {url_env: URL, tables: [`+child+`}, `+parent+`, class: kept}]}}]`)
	if err != nil || len(stores) != 1 || stores[0].Name() != "a/kept" || stores[0].Traits().Class != "kept" {
		t.Errorf("a child is not of its parent's class: %v, %v", stores, err)
	}
}
