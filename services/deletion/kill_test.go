package deletion_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tenure/services/deletion"
	"tenure/services/deletion/verify"
	"tenure/shared/events"
	"tenure/shared/runner"
	"tenure/shared/testkit"
)

// childVariable makes the test's binary the service itself: a process that can be killed.
const childVariable = "TENURE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(runner.Main("deletion", deletion.New))
	}
	os.Exit(m.Run())
}

// moment is a write in the middle of which the service is killed.
type moment struct{ name, table, op, when string }

// kills are moments of a purge, and of the end of a retention behind it, by the step that leads to them.
var kills = map[string][]moment{
	"erase": {
		{"all is counted", "deletion.erasures", "INSERT", "NEW.store = 'tenure/vault'"},
		{"a store is about to be erased", "deletion.erasures", "UPDATE", "NEW.after IS NULL"},
		{"rows are being erased", "crm.people", "DELETE", "OLD.id = 3000"},
		{"a store was read again", "deletion.erasures", "UPDATE", "NEW.after = 0"},
		{"the step is done", "deletion.jobs", "UPDATE", "NEW.status = 'done'"},
	},
	"verify": {
		{"a store was read again", "deletion.erasures", "UPDATE", "NEW.after = 0"},
		{"the step is answered", "deletion.log", "INSERT", "NEW.type LIKE '%step.completed%'"},
	},
	"certify": {
		{"the keys of personal data are destroyed", "vault.keys", "UPDATE", "true"},
		{"the certificate is signed", "deletion.certificates", "INSERT", "true"},
		{"the certificate is issued", "deletion.log", "INSERT", "NEW.type LIKE '%certificate.issued%'"},
	},
	"retention": {
		{"what is kept is armed", "deletion.retentions", "INSERT", "true"},
		{"what was kept is counted", "deletion.erasures", "INSERT", "NEW.store = 'crm/accounting'"},
		{"kept rows are being erased", "crm.invoices", "DELETE", "OLD.id = 3"},
		{"its certificate is signed", "deletion.retentions", "UPDATE", "NEW.ended_at IS NULL"},
		{"the retention ends", "deletion.retentions", "UPDATE", "NEW.ended_at IS NOT NULL"},
	},
}

// TestKillMinusNineInEveryStep kills the service in the middle of each write of a purge on real stores. It goes on, and there
// is one certificate, which tells what there was before the first kill.
func TestKillMinusNineInEveryStep(t *testing.T) {
	w := newParts(t)
	_, err := w.db.Exec(t.Context(), crm)
	w.check(err)
	w.fill(tenant)
	w.fill("acme-2")
	short := t.TempDir() + "/retention.yaml"
	w.check(os.WriteFile(short, []byte(`
default: {min: 1, default: 30, max: 90}
classes: [{name: accounting, keep_days: 1, basis: "HGB § 257(4)"}]
`), 0o600))
	w.environ["TENURE_RETENTION_POLICY"], w.environ["TENURE_RETENTION_UNIT"] = short, "2s"
	w.check(w.trap())

	w.tell(&events.TenantRegistered{Plan: "starter", Generation: 1})
	w.tell(&events.PurgeStarted{
		Operation:   events.OperationPlan{ID: "op", Kind: "purge"},
		RequestedAt: time.Now().Add(-time.Hour), ScheduledFor: time.Now().Add(-time.Minute), RetentionDays: 30, Generation: 1,
	})
	for _, step := range []string{"erase", "verify", "certify"} {
		w.request(step)
		w.killEach(kills[step])
		stop := w.spawn()
		w.answer(step)
		stop()
	}
	w.tell(&events.TenantPurged{OperationID: "op", Generation: 1})
	w.killEach(kills["retention"])
	defer w.spawn()()
	w.checkTold()
	w.checkAfterKills()
}

func (w *world) killEach(moments []moment) {
	w.Helper()
	for _, m := range moments {
		w.killAt(m)
	}
}

// killAt runs the service until it is in the middle of a write, and kills it there.
func (w *world) killAt(m moment) {
	w.Helper()
	gate, err := pgx.Connect(w.Context(), w.environ["DATABASE_URL"])
	w.check(err)
	defer gate.Close(w.Context())
	for _, sql := range []string{
		`SELECT pg_advisory_lock(` + trapLock + `)`,
		fmt.Sprintf(`CREATE TRIGGER trap BEFORE %s ON %s FOR EACH ROW WHEN (%s) EXECUTE FUNCTION public.trap()`, m.op, m.table, m.when),
	} {
		_, err := gate.Exec(w.Context(), sql)
		w.check(err)
	}
	kill := w.spawn()
	testkit.WaitFor(w, patience, m.name, func() bool {
		var trapped bool
		err := gate.QueryRow(w.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'advisory')`).Scan(&trapped)
		return err == nil && trapped
	})
	kill()
	for _, sql := range []string{
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'advisory'`, // as when its host died with it
		`DROP TRIGGER trap ON ` + m.table,
		`UPDATE deletion.jobs SET lease_until = '-infinity'`, // what the clock would do in ten seconds
	} {
		_, err := gate.Exec(w.Context(), sql)
		w.check(err)
	}
}

const trapLock = "20261122"

// trap makes the function that holds a write up for as long as somebody has the lock.
func (w *world) trap() error {
	_, err := w.db.Exec(w.Context(), `CREATE FUNCTION public.trap() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN PERFORM pg_advisory_xact_lock(`+trapLock+`); RETURN COALESCE(NEW, OLD); END $$`)
	return err
}

// spawn starts the service as a process of its own and returns what kills it.
func (w *world) spawn() (kill func()) {
	w.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"=1")
	for name, value := range w.environ {
		child.Env = append(child.Env, name+"="+value)
	}
	child.Stderr = w.Output()
	w.check(child.Start())
	kill = func() {
		_ = child.Process.Kill() // it may be dead already
		_ = child.Wait()
	}
	w.Cleanup(kill)
	return kill
}

// checkTold: whatever was killed, each fact was told once.
func (w *world) checkTold() {
	w.Helper()
	want := map[string]int{"store.erased": 5, "step.completed": 3, "certificate.issued": 2}
	var told map[string]int
	testkit.WaitFor(w, patience, "the end is told", func() bool {
		told = map[string]int{}
		rows, err := w.db.Query(w.Context(), `SELECT replace(replace(type, 'tenure.deletion.', ''), '.v1', '') FROM log WHERE stream = $1`, tenant)
		w.check(err)
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		w.check(err)
		for _, name := range names {
			told[name]++
		}
		return told["certificate.issued"] >= want["certificate.issued"]
	})
	if !maps.Equal(told, want) {
		w.Errorf("told %v, want %v", told, want)
	}
}

func (w *world) checkAfterKills() {
	w.Helper()
	if rows, files := w.left(tenant); rows != 0 || files != 0 {
		w.Errorf("%d rows and %d files are left", rows, files)
	}
	if rows, files := w.left("acme-2"); rows != 12000 || files != 2*objects {
		w.Errorf("of another tenant %d rows and %d files are left", rows, files)
	}
	for key, erased := range map[string]int64{"certificates/acme/1.json": 12000 + 2*objects + 1, "certificates/acme/1-accounting.json": invoices} {
		document := w.object(key)
		report, err := verify.Certificate(document)
		if err != nil || report.Erased != erased {
			w.Errorf("%s: %+v, %v", key, report, err)
		}
		var sum string
		w.check(w.db.QueryRow(w.Context(), `SELECT data::json->>'sha256' FROM log WHERE type LIKE '%certificate.issued%' AND data::json->>'key' = $1`, key).Scan(&sum))
		if sum != hash(document) {
			w.Errorf("%s is not what was told", key)
		}
	}
	var kept []byte
	w.check(w.db.QueryRow(w.Context(), `SELECT document FROM certificates WHERE tenant_id = $1`, tenant).Scan(&kept))
	if string(kept) != string(w.object("certificates/acme/1.json")) {
		w.Error("the certificate in the bucket is another than the one that was kept")
	}
}
