// Package datamap reads the file that lists the stores with tenants' data, and connects them.
package datamap

import (
	"context"
	_ "embed"
	"fmt"
	"os"

	"tenure/services/connectors"
	"tenure/shared/yamlfile"
)

// Schema is the JSON Schema of a data map, for editors and for Parse.
//
//go:embed datamap.schema.json
var Schema []byte

// Map is a parsed data map.
type Map struct {
	Stores []Store `yaml:"stores"`
}

// Store is one store; exactly one of its kinds is set. Each kind has a file here, and a $def of its name in the schema.
type Store struct {
	Name string `yaml:"name"`
	// Class is the data class that the retention policy knows the store by.
	Class      string      `yaml:"class"`
	Postgres   *Postgres   `yaml:"postgres"`
	S3         *S3         `yaml:"s3"`
	Weaviate   *Weaviate   `yaml:"weaviate"`
	Pinecone   *Pinecone   `yaml:"pinecone"`
	ClickHouse *ClickHouse `yaml:"clickhouse"`
	Endpoint   *Endpoint   `yaml:"endpoint"`
}

// kind is what each kind of store has: the way to its connector. Nothing is dialled.
type kind interface {
	open(ctx context.Context, s Store, env func(string) string) (connectors.Connector, error)
}

// kind is the one that is set; the schema sees to it that there is one.
func (s Store) kind() kind {
	switch {
	case s.Postgres != nil:
		return s.Postgres
	case s.S3 != nil:
		return s.S3
	case s.Weaviate != nil:
		return s.Weaviate
	case s.Pinecone != nil:
		return s.Pinecone
	case s.ClickHouse != nil:
		return s.ClickHouse
	case s.Endpoint != nil:
		return s.Endpoint
	}
	return nil
}

// Load reads a data map from a file.
func Load(path string) (Map, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return Map{}, fmt.Errorf("data map (TENURE_DATAMAP): %w", err)
	}
	m, err := Parse(file)
	if err != nil {
		return Map{}, fmt.Errorf("data map %s (TENURE_DATAMAP):\n%w", path, err)
	}
	return m, nil
}

// Parse reads a data map and holds it against the schema. A misspelt field fails: a table that is silently left out
// would survive its tenant's deletion. The error has one line for each thing that is wrong, with its line in the file.
func Parse(file []byte) (Map, error) {
	var m Map
	source, err := yamlfile.Decode(file, Schema, &m)
	if err != nil {
		return Map{}, err
	}
	seen := map[string]bool{}
	for i, s := range m.Stores {
		if seen[s.Name] {
			return Map{}, source.Errorf(fmt.Sprintf("stores[%d]", i), "another store is called %q, too", s.Name)
		}
		seen[s.Name] = true
	}
	return m, nil
}

// Stores are the connected stores of a map, in its order.
type Stores []connectors.Connector

// Open makes a connector for each store, with the addresses and secrets that env holds. Nothing is dialled yet: a
// store that is down fails when it is used.
func (m Map) Open(ctx context.Context, env func(string) string) (Stores, error) {
	var stores Stores
	for _, s := range m.Stores {
		if err := stores.add(ctx, s, env); err != nil {
			stores.Close()
			return nil, fmt.Errorf("data map: store %s: %w", s.Name, err)
		}
	}
	return stores, nil
}

func (s *Stores) add(ctx context.Context, store Store, env func(string) string) error {
	parts, err := store.byClass()
	if err != nil {
		return err
	}
	for _, part := range parts {
		c, err := part.kind().open(ctx, part, env)
		if err != nil {
			return err
		}
		*s = append(*s, c)
	}
	return nil
}

// Close ends the stores' connections.
func (s Stores) Close() {
	for _, c := range s {
		if c, ok := c.(interface{ Close() }); ok {
			c.Close()
		}
	}
}

// lookUp reads a variable that the map names.
func lookUp(env func(string) string, name string) (string, error) {
	if v := env(name); v != "" {
		return v, nil
	}
	return "", fmt.Errorf("the variable %s is not set", name)
}
