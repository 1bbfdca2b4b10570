// Package datamap reads the file that lists the stores with tenants' data, and connects them.
package datamap

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
	"tenure/services/connectors/s3"
)

// Schema is the JSON Schema of a data map, for editors and for Parse.
//
//go:embed datamap.schema.json
var Schema []byte

// Map is a parsed data map.
type Map struct {
	Stores []Store `yaml:"stores"`
}

// Store is one store; exactly one of Postgres and S3 is set.
type Store struct {
	Name     string    `yaml:"name"`
	Postgres *Postgres `yaml:"postgres"`
	S3       *S3       `yaml:"s3"`
}

// Postgres lists tables of one database.
type Postgres struct {
	URLEnv string  `yaml:"url_env"`
	Tables []Table `yaml:"tables"`
}

// Table is one table; see postgres.Table.
type Table struct {
	Table   string   `yaml:"table"`
	Tenant  string   `yaml:"tenant"`
	Key     []string `yaml:"key"`
	Kind    string   `yaml:"kind"`
	Columns []string `yaml:"columns"`
	Changed string   `yaml:"changed"`
}

// S3 is one prefix of a bucket; see s3.Config.
type S3 struct {
	BucketEnv string `yaml:"bucket_env"`
	Prefix    string `yaml:"prefix"`
	Kind      string `yaml:"kind"`
}

// Load reads a data map from a file.
func Load(path string) (Map, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return Map{}, fmt.Errorf("data map (TENURE_DATAMAP): %w", err)
	}
	m, err := Parse(file)
	if err != nil {
		return Map{}, fmt.Errorf("data map %s: %w", path, err)
	}
	return m, nil
}

// Parse reads a data map and holds it against the schema. A misspelt field fails: a table that is silently left out
// would survive its tenant's deletion.
func Parse(file []byte) (Map, error) {
	schema, err := compileSchema()
	if err != nil {
		return Map{}, err
	}
	asJSON, err := yaml.YAMLToJSON(file)
	if err != nil {
		return Map{}, err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		return Map{}, err
	}
	if err := schema.Validate(value); err != nil {
		return Map{}, err
	}
	var m Map
	if err := yaml.UnmarshalWithOptions(file, &m, yaml.Strict()); err != nil {
		return Map{}, err
	}
	seen := map[string]bool{}
	for _, s := range m.Stores {
		if seen[s.Name] {
			return Map{}, fmt.Errorf("two stores are called %q", s.Name)
		}
		seen[s.Name] = true
	}
	return m, nil
}

func compileSchema() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		return nil, fmt.Errorf("the data map's schema: %w", err)
	}
	const id = "datamap.schema.json"
	c := jsonschema.NewCompiler()
	if err := c.AddResource(id, doc); err != nil {
		return nil, fmt.Errorf("the data map's schema: %w", err)
	}
	return c.Compile(id)
}

// Stores are the connected stores of a map, in its order.
type Stores []connectors.Connector

// Open makes a connector for each store, with the addresses and secrets that env holds. Nothing is dialled yet: a
// store that is down fails when it is used.
func (m Map) Open(ctx context.Context, env func(string) string) (Stores, error) {
	var stores Stores
	for _, s := range m.Stores {
		c, err := s.open(ctx, env)
		if err != nil {
			stores.Close()
			return nil, fmt.Errorf("data map: store %s: %w", s.Name, err)
		}
		stores = append(stores, c)
	}
	return stores, nil
}

// Close ends the stores' connections.
func (s Stores) Close() {
	for _, c := range s {
		if c, ok := c.(interface{ Close() }); ok {
			c.Close()
		}
	}
}

func (s Store) open(ctx context.Context, env func(string) string) (connectors.Connector, error) {
	if s.Postgres != nil {
		url, err := lookUp(env, s.Postgres.URLEnv)
		if err != nil {
			return nil, err
		}
		tables := make([]postgres.Table, len(s.Postgres.Tables))
		for i, t := range s.Postgres.Tables {
			tables[i] = postgres.Table{Name: t.Table, Tenant: t.Tenant, Key: t.Key, Kind: t.Kind, Columns: t.Columns, Changed: t.Changed}
		}
		return postgres.Open(ctx, s.Name, url, tables)
	}
	bucket, err := lookUp(env, s.S3.BucketEnv)
	if err != nil {
		return nil, err
	}
	client, err := s3.NewClient(ctx, s3.SettingsFromEnv(env))
	if err != nil {
		return nil, err
	}
	return s3.New(s.Name, client, s3.Config{Bucket: bucket, Prefix: s.S3.Prefix, Kind: s.S3.Kind}), nil
}

func lookUp(env func(string) string, name string) (string, error) {
	if v := env(name); v != "" {
		return v, nil
	}
	return "", fmt.Errorf("the variable %s is not set", name)
}
