package datamap

import (
	"context"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/endpoint"
)

// Endpoint is a system that answers package endpoint's calls; see endpoint.Config.
type Endpoint struct {
	URLEnv   string        `yaml:"url_env"`
	TokenEnv string        `yaml:"token_env"`
	Kinds    []string      `yaml:"kinds"`
	Subjects bool          `yaml:"subjects"`
	Settles  time.Duration `yaml:"settles"`
}

func (e *Endpoint) open(_ context.Context, s Store, env func(string) string) (connectors.Connector, error) {
	url, err := lookUp(env, e.URLEnv)
	if err != nil {
		return nil, err
	}
	token, err := lookUp(env, e.TokenEnv)
	if err != nil {
		return nil, err
	}
	return endpoint.New(s.Name, endpoint.Config{
		URL: url, Token: token, Kinds: e.Kinds, Subjects: e.Subjects, Settles: e.Settles, Class: s.Class,
	})
}
