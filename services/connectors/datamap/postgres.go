package datamap

import (
	"context"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
)

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

func (p *Postgres) open(ctx context.Context, s Store, env func(string) string) (connectors.Connector, error) {
	url, err := lookUp(env, p.URLEnv)
	if err != nil {
		return nil, err
	}
	cfg := postgres.Config{URL: url, Class: s.Class}
	for _, t := range p.Tables {
		cfg.Tables = append(cfg.Tables, postgres.Table{
			Name: t.Table, Tenant: t.Tenant, Key: t.Key, Kind: t.Kind, Columns: t.Columns, Changed: t.Changed,
		})
	}
	return postgres.Open(ctx, s.Name, cfg)
}
