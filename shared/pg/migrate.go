package pg

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Migrate creates schema when it is missing and brings the service's own tables in it up to date. Any number of
// processes may call it at once: a lock in the database lets one work and the others wait.
func Migrate(ctx context.Context, url, schema string, files fs.FS) error {
	if err := CreateSchema(ctx, url, schema); err != nil {
		return err
	}
	db, err := Open(ctx, url, schema)
	if err != nil {
		return err
	}
	defer db.Close()
	return MigrateSet(ctx, db, "service", files)
}

// CreateSchema makes an empty schema unless it is there.
func CreateSchema(ctx context.Context, url, schema string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to create schema %s: %w", schema, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, pgx.Identifier{schema}.Sanitize()).Scan(&exists); err != nil || exists {
		return err // CREATE wants its right even when there is nothing to create
	}
	// IF NOT EXISTS still races between two sessions, so that the check is made under a lock.
	_, err = conn.Exec(ctx, `SELECT pg_advisory_lock(hashtext('tenure.create_schema'))`)
	if err != nil {
		return fmt.Errorf("lock to create schema %s: %w", schema, err)
	}
	_, err = conn.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+pgx.Identifier{schema}.Sanitize())
	if err != nil {
		return fmt.Errorf("create schema %s: %w", schema, err)
	}
	return nil
}

// MigrateSet applies one named set of migrations ("*.sql" at the root of files, in goose's format) in the pool's
// schema. Several sets live side by side there, each with a version table of its own.
func MigrateSet(ctx context.Context, pool *pgxpool.Pool, set string, files fs.FS) error {
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	if err := up(ctx, db, set, files); err != nil {
		return fmt.Errorf("migrate %s: %w", set, err)
	}
	return nil
}

func up(ctx context.Context, db *sql.DB, set string, files fs.FS) error {
	// A lock for each set of each schema: services that start together do not wait for one another.
	var schema string
	if err := db.QueryRowContext(ctx, `SELECT current_schema()`).Scan(&schema); err != nil {
		return err
	}
	id := fnv.New64a()
	_, _ = id.Write([]byte("tenure.migrate/" + schema + "/" + set))
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(int64(id.Sum64()>>1)), lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName("goose_"+set), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}
