package app_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/services/deletion/internal/app"
	"tenure/services/deletion/internal/certificate"
	"tenure/services/deletion/internal/purge"
	"tenure/services/deletion/internal/store"
	"tenure/shared/events"
	"tenure/shared/testkit"
)

// restored is a world whose tenant was purged, and then came back from a backup in its store.
type restored struct {
	*world
	bucket *bucket
	states map[string]string
	crm    *fakeStore
}

const rowsOfBackup = 7

func newRestored(t *testing.T) *restored {
	crm := &fakeStore{name: "crm", rows: 3}
	r := &restored{world: newWorld(t, crm), bucket: newBucket(), states: map[string]string{tenant: "deleted"}, crm: crm}
	r.run()
	r.purged1()
	r.bucket.put("certificates/acme/1.json", r.documents.get("certificates/acme/1.json"))
	crm.set(func() { crm.rows = rowsOfBackup })
	return r
}

// run starts a process that reads the bucket and the lifecycle's states.
func (r *restored) run() (stop func()) {
	r.app = r.newApp(r.db)
	r.app.Bucket = r.bucket
	r.app.States = func(context.Context) (map[string]string, error) { return r.states, nil }
	return r.start(r.app)
}

// reapply asks for it, waits until it has ended, and returns what became of the tenant.
func (r *restored) reapply(dry bool) store.Reapplied {
	r.Helper()
	request, err := r.app.Reapply(r.Context(), app.ReapplyRequest{DryRun: dry, Actor: "operator:dev"})
	require.NoError(r, err)
	var all []store.Reapplied
	testkit.WaitFor(r, patience, "the tombstones are done", func() bool {
		_, all, err = r.app.Reapplication(r.Context(), request.ID)
		require.NoError(r, err)
		return len(all) == 1 && all[0].Status != store.ReappliedOpen
	})
	return all[0]
}

func (r *restored) wantRefused(reason string) {
	r.Helper()
	for _, dry := range []bool{true, false} {
		got := r.reapply(dry)
		require.Equal(r, store.ReappliedRefused, got.Status)
		require.Contains(r, got.Reason, reason)
	}
	rows, erased := r.crm.state()
	require.EqualValues(r, rowsOfBackup, rows)
	require.Equal(r, 1, erased, "in the purge alone")
}

func TestWhatABackupBroughtBackIsErasedAgain(t *testing.T) {
	r := newRestored(t)
	want := store.Reapplied{Tombstone: purge.Tombstone{Tenant: tenant, Generation: 1, FoundIn: purge.FoundInDatabase}, Rows: rowsOfBackup}

	want.Status = store.ReappliedCounted
	require.Equal(t, want, r.reapply(true))
	rows, _ := r.crm.state()
	require.EqualValues(t, rowsOfBackup, rows, "a dry run erased")
	r.quiet()

	want.Status = store.ReappliedErased
	require.Equal(t, want, r.reapply(false))
	rows, _ = r.crm.state()
	require.Zero(t, rows)
	told := r.wantTold("tombstone.reapplied")
	require.JSONEq(t, `{"reapplication_id":"`+told[0].CausationID+`","generation":1,"rows":7}`, string(told[0].Data))

	want.Rows = 0
	require.Equal(t, want, r.reapply(false), "nothing is left")
	r.quiet()
}

func TestAnIdempotencyKeyIsOneReapplication(t *testing.T) {
	r := newRestored(t)
	ask := func(dry bool) (*store.Reapplication, error) {
		return r.app.Reapply(t.Context(), app.ReapplyRequest{DryRun: dry, Actor: "operator:dev", Key: "k"})
	}
	first, err := ask(true)
	require.NoError(t, err)
	again, err := ask(true)
	require.NoError(t, err)
	require.Equal(t, first.ID, again.ID)
	_, err = ask(false)
	require.ErrorIs(t, err, app.ErrKeyReused)
}

func TestATenantThatIsAliveIsRefused(t *testing.T) {
	r := newRestored(t)
	for state, reason := range map[string]string{
		"active": "shows it active", "deleting": "delete it again", "purging": "shows it purging", "": "does not know the tenant",
	} {
		r.states = map[string]string{tenant: state}
		r.wantRefused(reason)
	}
	r.quiet()
}

func TestATenantThatCameBackIsRefused(t *testing.T) {
	r := newRestored(t)
	r.send(&events.TenantReborn{Generation: 2})
	r.wantRefused("has not heard of its deletion") // an answer of the lifecycle that is older than the news
	r.states = map[string]string{tenant: "active"}
	r.wantRefused("shows it active")
}

// The tenant comes back in the very moment in which its old rows are erased: the erasing ends, and no step of the new life
// begins before it has ended.
func TestATenantComesBackWhileItIsErased(t *testing.T) {
	r := newRestored(t)
	const ofNewLife = 5
	verify := step("verify")
	verify.StepID, verify.OperationID, verify.Operation, verify.Generation = "op2-verify", "op2", "provision", 2
	broken := make(chan struct{})
	r.crm.set(func() {
		r.crm.during = func(ctx context.Context) error {
			defer close(broken)
			r.send(&events.TenantReborn{Generation: 2})
			r.send(verify)
			r.crm.set(func() { r.crm.rows = ofNewLife; r.crm.during = nil })
			<-ctx.Done()
			var claimed bool
			if err := r.db.QueryRow(r.Context(), `SELECT epoch > 0 FROM jobs WHERE step_id = 'op2-verify'`).Scan(&claimed); err != nil || claimed {
				r.Errorf("the new life's step was begun: %v, %v", claimed, err)
			}
			return ctx.Err()
		}
	})
	got := r.reapply(false)
	require.Equal(t, store.ReappliedRefused, got.Status)
	require.Contains(t, got.Reason, "came back")
	select {
	case <-broken:
	case <-time.After(patience):
		t.Fatal("the erasing was not broken off")
	}
	r.wantAnswer(events.StepCompletedName)
	_, erased := r.crm.state()
	require.Equal(t, 3, erased, "in the purge, in the reapplication, and by the new life's own look for remains")
}

func TestALegalHoldKeepsWhatABackupBroughtBack(t *testing.T) {
	r := newRestored(t)
	r.send(&events.HoldPlaced{HoldID: "h1"})
	request, err := r.app.Reapply(t.Context(), app.ReapplyRequest{Actor: "operator:dev"})
	require.NoError(t, err)
	waits := func(reason string) func() bool {
		return func() bool {
			_, all, err := r.app.Reapplication(t.Context(), request.ID)
			require.NoError(t, err)
			return len(all) == 1 && (all[0].Status == store.ReappliedErased) == (reason == "") && bytes.Contains([]byte(all[0].Reason), []byte(reason))
		}
	}
	testkit.WaitFor(t, patience, "it waits for the hold", waits("legal hold"))
	rows, _ := r.crm.state()
	require.EqualValues(t, rowsOfBackup, rows)
	r.send(&events.HoldReleased{HoldID: "h1"})
	testkit.WaitFor(t, patience, "it is done", waits(""))
	rows, _ = r.crm.state()
	require.Zero(t, rows)
}

func TestAReapplicationSurvivesAKill(t *testing.T) {
	r := newRestored(t)
	r.crm.set(func() { r.crm.fail = errAway })
	request, err := r.app.Reapply(t.Context(), app.ReapplyRequest{Actor: "operator:dev"})
	require.NoError(t, err)
	testkit.WaitFor(t, patience, "a worker fails", func() bool { _, erased := r.crm.state(); return erased > 2 })
	r.crm.set(func() { r.crm.fail = nil })
	r.run() // another process
	testkit.WaitFor(t, patience, "it is done", func() bool {
		_, all, err := r.app.Reapplication(t.Context(), request.ID)
		require.NoError(t, err)
		return all[0].Status == store.ReappliedErased
	})
}

// The database was restored to before the purge was certified: the bucket knows of it.
func TestTombstonesOfTheBucketCount(t *testing.T) {
	r := newRestored(t)
	_, err := r.db.Exec(t.Context(), `DELETE FROM certificates`)
	require.NoError(t, err)
	r.bucket.put("certificates/acme/1-invoices.json", []byte(`{}`)) // of a class that was kept: no tombstone
	got := r.reapply(false)
	require.Equal(t, purge.FoundInBucket, got.FoundIn)
	require.Equal(t, store.ReappliedErased, got.Status)
	require.EqualValues(t, rowsOfBackup, got.Rows)
	kept, found, err := store.Certificate(t.Context(), r.db, tenant, 1)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, r.documents.get("certificates/acme/1.json"), kept)
}

func TestForgedTombstonesEraseNothing(t *testing.T) {
	r := newRestored(t)
	_, err := r.db.Exec(t.Context(), `DELETE FROM certificates`)
	require.NoError(t, err)
	genuine := r.documents.get("certificates/acme/1.json")
	stranger, err := certificate.ParseSigner("c3RyYW5nZXJzdHJhbmdlcnN0cmFuZ2Vyc3RyYW5nZXI=")
	require.NoError(t, err)
	forged, err := stranger.Sign(purge.Certificate{Tenant: tenant, Generation: 1})
	require.NoError(t, err)
	for name, document := range map[string][]byte{
		"signed by another": forged, "changed": bytes.Replace(genuine, []byte(`"acme"`), []byte(`"acmf"`), 1),
	} {
		r.bucket.put("certificates/acme/1.json", document)
		t.Log(name)
		r.wantRefused("none of this service's")
	}
	// A genuine one under the name of a later life that never was.
	r.bucket.put("certificates/acme/1.json", genuine)
	r.bucket.put("certificates/acme/2.json", genuine)
	r.wantRefused("another's")
}

// What the certificate says is kept by law stays: a backup does not end the retention.
func TestWhatALawKeepsIsNotErasedAgain(t *testing.T) {
	w, documents, ledger := newKeeper(t, 24*time.Hour)
	r := &restored{world: w, bucket: newBucket(), states: map[string]string{tenant: "deleted"}, crm: documents}
	r.run()
	r.purged1()
	documents.set(func() { documents.rows = rowsOfBackup })
	got := r.reapply(false)
	require.Equal(t, store.ReappliedErased, got.Status)
	require.EqualValues(t, rowsOfBackup, got.Rows)
	rows, _ := documents.state()
	require.Zero(t, rows)
	rows, _ = ledger.state()
	require.EqualValues(t, 4, rows)
}
