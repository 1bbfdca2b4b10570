package testkit

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Execer runs a statement: a pool or a connection of pgx.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Failure says which statements the database is to refuse.
type Failure struct {
	// Table, with its schema: "billing.subscriptions".
	Table string
	// Op is INSERT, UPDATE or DELETE.
	Op string
	// When is SQL over NEW and OLD that picks the rows; empty: every row.
	When string
	// Times is how often it fails; 0: until healed.
	Times int
}

// FailQuery breaks a statement in the database itself, by a trigger: the program under test meets a real failure,
// in the middle of a real transaction, without a seam made for tests. heal ends it; so does the end of the test's
// database.
func FailQuery(t testing.TB, db Execer, f Failure) (heal func()) {
	t.Helper()
	id := "fail_" + strings.ToLower(rand.Text())
	run := func(sql string) {
		t.Helper()
		if _, err := db.Exec(context.Background(), sql); err != nil {
			t.Fatalf("testkit: break %s on %s: %v", f.Op, f.Table, err)
		}
	}
	budget := "true"
	if f.Times > 0 {
		// A sequence is not rolled back with the transaction that fails, as a counter in a table would be.
		budget = fmt.Sprintf("nextval('testkit.%s') <= %d", id, f.Times)
	}
	when := ""
	if f.When != "" {
		when = "WHEN (" + f.When + ")"
	}
	run(fmt.Sprintf(`
		CREATE SCHEMA IF NOT EXISTS testkit;
		CREATE SEQUENCE testkit.%[1]s;
		CREATE FUNCTION testkit.%[1]s() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF %[2]s THEN
				RAISE EXCEPTION 'testkit: this %[3]s fails because a test wants it' USING ERRCODE = 'io_error';
			END IF;
			RETURN COALESCE(NEW, OLD);
		END $$;
		CREATE TRIGGER %[1]s BEFORE %[3]s ON %[4]s FOR EACH ROW %[5]s EXECUTE FUNCTION testkit.%[1]s();
	`, id, budget, f.Op, f.Table, when))
	return func() {
		t.Helper()
		run(fmt.Sprintf("DROP TRIGGER IF EXISTS %s ON %s", id, f.Table))
	}
}
