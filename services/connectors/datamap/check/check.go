// Package check holds a data map against the databases that it names: a table that it does not list would be in no archive,
// and would survive its tenant's deletion.
package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"tenure/services/connectors/datamap"
)

// Status is what was found of a table.
type Status string

// What may be found of a table.
const (
	OK Status = "ok"
	// Slow: everything works, but each tenant's turn reads the whole table.
	Slow Status = "slow"
	// Wrong: an export or an erasure will fail, or miss rows.
	Wrong Status = "wrong"
	// Uncovered: the table looks like tenants' data, and the map does not list it.
	Uncovered Status = "uncovered"
)

// Finding is one thing that was found of one table.
type Finding struct {
	Status Status `json:"status"`
	Store  string `json:"store,omitempty"` // that lists the table
	Table  string `json:"table"`
	Detail string `json:"detail,omitempty"`
}

// Failed reports whether the map must not be used like this.
func (f Finding) Failed() bool { return f.Status == Wrong || f.Status == Uncovered }

// PostgreSQL looks at all PostgreSQL stores of a map, with the addresses that env holds. Stores of one database are
// looked at together. It only reads, and needs no rights but to connect.
func PostgreSQL(ctx context.Context, m datamap.Map, env func(string) string) ([]Finding, error) {
	var urls []string
	tables := map[string][]listed{}
	except := map[string][]string{}
	for _, s := range m.Stores {
		if s.Postgres == nil {
			continue
		}
		url := env(s.Postgres.URLEnv)
		if url == "" {
			return nil, fmt.Errorf("store %s: the variable %s is not set", s.Name, s.Postgres.URLEnv)
		}
		if !slices.Contains(urls, url) {
			urls = append(urls, url)
		}
		for _, t := range s.Postgres.Tables {
			tables[url] = append(tables[url], listed{Table: t, store: s.Name})
		}
		except[url] = append(except[url], s.Postgres.Except...)
	}
	var found []Finding
	for _, url := range urls {
		of, err := database(ctx, url, tables[url], except[url])
		if err != nil {
			return nil, fmt.Errorf("store %s: %w", tables[url][0].store, err)
		}
		found = append(found, of...)
	}
	return found, nil
}

// listed is a table as the map has it, and what it is in the database.
type listed struct {
	datamap.Table
	store string
	*relation
}

func database(ctx context.Context, url string, tables []listed, except []string) ([]Finding, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	catalog, err := readCatalog(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	for i, t := range tables {
		if tables[i].relation, err = catalog.find(ctx, conn, t.Table.Table); err != nil {
			return nil, err
		}
	}
	var found []Finding
	for i, t := range tables {
		of := judge(tables, i)
		if len(of) == 0 {
			of = []Finding{{Status: OK}}
		}
		for _, f := range of {
			f.Store, f.Table = t.store, t.Table.Table
			found = append(found, f)
		}
	}
	return append(found, catalog.uncovered(tables, except)...), nil
}

// uncovered finds the tables that no store lists. A partition goes with its table.
func (c catalog) uncovered(tables []listed, except []string) (found []Finding) {
	covered := func(r *relation) bool {
		return slices.ContainsFunc(tables, func(t listed) bool { return t.relation == r })
	}
	for _, r := range c.sorted() {
		if covered(r) || !r.holds() || r.parent != nil || excepted(r, except) {
			continue
		}
		if why := suspicion(r, tables, covered); why != "" {
			found = append(found, Finding{Status: Uncovered, Table: r.name(), Detail: why})
		}
	}
	return found
}

// suspicion says why a table looks like tenants' data, if it does.
func suspicion(r *relation, tables []listed, covered func(*relation) bool) string {
	for _, t := range tables {
		if t.Tenant != "" && r.columns[t.Tenant] != nil {
			return "it has a column " + t.Tenant + r.hint()
		}
	}
	for _, key := range r.foreignKeys {
		if covered(key.to.root()) {
			return "it refers to " + key.to.name() + ": see join in the data map"
		}
	}
	return ""
}

func excepted(r *relation, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		schema, all := strings.CutSuffix(p, ".*")
		return all && schema == r.schema || p == r.name()
	})
}
