// Package pg is the way to PostgreSQL: one pool per service on the service's own schema, transactions as values,
// migrations at start.
package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Querier is what a pool, a connection and a transaction have in common, so that a read can join its caller's
// transaction or do without one.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Beginner starts a transaction: a pool or a connection.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// rollbackTimeout bounds a rollback, in case the server is what failed.
const rollbackTimeout = 5 * time.Second

// Open makes a pool whose connections see schema alone, speak UTC and name it as their application. It does not
// wait for the server: the first query does.
func Open(ctx context.Context, url, schema string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	params := cfg.ConnConfig.RuntimeParams
	params["search_path"] = schema
	params["application_name"] = "tenure-" + schema
	// Deadlines are computed in 24-hour UTC days; a session's time zone must never bend them.
	params["timezone"] = "UTC"
	cfg.ConnConfig.Tracer = otelpgx.NewTracer()
	cfg.MaxConns = max(cfg.MaxConns, 8)
	return pgxpool.NewWithConfig(ctx, cfg)
}

// WithTx runs fn in one transaction: commit when it returns nil, else rollback. The rollback runs on a context of
// its own, so that a cancelled request cannot leave a transaction open on the server.
func WithTx(ctx context.Context, db Beginner, fn func(tx pgx.Tx) error) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		_ = tx.Rollback(undo) // after a commit it answers ErrTxClosed, which is what we want
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// IsUnavailable reports whether err says that the server could not be reached or is going down, as opposed to
// having refused the statement. Callers answer 503 or try again later.
func IsUnavailable(err error) bool {
	if err == nil {
		return false
	}
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		// 08 connection exception, 53 insufficient resources, 57P0x shutdown and crash recovery
		return pgErr.Code[:2] == "08" || pgErr.Code[:2] == "53" || pgErr.Code[:3] == "57P"
	}
	return !errors.Is(err, pgx.ErrNoRows) && !errors.Is(err, context.Canceled)
}

// IsUniqueViolation reports whether err is a duplicate key, of the named constraint unless that is empty.
func IsUniqueViolation(err error, constraint string) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "23505" && (constraint == "" || pgErr.ConstraintName == constraint)
}
