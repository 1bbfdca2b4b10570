// Package clickhouse connects tables of a ClickHouse server by its HTTP interface, in the dialect that all servers since 18.16
// understand.
//
// ClickHouse has no snapshots that outlast a query. A snapshot is a copy of one query's answer for each table (see package
// spool): each table is as it was at one moment.
package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tenure/services/connectors"
	"tenure/services/connectors/remote"
)

// Config says where the tenants' rows are.
type Config struct {
	// URL is the HTTP interface: "https://user:password@host:8443/?database=app". The database is the one of tables whose
	// names have none.
	URL    string
	Tables []Table
	// Class is the data class that the retention policy knows the store by.
	Class string
}

// Table is a table of the MergeTree family, whose rows can be deleted. On a cluster list the tables of each shard, not the
// Distributed table over them.
type Table struct {
	// Name is "table" or "database.table".
	Name string
	// Tenant is the column that holds the tenant's id. A table that is partitioned by it alone loses its partition at once.
	Tenant string
	// Key are columns that are unique within a tenant, in the order in which its rows are exported.
	Key []string
	// Kind is what an archive calls the rows; "" keeps them out of exports, never out of erasure.
	Kind string
	// Columns are what a row in the archive has.
	Columns []string
	// Changed is the column with the time at which a row was last written; "" exports every row whatever it is asked for.
	Changed string
	// Subject is the column that holds the key of the person whose row it is; "" when there is none.
	Subject string
}

// answerTimeout bounds the wait for the beginning of an answer: a server sorts all rows before it sends the first.
const answerTimeout = 10 * time.Minute

// Store is a connectors.Connector.
type Store struct {
	name     string
	cfg      Config
	url      *url.URL
	password string
	user     string
	http     *http.Client
	patience time.Duration // how long one Erase waits for a mutation
}

// New connects tables. It asks nobody.
func New(name string, cfg Config) (*Store, error) {
	at, err := url.Parse(cfg.URL)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, errors.New("the address of ClickHouse must be like https://user:password@host:8443/") // not its text: it holds a password
	}
	s := &Store{name: name, cfg: cfg, url: at, http: remote.NewClient(answerTimeout, http.StatusInternalServerError), patience: patience}
	s.user = at.User.Username()
	s.password, _ = at.User.Password()
	at.User = nil // sent in a header, so that no error shows it
	return s, nil
}

// Name is the store's name in the data map.
func (s *Store) Name() string { return s.name }

// Traits tells the tables. Erase waits until the server has rewritten the rows' parts, so that nothing settles later.
func (s *Store) Traits() connectors.Traits {
	t := connectors.Traits{Kind: "clickhouse", Class: s.cfg.Class}
	for _, table := range s.cfg.Tables {
		t.Targets = append(t.Targets, "table "+table.Name)
		t.Subjects = t.Subjects || table.Subject != ""
	}
	return t
}

// Count tells the rows of each table as a reader sees them: without those that the engine will replace or collapse.
func (s *Store) Count(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.each(ctx, "count", of, func(ctx context.Context, r rows) (int64, error) { return r.count(ctx, r.final()) })
}

// Verify tells all rows that the server has, replaced and collapsed ones included.
func (s *Store) Verify(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.each(ctx, "verify", of, func(ctx context.Context, r rows) (int64, error) { return r.count(ctx, "") })
}

// Bytes reckons with the mean size of a table's rows before compression.
func (s *Store) Bytes(ctx context.Context, of connectors.Scope) (int64, error) {
	sizes, err := s.each(ctx, "measure", of, estimate)
	return sizes.Total(), err
}

// each adds up what fn answers for the scope's rows in each table.
func (s *Store) each(ctx context.Context, action string, of connectors.Scope, fn func(context.Context, rows) (int64, error)) (connectors.Counts, error) {
	if err := of.Check(); err != nil {
		return nil, err
	}
	counts := connectors.Counts{}
	for _, t := range s.cfg.Tables {
		if of.Subject != "" && t.Subject == "" {
			continue
		}
		found, err := s.find(ctx, t, of)
		if err == nil {
			counts[t.Name], err = fn(ctx, found)
		}
		if err != nil {
			return counts, s.wrap(action+" "+t.Name, of, err)
		}
	}
	return counts, nil
}

func (s *Store) wrap(action string, of connectors.Scope, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store %s: %s: %w", s.name, action, remote.Hide(remote.Classify(err), of))
}

// rows is the rows of a scope in one table.
type rows struct {
	store *Store
	table Table
	// database and name of the table as the server knows them, literals
	database, name string
	engine         string
	partition      string // the partition that holds the tenant's rows and no others, a literal; "" when there is none
	where          string
	literal        string // what a mutation of these rows has in its statement and few others have
}

// find looks at a table. It refuses one that is not there or cannot be erased from: nothing found in it would pass for nothing left.
func (s *Store) find(ctx context.Context, t Table, of connectors.Scope) (rows, error) {
	r := rows{store: s, table: t, database: "currentDatabase()", name: quoteText(t.Name)}
	if database, name, ok := strings.Cut(t.Name, "."); ok {
		r.database, r.name = quoteText(database), quoteText(name)
	}
	found, err := query[struct {
		Engine       string `json:"engine"`
		PartitionKey string `json:"partition_key"`
		TenantType   string `json:"tenant_type"`
	}](ctx, s, fmt.Sprintf(`SELECT engine, partition_key, (SELECT any(type) FROM system.columns WHERE database = %[1]s AND table = %[2]s AND name = %[3]s) AS tenant_type
FROM system.tables WHERE database = %[1]s AND name = %[2]s`, r.database, r.name, quoteText(t.Tenant)))
	if err != nil {
		return r, err
	}
	if len(found) == 0 {
		return r, errors.New("there is no such table")
	}
	r.engine = found[0].Engine
	if !strings.HasSuffix(r.engine, "MergeTree") {
		return r, fmt.Errorf("its engine is %s, from which rows cannot be deleted: list the MergeTree tables that hold them", r.engine)
	}
	r.literal = quoteText(of.Tenant)
	r.where = quoteName(t.Tenant) + " = " + r.literal
	if of.Subject != "" {
		r.literal = quoteText(of.Subject)
		r.where += " AND " + quoteName(t.Subject) + " = " + r.literal
	} else if found[0].PartitionKey == t.Tenant && found[0].TenantType == "String" {
		r.partition = r.literal
	}
	return r, nil
}

// from is the table in a statement.
func (r rows) from() string {
	if database, name, ok := strings.Cut(r.table.Name, "."); ok {
		return quoteName(database) + "." + quoteName(name)
	}
	return quoteName(r.table.Name)
}

// final makes a reader see rows as the engine will leave them, where it does not keep all.
func (r rows) final() string {
	if strings.TrimPrefix(strings.TrimPrefix(r.engine, "Replicated"), "Shared") == "MergeTree" {
		return ""
	}
	return " FINAL"
}

func (r rows) count(ctx context.Context, final string) (int64, error) {
	return single(ctx, r.store, fmt.Sprintf(`SELECT count() AS n FROM %s%s WHERE %s`, r.from(), final, r.where))
}

func estimate(ctx context.Context, r rows) (int64, error) {
	n, err := r.count(ctx, r.final())
	if err != nil || n == 0 {
		return 0, err
	}
	mean, err := single(ctx, r.store, fmt.Sprintf(`SELECT toInt64(ceil(sum(data_uncompressed_bytes) / sum(rows))) AS n FROM system.parts
WHERE active AND rows > 0 AND database = %s AND table = %s`, r.database, r.name))
	return n * mean, err
}
