package testkit_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/testkit"
)

const soon = 10 * time.Second

func TestDatabasesAreSeparate(t *testing.T) {
	for _, name := range []string{"one", "another"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := connect(t, testkit.Postgres(t))
			if _, err := db.Exec(t.Context(), "CREATE TABLE same_name (n int)"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDatabaseIsDroppedAfterTheTest(t *testing.T) {
	var dbURL string
	t.Run("inner", func(t *testing.T) {
		dbURL = testkit.Postgres(t)
		connect(t, dbURL) // still open when the test ends
	})
	_, err := pgx.Connect(t.Context(), dbURL)
	if pgErr := (*pgconn.PgError)(nil); !errors.As(err, &pgErr) || pgErr.Code != "3D000" {
		t.Errorf("connect: %v, want that the database does not exist", err)
	}
}

// TestServerDiesWithTheTestProcess runs this test binary again and looks at the server that it leaves.
func TestServerDiesWithTheTestProcess(t *testing.T) {
	if os.Getenv("TESTKIT_TEST_INNER") != "" {
		db := connect(t, testkit.Postgres(t))
		var dir string
		if err := db.QueryRow(t.Context(), "SHOW data_directory").Scan(&dir); err != nil {
			t.Fatal(err)
		}
		t.Log("DIRECTORY", dir)
		return
	}
	if os.Getenv(testkit.DatabaseVariable) != "" {
		t.Skip("the server is not ours")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServerDiesWithTheTestProcess$", "-test.v")
	cmd.Env = append(os.Environ(), "TESTKIT_TEST_INNER=1")
	out, err := cmd.CombinedOutput()
	_, rest, found := strings.Cut(string(out), "DIRECTORY ")
	if err != nil || !found {
		t.Fatalf("%v: %s", err, out)
	}
	dir, _, _ := strings.Cut(rest, "\n")
	pidFile, err := os.ReadFile(dir + "/postmaster.pid")
	if err != nil {
		return // it is gone already, and took its pid file along
	}
	pid, _, _ := strings.Cut(string(pidFile), "\n")
	testkit.WaitFor(t, soon, "the server has ended", func() bool {
		cmdline, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		return len(cmdline) == 0
	})
}

func TestFailQueryFailsAsOftenAsTold(t *testing.T) {
	db := connect(t, testkit.Postgres(t))
	execute(t, db, "CREATE TABLE things (name text)")
	heal := testkit.FailQuery(t, db, testkit.Failure{Table: "things", Op: "INSERT", When: "NEW.name = 'bad'", Times: 2})
	insert := func(name string) error {
		_, err := db.Exec(t.Context(), "INSERT INTO things VALUES ($1)", name)
		return err
	}
	for i, want := range []bool{false, false, true} {
		if err := insert("bad"); (err == nil) != want {
			t.Errorf("try %d: %v", i+1, err)
		}
	}
	if err := insert("good"); err != nil {
		t.Errorf("a row that When does not pick: %v", err)
	}
	heal()

	heal = testkit.FailQuery(t, db, testkit.Failure{Table: "things", Op: "DELETE"})
	if _, err := db.Exec(t.Context(), "DELETE FROM things"); err == nil {
		t.Error("the DELETE should fail")
	}
	heal()
	tag, err := db.Exec(t.Context(), "DELETE FROM things")
	if err != nil || tag.RowsAffected() != 2 {
		t.Errorf("after the healing: %v rows, %v", tag.RowsAffected(), err)
	}
}

func TestNATSKeepsItsStreamsOverARestart(t *testing.T) {
	server := testkit.NATS(t)
	nc, err := nats.Connect(server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s.1", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	before := server.URL()
	server.Stop()
	testkit.WaitFor(t, soon, "the client noticed", func() bool { return !nc.IsConnected() })
	server.Start()
	if server.URL() != before {
		t.Errorf("moved from %s to %s", before, server.URL())
	}
	testkit.WaitFor(t, soon, "the client is back", nc.IsConnected)
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	if msg, err := stream.GetMsg(t.Context(), 1); err != nil || string(msg.Data) != "kept" {
		t.Errorf("the message is %v (%v)", msg, err)
	}
}

func TestProxyCutsAndRefuses(t *testing.T) {
	proxy, dbURL := testkit.ProxyURL(t, testkit.Postgres(t))
	db := connect(t, dbURL)
	execute(t, db, "SELECT 1")

	proxy.Cut()
	if _, err := db.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the connection should be cut")
	}
	execute(t, connect(t, dbURL), "SELECT 1") // new ones are let in

	proxy.Down()
	if _, err := pgx.Connect(t.Context(), dbURL); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect while down: %v, want refused", err)
	}
	proxy.Up()
	execute(t, connect(t, dbURL), "SELECT 1")
}

func TestProxyDelays(t *testing.T) {
	proxy, dbURL := testkit.ProxyURL(t, testkit.Postgres(t))
	db := connect(t, dbURL)
	const delay = 30 * time.Millisecond
	proxy.Delay(delay)
	begin := time.Now()
	execute(t, db, "SELECT 1")
	if took := time.Since(begin); took < 2*delay {
		t.Errorf("an answer after %v, want %v each way", took, delay)
	}
}

// The lost acknowledgement: the server commits, the program hears nothing but that the connection broke.
func TestProxyLosesAnswersOfWhatWasDone(t *testing.T) {
	direct := testkit.Postgres(t)
	proxy, dbURL := testkit.ProxyURL(t, direct)
	db, watcher := connect(t, dbURL), connect(t, direct)
	execute(t, db, "CREATE TABLE things (n int)")

	proxy.SwallowAnswers(true)
	result := make(chan error, 1)
	go func() {
		_, err := db.Exec(context.Background(), "INSERT INTO things VALUES (1)", pgx.QueryExecModeSimpleProtocol)
		result <- err
	}()
	testkit.WaitFor(t, soon, "the row is there", func() bool {
		var n int
		if err := watcher.QueryRow(t.Context(), "SELECT count(*) FROM things").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	proxy.Cut()
	if err := testkit.Receive(t, soon, result); err == nil {
		t.Error("the program heard of its success")
	}
}

func TestGoldenSeesADifference(t *testing.T) {
	testkit.Golden(t, "golden.txt", []byte("as it was\n"))
	inner := &recorder{TB: t}
	testkit.Golden(inner, "golden.txt", []byte("otherwise\n"))
	if !inner.failed {
		t.Error("a difference was not seen")
	}
}

func TestWaitForGivesUp(t *testing.T) {
	inner := &recorder{TB: t}
	testkit.WaitFor(inner, time.Millisecond, "never", func() bool { return false })
	if !inner.failed {
		t.Error("waiting for nothing should fail")
	}
}

// recorder is a test whose failure is wanted.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Fatalf(string, ...any) { r.failed = true }

func connect(t *testing.T, dbURL string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dbURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, db *pgx.Conn, sql string) {
	t.Helper()
	if _, err := db.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}
