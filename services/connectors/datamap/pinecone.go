package datamap

import (
	"context"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/pinecone"
)

// Pinecone is one index; see pinecone.Config.
type Pinecone struct {
	HostEnv   string        `yaml:"host_env"`
	APIKeyEnv string        `yaml:"api_key_env"`
	Namespace string        `yaml:"namespace"`
	Subject   string        `yaml:"subject"`
	Kind      string        `yaml:"kind"`
	Settles   time.Duration `yaml:"settles"`
}

func (p *Pinecone) open(_ context.Context, s Store, env func(string) string) (connectors.Connector, error) {
	host, err := lookUp(env, p.HostEnv)
	if err != nil {
		return nil, err
	}
	key, err := lookUp(env, p.APIKeyEnv)
	if err != nil {
		return nil, err
	}
	return pinecone.New(s.Name, pinecone.Config{
		Host: host, APIKey: key, Namespace: p.Namespace, Kind: p.Kind, Subject: p.Subject, Settles: p.Settles, Class: s.Class,
	})
}
