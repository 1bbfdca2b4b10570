package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/client"
)

// reapply runs `tenure deletion reapply` and returns what it says.
func (s *system) reapply(args ...string) (string, error) {
	s.t.Helper()
	path, err := binary()
	require.NoError(s.t, err)
	cmd := exec.Command(path, append([]string{"deletion", "reapply", "--dir", filepath.Join(s.dir, "state")}, args...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestABackupBringsNobodyBack: the SaaS's rows of purged tenants come back from a backup. They are erased again, but those of
// a tenant that has begun a new life are its own.
func TestABackupBringsNobodyBack(t *testing.T) {
	t.Parallel()
	s := start(t, "TENURE_RETENTION_UNIT=1s", "TENURE_IDLE_AFTER_DAYS=0")
	db, ctx := s.database(), s.context(2*time.Minute)
	documents := func(tenant string) (n int) {
		t.Helper()
		require.NoError(t, db.QueryRow(ctx, `SELECT count(*) FROM sample.documents WHERE tenant_id = $1`, tenant).Scan(&n))
		return n
	}
	write := func(tenant string, n int) {
		t.Helper()
		for range n {
			status, body := s.call("POST", s.at.HTTP+"/sample/"+tenant+"/documents", `{"name":"note","content":"words"}`)
			require.Less(t, status, 300, body)
		}
	}
	for _, tenant := range []string{"gone", "back", "stays"} {
		s.signUp(tenant, "starter")
		write(tenant, 3)
	}
	_, err := db.Exec(ctx, `CREATE SCHEMA backup; CREATE TABLE backup.documents AS TABLE sample.documents`)
	require.NoError(t, err)

	days := 1
	for _, tenant := range []string{"gone", "back"} {
		_, err := s.api.Delete(ctx, tenant, client.Delete{RetentionDays: &days, Reason: "it is over"})
		require.NoError(t, err)
	}
	for _, tenant := range []string{"gone", "back"} {
		s.await(tenant, "deleted")
		require.Zero(t, documents(tenant))
	}
	fresh := false
	_, err = s.api.Reactivate(ctx, "back", client.Reactivate{Plan: "starter", RestoreData: &fresh})
	require.NoError(t, err)
	s.await("back", "active")
	write("back", 2)
	s.settled(db)

	_, err = db.Exec(ctx, `INSERT INTO sample.documents SELECT * FROM backup.documents WHERE tenant_id = 'gone'`)
	require.NoError(t, err)
	out, err := s.reapply("--dry-run")
	require.Error(t, err, "a tenant was refused: %s", out)
	require.Contains(t, out, "counted  3 rows")
	require.Equal(t, 3, documents("gone"))

	out, err = s.reapply()
	require.Error(t, err, out)
	require.Contains(t, out, "gone  erased   3 rows")
	require.Contains(t, out, "back  refused  the log shows it active")
	require.NotContains(t, out, "stays")
	require.Zero(t, documents("gone"))
	require.Equal(t, 2, documents("back"))
	require.Equal(t, 3, documents("stays"))
	s.settled(db)
	told := 0
	require.NoError(t, db.QueryRow(ctx, `SELECT count(*) FROM deletion.log WHERE stream = 'gone' AND type = 'tenure.deletion.tombstone.reapplied.v1'`).Scan(&told))
	require.Equal(t, 1, told)
}
