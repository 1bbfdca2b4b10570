package datamap

import (
	"context"

	"tenure/services/connectors"
	"tenure/services/connectors/weaviate"
)

// Weaviate lists collections of one cluster.
type Weaviate struct {
	URLEnv string `yaml:"url_env"`
	// APIKeyEnv is left out for a cluster that lets everybody in.
	APIKeyEnv   string       `yaml:"api_key_env"`
	Collections []Collection `yaml:"collections"`
}

// Collection is one collection; see weaviate.Collection.
type Collection struct {
	Collection string `yaml:"collection"`
	Tenant     string `yaml:"tenant"`
	Subject    string `yaml:"subject"`
	Kind       string `yaml:"kind"`
}

func (w *Weaviate) open(_ context.Context, s Store, env func(string) string) (connectors.Connector, error) {
	url, err := lookUp(env, w.URLEnv)
	if err != nil {
		return nil, err
	}
	cfg := weaviate.Config{URL: url, Class: s.Class}
	if w.APIKeyEnv != "" {
		if cfg.APIKey, err = lookUp(env, w.APIKeyEnv); err != nil {
			return nil, err
		}
	}
	for _, c := range w.Collections {
		cfg.Collections = append(cfg.Collections, weaviate.Collection{Name: c.Collection, Kind: c.Kind, Tenant: c.Tenant, Subject: c.Subject})
	}
	return weaviate.New(s.Name, cfg)
}
