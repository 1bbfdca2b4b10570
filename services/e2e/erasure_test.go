package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	deletions "tenure/services/deletion/verify"
	"tenure/shared/client"
	"tenure/shared/testkit"
)

const (
	erasureSeed    = 20261122
	erasureTenants = 20
)

// erasureKills are the steps of purges that everything is killed in, or just after. The tenants go through them abreast.
var erasureKills = []string{"erase", "erase", "verify", "verify", "certify"}

// TestKillMinusNineDuringPurges kills the whole of `tenure dev` at random moments while 20 tenants are purged. Each is
// deleted in the end, with one certificate that holds, and nothing of it is left.
func TestKillMinusNineDuringPurges(t *testing.T) {
	t.Parallel()
	s := start(t, "TENURE_RETENTION_UNIT=3s", "TENURE_DELETION_WORKERS=2")
	db := s.database()
	for i := range erasureTenants {
		s.signUp(erasureTenant(i), "starter")
		s.seed(erasureTenant(i), 200, 500, 200)
	}
	links := map[string]string{}
	for i := range erasureTenants {
		export, err := s.api.RequestExport(s.context(time.Minute), erasureTenant(i), client.ExportRequest{})
		require.NoError(t, err)
		links[erasureTenant(i)] = export.ID
	}
	for tenant, id := range links {
		links[tenant] = s.exported(id).DownloadURL
		s.checkLinks(map[string]string{tenant: links[tenant]}, true) // at once: it ends after 30 "days"
	}
	s.slowMotion(db)
	days := 1
	for i := range erasureTenants {
		_, err := s.api.Delete(s.context(time.Minute), erasureTenant(i), client.Delete{RetentionDays: &days, Reason: "it is over"})
		require.NoError(t, err)
	}
	met := s.killDuringPurges(db)

	for i := range erasureTenants {
		testkit.WaitFor(t, 2*time.Minute, erasureTenant(i)+" to be deleted", func() bool {
			tenant, err := s.api.Tenant(s.context(10*time.Second), erasureTenant(i))
			return err == nil && tenant.State == "deleted"
		})
	}
	s.settled(db)
	checkLogs(t, db)
	for i := range erasureTenants {
		s.checkErased(db, erasureTenant(i), 400)
	}
	s.checkLinks(links, false)
	s.checkNoViolation(db)
	t.Logf("%d kills met these steps: %v", len(erasureKills), met)
}

func erasureTenant(i int) string { return fmt.Sprintf("leaving-%02d", i) }

// slowMotion has each write about a step of the deletion service take a tenth of a second, so that each step can be met.
func (s *system) slowMotion(db *pgxpool.Pool) {
	s.t.Helper()
	_, err := db.Exec(s.context(time.Minute), `CREATE FUNCTION deletion.slow() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END $$;
		CREATE TRIGGER slow BEFORE UPDATE ON deletion.jobs FOR EACH STATEMENT EXECUTE FUNCTION deletion.slow()`)
	require.NoError(s.t, err)
}

// killDuringPurges kills everything, each time a random moment after a worker was seen at a step, and tells how often each
// step was met.
func (s *system) killDuringPurges(db *pgxpool.Pool) map[string]int {
	s.t.Helper()
	dice, met := rand.New(rand.NewPCG(erasureSeed, 3)), map[string]int{}
	for _, step := range erasureKills {
		testkit.WaitFor(s.t, time.Minute, "a worker to "+step, func() bool { return slices.Contains(s.erasing(db), step) })
		<-time.After(time.Duration(dice.IntN(50)) * time.Millisecond) // the random moment
		for _, action := range s.erasing(db) {
			met[action]++
		}
		s.kill()
		s.launch()
		db.Reset() // those connections are broken
	}
	return met
}

// erasing are the steps that workers of the deletion service are at. A lease lasts for ten seconds: one that ends more
// than that after the database's start was taken since, and is none of a worker that is dead.
func (s *system) erasing(db *pgxpool.Pool) []string {
	s.t.Helper()
	rows, err := db.Query(s.context(10*time.Second), `SELECT action FROM deletion.jobs WHERE status = 'open' AND lease_until > now()
		AND lease_until > pg_postmaster_start_time() + interval '10 seconds'`)
	require.NoError(s.t, err)
	actions, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(s.t, err)
	return actions
}

// checkErased holds that nothing is left of a purged tenant in the sample's tables or in S3, and that one certificate says so.
func (s *system) checkErased(db *pgxpool.Pool, tenant string, rows int64) {
	s.t.Helper()
	ctx := s.context(time.Minute)
	for _, table := range []string{"documents", "vectors", "usage", "outbox", "counters", "capacities", "tenants"} {
		require.Zero(s.t, count(s.t, db, `SELECT count(*) FROM sample.`+table+` WHERE tenant_id = $1`, tenant), "%s of %s", table, tenant)
	}
	for _, prefix := range []string{"exports/", "archive/"} {
		objects, uploads := s.objects(ctx, prefix+tenant+"/")
		require.Empty(s.t, objects)
		require.Empty(s.t, uploads)
	}
	require.Equal(s.t, 1, count(s.t, db, `SELECT count(*) FROM lifecycle.log WHERE stream = $1 AND type LIKE '%tenant.purged%'`, tenant))
	require.Equal(s.t, 1, count(s.t, db, `SELECT count(*) FROM deletion.log WHERE stream = $1 AND type LIKE '%certificate.issued%'`, tenant))
	require.Zero(s.t, count(s.t, db, `SELECT count(*) FROM lifecycle.log WHERE stream = $1 AND type LIKE '%purge.started%'
		AND time < (data::json->>'scheduled_for')::timestamptz`, tenant), "%s was purged too early", tenant)
	certificates, _ := s.objects(ctx, "certificates/"+tenant+"/")
	require.Equal(s.t, []string{"certificates/" + tenant + "/1.json"}, certificates)
	document, err := s.api.Certificate(ctx, tenant)
	require.NoError(s.t, err)
	report, err := deletions.Certificate(document)
	require.NoError(s.t, err)
	require.Equal(s.t, tenant, report.TenantID)
	require.GreaterOrEqual(s.t, report.Erased, rows, "what there was before the first kill")
}

// checkLinks holds that every download link works, or that none does: its object is gone (404) or its own time is over (403).
func (s *system) checkLinks(links map[string]string, alive bool) {
	s.t.Helper()
	for tenant, link := range links {
		res, err := s.get(link)
		require.NoError(s.t, err)
		require.NoError(s.t, res.Body.Close())
		want := []int{http.StatusNotFound, http.StatusForbidden}
		if alive {
			want = []int{http.StatusOK}
		}
		require.Contains(s.t, want, res.StatusCode, "the link of %s", tenant)
	}
}

// checkNoViolation holds that no promise about deletions was broken.
func (s *system) checkNoViolation(db *pgxpool.Pool) {
	s.t.Helper()
	rows, err := db.Query(s.context(time.Minute), `SELECT stream || ': ' || data FROM lifecycle.log WHERE type LIKE '%compliance.violation%'`)
	require.NoError(s.t, err)
	violations, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(s.t, err)
	require.Empty(s.t, violations)
}

// told are the names of the lifecycle's events about a tenant, in their order, but for those of single steps.
func (s *system) told(db *pgxpool.Pool, tenant string) (names []string) {
	s.t.Helper()
	for _, e := range readStream(s.t, db, tenant) {
		name := strings.TrimSuffix(strings.TrimPrefix(e.Type, "tenure.lifecycle."), ".v1")
		if !strings.HasPrefix(name, "step.") {
			names = append(names, name)
		}
	}
	return names
}

// inOrder holds that these events happened, one after another.
func inOrder(t *testing.T, all []string, want ...string) {
	t.Helper()
	left := want
	for _, name := range all {
		if len(left) > 0 && name == left[0] {
			left = left[1:]
		}
	}
	require.Empty(t, left, "%v are not in this order in %v", want, all)
}

// TestADeletionUndoesAnUpgradeFirst deletes a tenant whose upgrade was paid for and not yet switched to.
func TestADeletionUndoesAnUpgradeFirst(t *testing.T) {
	t.Parallel()
	s := start(t, "TENURE_RETENTION_UNIT=1s")
	db := s.database()
	s.signUp("acme", "starter")
	s.seed("acme", 100, 100, 100)
	before := s.charges("acme").Net
	status, body := s.call("POST", s.at.HTTP+"/sample/_control", `{"switch_ms":60000}`)
	require.Less(t, status, 300, body)
	ctx := s.context(2 * time.Minute)
	op, err := s.api.Upgrade(ctx, "acme", client.Upgrade{Plan: "professional"})
	require.NoError(t, err)
	testkit.WaitFor(t, time.Minute, "the upgrade to be paid for", func() bool { return s.charges("acme").Net > before })
	days := 1
	asked, err := s.api.Delete(ctx, "acme", client.Delete{RetentionDays: &days, Reason: "it is over"})
	require.NoError(t, err)
	require.Equal(t, client.DeletionStatusQueued, asked.Status)
	s.await("acme", "deleted")
	op, err = s.api.Operation(ctx, op.ID)
	require.NoError(t, err)
	require.Equal(t, client.StatusRolledBack, op.Status)
	require.Equal(t, before, s.charges("acme").Net, "the upgrade's money went back")
	s.settled(db)
	inOrder(t, s.told(db, "acme"), "upgrade.started", "deletion.queued", "upgrade.rolled_back", "deletion.requested", "purge.started", "tenant.purged")
	s.checkErased(db, "acme", 200)
	s.checkNoViolation(db)
}

// TestAPurgeWaitsForTheExport deletes a tenant whose export runs for longer than its retention: the archive is made, and goes
// with the tenant.
func TestAPurgeWaitsForTheExport(t *testing.T) {
	t.Parallel()
	s := start(t, "TENURE_RETENTION_UNIT=1s")
	db := s.database()
	s.signUp("acme", "starter")
	s.seed("acme", 100, 100, 100)
	ctx := s.context(2 * time.Minute)
	first, err := s.api.RequestExport(ctx, "acme", client.ExportRequest{})
	require.NoError(t, err)
	links := map[string]string{"acme": s.exported(first.ID).DownloadURL}
	s.checkLinks(links, true)

	gate, err := db.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = gate.Rollback(context.Background()) }()
	_, err = gate.Exec(ctx, `LOCK TABLE sample.documents IN ACCESS EXCLUSIVE MODE`) // no row is read meanwhile
	require.NoError(t, err)
	second, err := s.api.RequestExport(ctx, "acme", client.ExportRequest{})
	require.NoError(t, err)
	days := 1
	_, err = s.api.Delete(ctx, "acme", client.Delete{RetentionDays: &days, Reason: "it is over"})
	require.NoError(t, err)
	testkit.WaitFor(t, time.Minute, "the purge to wait", func() bool {
		return count(t, db, `SELECT count(*) FROM lifecycle.log WHERE stream = 'acme' AND type LIKE '%purge.deferred%'
			AND data::json->>'export_id' = $1`, second.ID) == 1
	})
	require.NoError(t, gate.Rollback(ctx))
	s.await("acme", "deleted")
	s.settled(db)
	inOrder(t, s.told(db, "acme"), "deletion.requested", "purge.deferred", "export.completed", "purge.started", "tenant.purged")
	s.checkLinks(links, false)
	export, err := s.api.Export(ctx, second.ID)
	require.NoError(t, err)
	require.Equal(t, "expired", export.Status)
	require.Empty(t, export.DownloadURL)
	s.checkErased(db, "acme", 200)
	s.checkNoViolation(db)
}

// TestAHoldOneSecondBeforeTheDeadline keeps everything until it is released; then the purge begins at once, and is not late.
func TestAHoldOneSecondBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	s := start(t, "TENURE_RETENTION_UNIT=1s")
	db := s.database()
	s.signUp("acme", "starter")
	s.seed("acme", 100, 100, 100)
	ctx := s.context(2 * time.Minute)
	days := 4
	asked, err := s.api.Delete(ctx, "acme", client.Delete{RetentionDays: &days, Reason: "it is over"})
	require.NoError(t, err)
	testkit.WaitFor(t, time.Minute, "the last second", func() bool { return time.Until(asked.ScheduledFor) < time.Second })
	require.NoError(t, s.api.PlaceHold(ctx, "acme", "a court asks for it"))
	testkit.WaitFor(t, time.Minute, "the purge to wait", func() bool {
		return count(t, db, `SELECT count(*) FROM lifecycle.log WHERE stream = 'acme' AND type LIKE '%purge.deferred%'`) == 1
	})
	require.Equal(t, "deleting", s.await("acme", "deleting").State)
	require.Equal(t, 200, count(t, db, `SELECT (SELECT count(*) FROM sample.documents) + (SELECT count(*) FROM sample.vectors)`))
	_, err = s.api.ReleaseHolds(ctx, "acme", "the case is closed")
	require.NoError(t, err)
	s.await("acme", "deleted")
	s.settled(db)
	inOrder(t, s.told(db, "acme"), "deletion.requested", "hold.placed", "purge.deferred", "hold.released", "purge.started", "tenant.purged")
	s.checkErased(db, "acme", 200)
	s.checkNoViolation(db)
	require.Equal(t, 2, count(t, db, `SELECT count(*) FROM lifecycle.log WHERE stream = 'acme' AND type ~ 'hold\.(placed|released)' AND actor <> ''`),
		"who placed it and who released it stands in the log")
}
