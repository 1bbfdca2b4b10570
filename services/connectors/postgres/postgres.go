// Package postgres connects tables of a PostgreSQL database that have a column with the tenant's id.
package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/connectors"
	"tenure/shared/fault"
	"tenure/shared/pg"
)

// Store is a connectors.Connector.
type Store struct {
	name   string
	class  string
	db     *pgxpool.Pool
	tables []*table
}

// New connects tables of the database that db reaches; db's sessions must be in UTC. Erase goes through them in their order: put a table
// before those its rows refer to. It panics where Open would refuse the tables: they are the program's own.
func New(name string, db *pgxpool.Pool, tables []Table) *Store {
	resolved, err := newTables(tables)
	if err != nil {
		panic(fmt.Sprintf("store %s: %v", name, err))
	}
	return &Store{name: name, db: db, tables: resolved}
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
	// Times go into archives as text: in UTC, wherever the server stands. And archives are UTF-8.
	pool.ConnConfig.RuntimeParams["timezone"] = "UTC"
	pool.ConnConfig.RuntimeParams["client_encoding"] = "UTF8"
	tables, err := newTables(cfg.Tables)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", name, err)
	}
	db, err := pgxpool.NewWithConfig(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", name, err)
	}
	return &Store{name: name, class: cfg.Class, db: db, tables: tables}, nil
}

// Close ends the pool that Open made.
func (s *Store) Close() { s.db.Close() }

// Name is the store's name in the data map.
func (s *Store) Name() string { return s.name }

// Traits tells the tables.
func (s *Store) Traits() connectors.Traits {
	traits := connectors.Traits{Kind: "postgres", Class: s.class}
	for _, t := range s.tables {
		target := "table " + t.Name
		if t.parent != nil {
			target += ", by " + t.parent.Name
		}
		traits.Targets = append(traits.Targets, target)
		traits.Subjects = traits.Subjects || t.byPerson() != nil
	}
	return traits
}

// Count tells the rows of each table, at one point in time.
func (s *Store) Count(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	counts := connectors.Counts{}
	err := s.each(ctx, of, func(tx pgx.Tx, t *table) (err error) {
		counts[t.Name], err = t.count(ctx, tx, filter{of: of})
		return err
	})
	return counts, s.wrap("count", err)
}

// Verify is Count: a deleted row leaves no other form behind.
func (s *Store) Verify(ctx context.Context, of connectors.Scope) (connectors.Counts, error) {
	return s.Count(ctx, of)
}

// Bytes is the number of rows times the average size of some of them, as they are stored.
func (s *Store) Bytes(ctx context.Context, of connectors.Scope) (total int64, err error) {
	err = s.each(ctx, of, func(tx pgx.Tx, t *table) error {
		n, err := t.bytes(ctx, tx, of)
		total += n
		return err
	})
	return total, s.wrap("measure", err)
}

// each calls fn with every table that takes part in what is done to a scope, all at one point in time.
func (s *Store) each(ctx context.Context, of connectors.Scope, fn func(pgx.Tx, *table) error) error {
	if err := of.Check(); err != nil {
		return err
	}
	return s.inTx(ctx, readSnapshot, func(tx pgx.Tx) error {
		for _, t := range s.tables {
			if !t.has(of) {
				continue
			}
			if err := fn(tx, t); err != nil {
				return err
			}
		}
		return nil
	})
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
	if pg.IsUnavailable(err) && !fault.IsPermanent(err) {
		return fault.RetryAfter(err, connectors.RetryDelay)
	}
	return err
}
