package app_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"tenure/services/export/internal/store"
	"tenure/shared/pg"
)

const hour = time.Hour

// claimed takes jobs as idle workers would, until there is none, and names them.
func (b *bench) claimed(t *testing.T) (ids []string) {
	t.Helper()
	for job := b.claim(t, hour); job != nil; job = b.claim(t, hour) {
		ids = append(ids, job.ExportID)
	}
	return ids
}

func checkOrder(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("claimed %q, not %q", got, want)
	}
}

func TestHigherPlansGoFirstAndNobodyStarves(t *testing.T) {
	b := newBench(t)
	now := time.Now()
	for _, job := range []store.Job{
		{ExportID: "low-old", TenantID: "a", Rank: 0, RequestedAt: now.Add(-hour)},
		{ExportID: "low", TenantID: "b", Rank: 0, RequestedAt: now},
		{ExportID: "high-young", TenantID: "c", Rank: 3, RequestedAt: now},
		{ExportID: "high", TenantID: "d", Rank: 3, RequestedAt: now.Add(-time.Minute)},
		{ExportID: "middle", TenantID: "e", Rank: 1, RequestedAt: now.Add(-time.Minute)},
	} {
		b.enqueueJob(t, job)
	}
	checkOrder(t, b.claimed(t), "low-old", "high", "high-young", "middle", "low")
}

func TestATenantHasOneRunningExport(t *testing.T) {
	b := newBench(t)
	b.enqueue(t, "first")
	b.enqueue(t, "second")
	b.enqueueJob(t, store.Job{ExportID: "of-another", TenantID: "other"})
	first := b.claim(t, hour)
	checkOrder(t, append(b.claimed(t), first.ExportID), "of-another", "first")
	check(t, store.Fail(t.Context(), b.db, first, "a reason"))
	checkOrder(t, b.claimed(t), "second")
}

// TestClaimsSideBySide has many workers claim at the same instant: no tenant may come out twice.
func TestClaimsSideBySide(t *testing.T) {
	b := newBench(t)
	const tenants, exports = 5, 4
	for i := range tenants * exports {
		b.enqueueJob(t, store.Job{ExportID: string(rune('a' + i)), TenantID: string(rune('A' + i%tenants))})
	}
	found := make([]*store.Job, tenants*exports)
	var workers errgroup.Group
	for i := range found {
		workers.Go(func() error {
			return pg.WithTx(t.Context(), b.db, func(tx pgx.Tx) (err error) {
				found[i], err = store.Claim(t.Context(), tx, hour)
				return err
			})
		})
	}
	check(t, workers.Wait())
	running := map[string]int{}
	for _, job := range found {
		if job != nil {
			running[job.TenantID]++
		}
	}
	for tenant, n := range running {
		if n > 1 {
			t.Errorf("%d exports of %s run", n, tenant)
		}
	}
	if len(running) != tenants {
		t.Errorf("%d tenants' exports run, not %d", len(running), tenants)
	}
}

func TestAJobWaitsForEveryParticipant(t *testing.T) {
	b := newBench(t)
	b.enqueueJob(t, store.Job{ExportID: "exp_1", TenantID: "acme", Participants: []string{"crm", "mailer"}})
	answer := store.Contribution{At: time.Now(), Result: json.RawMessage(`{"files": []}`)}
	for _, name := range []string{"crm", "crm", "somebody"} {
		checkOrder(t, b.claimed(t))
		check(t, store.Contribute(t.Context(), b.db, "exp_1", name, answer))
	}
	if missing := b.job(t, "exp_1").Missing(); len(missing) != 1 || missing[0] != "mailer" {
		t.Errorf("it waits for %q", missing)
	}
	check(t, store.Contribute(t.Context(), b.db, "exp_1", "mailer", answer))
	checkOrder(t, b.claimed(t), "exp_1")
}

func TestADroppedJobNeverRuns(t *testing.T) {
	b := newBench(t)
	b.enqueueJob(t, store.Job{ExportID: "exp_1", TenantID: "acme", Participants: []string{"crm"}})
	check(t, store.Drop(t.Context(), b.db, "exp_1", "crm: no such tenant"))
	checkOrder(t, b.claimed(t))
	if job := b.job(t, "exp_1"); job.Status != store.Failed || job.Error != "crm: no such tenant" {
		t.Errorf("the job is %+v", job)
	}
}

func TestRatesFollowTheHeartbeats(t *testing.T) {
	b := newBench(t)
	b.enqueue(t, "exp_1")
	job := b.claim(t, hour)
	job.Done, job.ContentBytes = 1000, 1000 // kept by a former holder: no merit of this one
	beat := func() *store.Job {
		_, err := store.Beat(t.Context(), b.db, job, hour)
		check(t, err)
		_, err = b.db.Exec(t.Context(), `UPDATE jobs SET beat_at = beat_at - interval '1 second'`)
		check(t, err)
		return b.job(t, "exp_1")
	}
	if first := beat(); first.RowsPerSecond != 0 {
		t.Errorf("after one heartbeat it reads %g rows/s", first.RowsPerSecond)
	}
	job.Done, job.ContentBytes = 1100, 51_000
	second := beat()
	if second.RowsPerSecond < 50 || second.RowsPerSecond > 100 || second.BytesPerSecond < 25_000 || second.BytesPerSecond > 50_000 {
		t.Errorf("100 rows of 50,000 bytes in a second are %g rows/s and %g bytes/s", second.RowsPerSecond, second.BytesPerSecond)
	}
	if third := beat(); third.RowsPerSecond <= second.RowsPerSecond/2 || third.RowsPerSecond >= second.RowsPerSecond {
		t.Errorf("a second without rows makes %g rows/s of %g", third.RowsPerSecond, second.RowsPerSecond)
	}
}
