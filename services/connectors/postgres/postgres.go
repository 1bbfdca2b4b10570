// Package postgres connects tables of a PostgreSQL database that have a column with the tenant's id.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
	"tenure/shared/fault"
	"tenure/shared/pg"
)

// Table is one table of the data map.
type Table struct {
	// Name is "table" or "schema.table".
	Name string
	// Tenant is the column that holds the tenant's id.
	Tenant string
	// Key is unique within a tenant. Rows are read and erased in its order: an index on (tenant, key) makes both fast.
	Key []string
	// Kind is what an archive calls the rows; "" keeps the table out of exports, never out of erasure.
	Kind string
	// Columns are what an archive's rows have, in this order.
	Columns []string
	// Changed is the column with the time at which a row last changed; "" where there is none.
	Changed string
	// Document, in place of Columns, is a column of type json or jsonb that holds the whole row.
	Document string
}

// Store is a connectors.Connector.
type Store struct {
	name   string
	class  string
	db     *pgxpool.Pool
	tables []table
	chunk  int
}

// eraseChunk rows go in one transaction: enough to spread its cost, and over in some 10 ms.
const eraseChunk = 5000

// New connects tables of the database that db reaches; db's sessions must be in UTC. Erase goes through them in their order: put a table
// before those its rows refer to.
func New(name string, db *pgxpool.Pool, tables []Table) *Store {
	s := &Store{name: name, db: db, chunk: eraseChunk}
	for _, t := range tables {
		s.tables = append(s.tables, newTable(t))
	}
	return s
}

// Config is a store with a pool of its own.
type Config struct {
	URL    string
	Tables []Table
	// Class is the data class that the retention policy knows the tables by.
	Class string
}

// Open makes a pool for the store's database. It connects at the first call; end it with Close.
func Open(ctx context.Context, name string, cfg Config) (*Store, error) {
	pool, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("store %s: its database URL: %w", name, err)
	}
	pool.ConnConfig.RuntimeParams["application_name"] = "tenure-connector"
	// Times go into archives as text: in UTC, wherever the server stands.
	pool.ConnConfig.RuntimeParams["timezone"] = "UTC"
	db, err := pgxpool.NewWithConfig(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", name, err)
	}
	s := New(name, db, cfg.Tables)
	s.class = cfg.Class
	return s, nil
}

// Close ends the pool that Open made.
func (s *Store) Close() { s.db.Close() }

// Name is the store's name in the data map.
func (s *Store) Name() string { return s.name }

// Traits tells the tables.
func (s *Store) Traits() connectors.Traits {
	traits := connectors.Traits{Kind: "postgres", Class: s.class}
	for _, t := range s.tables {
		traits.Targets = append(traits.Targets, "table "+t.Name)
	}
	return traits
}

// Bytes adds up the rows' sizes as they are stored.
func (s *Store) Bytes(ctx context.Context, of connectors.Scope) (total int64, err error) {
	if err := of.Check(); err != nil {
		return 0, err
	}
	for _, t := range s.tables {
		var n int64
		err := s.db.QueryRow(ctx, `SELECT coalesce(sum(pg_column_size(t.*)), 0) FROM `+t.from+` AS t WHERE `+t.tenant+` = $1`, of.Tenant).Scan(&n)
		if err != nil {
			return 0, s.wrap("measure "+t.Name, err)
		}
		total += n
	}
	return total, nil
}

// Count tells the tenant's rows of each table, at one point in time.
func (s *Store) Count(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	if err := of.Check(); err != nil {
		return nil, err
	}
	counts := connectors.Counts{}
	err := s.inTx(ctx, readSnapshot, func(tx pgx.Tx) error {
		for _, t := range s.tables {
			n, err := t.count(ctx, tx, of.Tenant, time.Time{})
			if err != nil {
				return err
			}
			counts[t.Name] = n
		}
		return nil
	})
	return counts, s.wrap("count", err)
}

// Verify is Count: a deleted row leaves no other form behind.
func (s *Store) Verify(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.Count(ctx, of)
}

// Erase deletes the tenant's rows chunk by chunk, each in a transaction of its own.
func (s *Store) Erase(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	if err := of.Check(); err != nil {
		return nil, err
	}
	erased := connectors.Counts{}
	for _, t := range s.tables {
		n, err := s.eraseTable(ctx, t, of.Tenant)
		erased[t.Name] = n
		if err != nil {
			return erased, s.wrap("erase "+t.Name, err)
		}
	}
	return erased, nil
}

// eraseTable cuts the tenant's rows, in the order of the key, into ranges of chunk rows. Each range begins where the one
// before ended: a search from the start would step over all the rows just deleted, every time.
func (s *Store) eraseTable(ctx context.Context, t table, tenant string) (erased int64, err error) {
	var last []any // key of the last row deleted so far
	for {
		var end []any
		err := s.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
			if end, err = t.keyAt(ctx, tx, tenant, last, s.chunk); err != nil {
				return err
			}
			where, args := t.where(tenant, last, end)
			if end == nil {
				// Fewer than a chunk are left behind last; take what was written before it meanwhile, too.
				where, args = t.where(tenant, nil, nil)
			}
			tag, err := tx.Exec(ctx, `DELETE FROM `+t.from+where, args...)
			erased += tag.RowsAffected()
			return err
		})
		if err != nil || end == nil {
			return erased, err
		}
		last = end
	}
}

// guard makes a policy that would hide rows from us an error: an archive would lack them without a word, and an erasure
// would take them for gone.
const guard = `SET LOCAL row_security = off`

func (s *Store) inTx(ctx context.Context, options pgx.TxOptions, fn func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.db, options, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, guard); err != nil {
			return err
		}
		return fn(tx)
	})
}

func (s *Store) wrap(action string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("store %s: %s: %w", s.name, action, err)
	if pg.IsUnavailable(err) {
		return fault.RetryAfter(err, connectors.RetryDelay)
	}
	return err
}

// table is a Table with its names quoted.
type table struct {
	Table
	from, tenant, key string
	keys              []string
}

func newTable(t Table) table {
	keys := quoteAll(t.Key)
	return table{
		Table:  t,
		from:   pgx.Identifier(strings.Split(t.Name, ".")).Sanitize(),
		tenant: quote(t.Tenant),
		key:    strings.Join(keys, ", "),
		keys:   keys,
	}
}

// row is a query for the rows of an archive, each one text; where picks them.
func (t table) row(where string) string {
	if t.Document != "" {
		return fmt.Sprintf(`SELECT %s::text FROM %s WHERE %s ORDER BY %s`, quote(t.Document), t.from, where, t.key)
	}
	return fmt.Sprintf(`SELECT row_to_json(r)::text FROM (SELECT %s FROM %s WHERE %s ORDER BY %s) AS r`,
		strings.Join(quoteAll(t.Columns), ", "), t.from, where, t.key)
}

// since narrows a WHERE to rows that changed at that time or later, where the table can tell. It is no parameter, because
// COPY takes none.
func (t table) since(at time.Time) string {
	if at.IsZero() || t.Changed == "" {
		return ""
	}
	return fmt.Sprintf(` AND %s >= '%s'`, quote(t.Changed), at.UTC().Format(time.RFC3339Nano))
}

func (t table) count(ctx context.Context, q pg.Querier, tenant string, since time.Time) (n int64, err error) {
	err = q.QueryRow(ctx, `SELECT count(*) FROM `+t.from+` WHERE `+t.tenant+` = $1`+t.since(since), tenant).Scan(&n)
	if err != nil {
		err = fmt.Errorf("table %s: %w", t.Name, err)
	}
	return n, err
}

// keyAt returns the key of the chunk-th row behind last, or nil when fewer are left. Its parts are text: sent back as
// text, a key of any type is read as that type again.
func (t table) keyAt(ctx context.Context, q pg.Querier, tenant string, last []any, chunk int) ([]any, error) {
	texts := make([]string, len(t.keys))
	for i, k := range t.keys {
		texts[i] = k + `::text`
	}
	where, args := t.where(tenant, last, nil)
	rows, err := q.Query(ctx, fmt.Sprintf(`SELECT %s FROM (SELECT %s FROM %s%s ORDER BY %s OFFSET %d LIMIT 1) AS at_end`,
		strings.Join(texts, ", "), t.key, t.from, where, t.key, chunk-1), args...)
	if err != nil {
		return nil, err
	}
	key, err := pgx.CollectOneRow(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return key, err
}

// where selects the tenant's rows whose key is above after and up to upTo; nil leaves an end open.
func (t table) where(tenant string, after, upTo []any) (string, []any) {
	sql, args := ` WHERE `+t.tenant+` = $1`, []any{tenant}
	bound := func(op string, key []any) {
		if key == nil {
			return
		}
		params := make([]string, len(key))
		for i := range key {
			params[i] = fmt.Sprintf("$%d", len(args)+1+i)
		}
		sql += fmt.Sprintf(` AND (%s) %s (%s)`, t.key, op, strings.Join(params, ", "))
		args = append(args, key...)
	}
	bound(">", after)
	bound("<=", upTo)
	return sql, args
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func quoteAll(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = quote(n)
	}
	return out
}
