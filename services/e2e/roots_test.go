package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"tenure/shared/client"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/testkit"
)

// verifyLog runs `tenure verify --log` and returns what it says.
func (s *system) verifyLog(args ...string) (string, error) {
	s.t.Helper()
	path, err := binary()
	require.NoError(s.t, err)
	cmd := exec.Command(path, append([]string{"verify", "--log", "--dir", filepath.Join(s.dir, "state")}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// keptRoots copies the roots to a directory, as an auditor keeps them, once one has seen so many events.
func (s *system) keptRoots(events int64) string {
	s.t.Helper()
	dir := s.t.TempDir()
	testkit.WaitFor(s.t, time.Minute, "a root that has seen everything", func() bool {
		_, body := s.call("GET", s.at.HTTP+"/v1/roots?limit=1000", "")
		var list struct {
			Items []struct {
				Events int64 `json:"events"`
			} `json:"items"`
		}
		require.NoError(s.t, json.Unmarshal([]byte(body), &list), body)
		return len(list.Items) > 1 && list.Items[len(list.Items)-1].Events == events
	})
	for root, err := range s.api.Roots(s.context(time.Minute)) {
		require.NoError(s.t, err)
		document, err := s.api.Root(s.context(time.Minute), root.Date)
		require.NoError(s.t, err)
		leaves, err := s.api.RootLeaves(s.context(time.Minute), root.Date)
		require.NoError(s.t, err)
		require.NoError(s.t, os.WriteFile(filepath.Join(dir, root.Date+".json"), document, 0o600))
		require.NoError(s.t, os.WriteFile(filepath.Join(dir, root.Date+".ndjson.gz"), leaves, 0o600))
	}
	return dir
}

// tamper changes the log as only the database's superuser can, looks what `tenure verify --log` says, and puts
// everything back.
func (s *system) tamper(db *pgxpool.Pool, change func(ctx context.Context, tx pgx.Tx) error, want ...string) {
	s.t.Helper()
	ctx := s.context(2 * time.Minute)
	_, err := db.Exec(ctx, `CREATE TABLE IF NOT EXISTS kept AS TABLE lifecycle.log`)
	require.NoError(s.t, err)
	unlocked := func(fn func(ctx context.Context, tx pgx.Tx) error) {
		require.NoError(s.t, pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `ALTER TABLE lifecycle.log DISABLE TRIGGER log_append_only`); err != nil {
				return err
			}
			if err := fn(ctx, tx); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `ALTER TABLE lifecycle.log ENABLE TRIGGER log_append_only`)
			return err
		}))
	}
	unlocked(change)
	out, err := s.verifyLog()
	require.Error(s.t, err, out)
	for _, text := range want {
		require.Contains(s.t, out, text)
	}
	unlocked(func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM lifecycle.log`)
		if err == nil {
			_, err = tx.Exec(ctx, `INSERT INTO lifecycle.log SELECT * FROM kept`)
		}
		return err
	})
	out, err = s.verifyLog()
	require.NoError(s.t, err, out)
}

// rewrite makes another history of a tenant: one event has another actor, and every hash fits it.
func rewrite(ctx context.Context, tx pgx.Tx, tenant string) error {
	rows, err := tx.Query(ctx, `SELECT version, type, time, actor, correlation, causation, data FROM lifecycle.log WHERE stream = $1 ORDER BY version`, tenant)
	if err != nil {
		return err
	}
	history, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e events.Event, err error) {
		var data string
		err = row.Scan(&e.Sequence, &e.Type, &e.Time, &e.Actor, &e.CorrelationID, &e.CausationID, &data)
		e.Data = json.RawMessage(data)
		return e, err
	})
	if err != nil {
		return err
	}
	history[0].Actor = "operator:eve"
	var link []byte
	for _, e := range history {
		link = eventlog.ChainHash(link, tenant, e)
		if _, err := tx.Exec(ctx, `UPDATE lifecycle.log SET actor = $3, hash = $4 WHERE stream = $1 AND version = $2`, tenant, e.Sequence, e.Actor, link); err != nil {
			return err
		}
	}
	return nil
}

// TestNoLogIsCutBehindASignedRoot: whoever owns the database can cut a log, write another one with hashes that fit, or
// remove a tenant; the signed roots show it.
func TestNoLogIsCutBehindASignedRoot(t *testing.T) {
	t.Parallel()
	s := start(t, "TENURE_RETENTION_UNIT=1s", "TENURE_IDLE_AFTER_DAYS=0")
	for _, id := range []string{"acme", "globex", "initech"} {
		_, err := s.api.Register(s.context(time.Minute), client.Register{ID: id, Name: id, Email: id + "@example.com", Plan: "free"})
		require.NoError(t, err)
		s.await(id, "active")
	}
	db := s.database()
	var events int64
	require.NoError(t, db.QueryRow(s.context(time.Minute), `SELECT count(*) FROM lifecycle.log`).Scan(&events))
	kept := s.keptRoots(events)
	out, err := s.verifyLog()
	require.NoError(t, err, out)
	require.Contains(t, out, "signed roots have seen")

	cut := func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM lifecycle.log WHERE stream = 'acme' AND version > 1`)
		return err
	}
	s.tamper(db, cut, "tenant acme: its log ends with version 1, but the root of")
	s.tamper(db, func(ctx context.Context, tx pgx.Tx) error { return rewrite(ctx, tx, "globex") }, "tenant globex", "was rewritten")
	s.tamper(db, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM lifecycle.log WHERE stream = 'initech'`)
		return err
	}, "tenant initech is gone")

	// Who owns the service's tables, too, forgets the roots; a copy of them does not.
	_, err = db.Exec(s.context(time.Minute), `DELETE FROM deletion.roots`)
	require.NoError(t, err)
	out, err = s.verifyLog("--roots", kept)
	require.NoError(t, err, out)
	out, err = s.verifyLog("--roots", kept, "--tenant", "acme")
	require.NoError(t, err, out)
	s.testRoots(kept)
}

// testRoots changes the copies of the roots themselves.
func (s *system) testRoots(kept string) {
	s.t.Helper()
	_, body := s.call("GET", s.at.HTTP+"/v1/keys", "")
	var keys struct {
		Items []struct {
			PublicKey string `json:"public_key"`
		} `json:"items"`
	}
	require.NoError(s.t, json.Unmarshal([]byte(body), &keys), body)
	out, err := s.verifyLog("--roots", kept, "--key", keys.Items[0].PublicKey)
	require.NoError(s.t, err, out)
	require.NotContains(s.t, out, "compare it")
	out, err = s.verifyLog("--roots", kept, "--key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	require.Error(s.t, err, out)
	require.Contains(s.t, out, "not trusted")

	roots, err := filepath.Glob(filepath.Join(kept, "*.json"))
	require.NoError(s.t, err)
	require.Greater(s.t, len(roots), 1)
	first, last := roots[0], roots[len(roots)-1]
	content, err := os.ReadFile(last)
	require.NoError(s.t, err)
	require.NoError(s.t, os.WriteFile(last, []byte(strings.Replace(string(content), `"tenants": 3`, `"tenants": 2`, 1)), 0o600))
	out, err = s.verifyLog("--roots", kept)
	require.Error(s.t, err, out)
	require.Contains(s.t, out, "changed, or never signed")
	require.NoError(s.t, os.WriteFile(last, content, 0o600))

	leaves := strings.TrimSuffix(last, ".json") + ".ndjson.gz"
	content, err = os.ReadFile(leaves)
	require.NoError(s.t, err)
	require.NoError(s.t, os.WriteFile(leaves, content[:len(content)-9], 0o600))
	out, err = s.verifyLog("--roots", kept)
	require.Error(s.t, err, out)
	require.NoError(s.t, os.WriteFile(leaves, content, 0o600))

	require.NoError(s.t, os.Remove(first))
	out, err = s.verifyLog("--roots", kept)
	require.Error(s.t, err, out)
	require.Contains(s.t, out, "which is not there")
}
