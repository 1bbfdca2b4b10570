package datamap

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"tenure/services/connectors"
	"tenure/services/connectors/postgres"
)

// Postgres lists tables of one database.
type Postgres struct {
	URLEnv string  `yaml:"url_env"`
	Tables []Table `yaml:"tables"`
	// Except are tables that `tenure datamap check` passes over: "schema.table" or "schema.*".
	Except []string `yaml:"except"`
}

// Table is one table; see postgres.Table.
type Table struct {
	Table         string   `yaml:"table"`
	Tenant        string   `yaml:"tenant"`
	Join          *Join    `yaml:"join"`
	Subject       string   `yaml:"subject"`
	Class         string   `yaml:"class"`
	Key           []string `yaml:"key"`
	Kind          string   `yaml:"kind"`
	Columns       []string `yaml:"columns"`
	References    []string `yaml:"references"`
	Changed       string   `yaml:"changed"`
	DropPartition bool     `yaml:"drop_partition"`
}

// Join leads from a table to the one with the tenant column; see postgres.Join.
type Join struct {
	Table string            `yaml:"table"`
	On    map[string]string `yaml:"on"`
}

// byClass cuts a store whose tables are of several data classes into one for each: what is kept for longer than the
// tenant is a store of its own to the retention policy. A joined table is of its parent's class: without the parent
// nobody could tell whose its rows are.
func (s Store) byClass() ([]Store, error) {
	if s.Postgres == nil {
		return []Store{s}, nil
	}
	classes := map[string]string{} // by table
	var parts []Store
	for _, t := range slices.Backward(s.Postgres.Tables) {
		class := cmp.Or(t.Class, s.Class)
		if t.Join != nil {
			class = classes[t.Join.Table]
			if t.Class != "" && t.Class != class {
				return nil, fmt.Errorf("table %s is of the class %q, but belongs to %s of the class %q", t.Table, t.Class, t.Join.Table, class)
			}
		}
		classes[t.Table] = class
		at := slices.IndexFunc(parts, func(p Store) bool { return p.Class == class })
		if at < 0 {
			at = len(parts)
			parts = append(parts, s.part(class))
		}
		parts[at].Postgres.Tables = slices.Insert(parts[at].Postgres.Tables, 0, t)
	}
	slices.Reverse(parts)
	return parts, nil
}

// part is the store's part of a class, without its tables yet. No name in a data map has a slash.
func (s Store) part(class string) Store {
	part := s
	if class != s.Class {
		part.Name, part.Class = s.Name+"/"+class, class
	}
	part.Postgres = &Postgres{URLEnv: s.Postgres.URLEnv}
	return part
}

func (p *Postgres) open(ctx context.Context, s Store, env func(string) string) (connectors.Connector, error) {
	url, err := lookUp(env, p.URLEnv)
	if err != nil {
		return nil, err
	}
	cfg := postgres.Config{URL: url, Class: s.Class}
	for _, t := range p.Tables {
		cfg.Tables = append(cfg.Tables, t.table())
	}
	return postgres.Open(ctx, s.Name, cfg)
}

func (t Table) table() postgres.Table {
	table := postgres.Table{
		Name: t.Table, Tenant: t.Tenant, Subject: t.Subject, Key: t.Key, Kind: t.Kind, Columns: t.Columns,
		References: t.References, Changed: t.Changed, DropPartition: t.DropPartition,
	}
	if t.Join != nil {
		table.Join = &postgres.Join{Table: t.Join.Table, On: t.Join.On}
	}
	return table
}
