package datamap

import (
	"context"

	"tenure/services/connectors"
	"tenure/services/connectors/clickhouse"
)

// ClickHouse lists tables of one server.
type ClickHouse struct {
	URLEnv string            `yaml:"url_env"`
	Tables []ClickHouseTable `yaml:"tables"`
}

// ClickHouseTable is one table; see clickhouse.Table.
type ClickHouseTable struct {
	Table   string   `yaml:"table"`
	Tenant  string   `yaml:"tenant"`
	Subject string   `yaml:"subject"`
	Key     []string `yaml:"key"`
	Kind    string   `yaml:"kind"`
	Columns []string `yaml:"columns"`
	Changed string   `yaml:"changed"`
}

func (c *ClickHouse) open(_ context.Context, s Store, env func(string) string) (connectors.Connector, error) {
	url, err := lookUp(env, c.URLEnv)
	if err != nil {
		return nil, err
	}
	cfg := clickhouse.Config{URL: url, Class: s.Class}
	for _, t := range c.Tables {
		cfg.Tables = append(cfg.Tables, clickhouse.Table{
			Name: t.Table, Tenant: t.Tenant, Key: t.Key, Kind: t.Kind, Columns: t.Columns, Changed: t.Changed, Subject: t.Subject,
		})
	}
	return clickhouse.New(s.Name, cfg)
}
