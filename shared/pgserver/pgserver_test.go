package pgserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestMain also plays the part of a program that runs a cluster: the tests start this binary again and kill it.
func TestMain(m *testing.M) {
	if dir := os.Getenv("PGSERVER_TEST_RUN"); dir != "" {
		s, err := Start(context.Background(), Config{Dir: dir})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(s.URL())
		select {}
	}
	os.Exit(m.Run())
}

func TestCommittedRowsSurviveStopAndStart(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	execute(t, s.URL(), "CREATE TABLE kept (n int)")
	execute(t, s.URL(), "INSERT INTO kept VALUES (1)")
	s.Stop()
	s.Stop() // twice is harmless

	s = start(t, Config{Dir: dir, Settings: map[string]string{"max_connections": "17"}})
	if got := ask[int](t, s.URL(), "SELECT count(*) FROM kept"); got != 1 {
		t.Errorf("%d rows after a restart, want 1", got)
	}
	for setting, want := range map[string]string{"fsync": "on", "synchronous_commit": "on", "max_connections": "17", "TimeZone": "UTC"} {
		if got := ask[string](t, s.URL(), "SELECT current_setting('"+setting+"')"); got != want {
			t.Errorf("%s = %s, want %s", setting, got, want)
		}
	}
}

func TestPasswordIsAsked(t *testing.T) {
	s := start(t, quick(t.TempDir()))
	u, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(User, "guess")
	if conn, err := pgx.Connect(t.Context(), u.String()); err == nil {
		_ = conn.Close(t.Context())
		t.Error("a wrong password was let in")
	}
	info, err := os.Stat(s.cluster.passwordPath())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the password's file is %v, want 0600", info.Mode().Perm())
	}
}

func TestKilledPostmasterComesBack(t *testing.T) {
	s := start(t, Config{Dir: t.TempDir()})
	execute(t, s.URL(), "CREATE TABLE kept AS SELECT 1 AS n")
	// A backend that is busy does not notice that its postmaster is gone, and keeps a new one from starting.
	busy, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := busy.Exec(context.Background(), "SELECT count(*) FROM generate_series(1, 1e12)")
		ended <- err
	}()
	await(t, 10*time.Second, "the query runs", func() bool {
		return ask[int](t, s.URL(), "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%1e12%' AND state = 'active' AND pid <> pg_backend_pid()") == 1
	})

	killed := s.PID()
	if err := syscall.Kill(killed, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, 5*time.Second, "another postmaster", func() bool { pid := s.PID(); return pid != 0 && pid != killed })
	if got := ask[int](t, s.URL(), "SELECT n FROM kept"); got != 1 {
		t.Errorf("read %d, want 1", got)
	}
	if err := <-ended; err == nil {
		t.Error("the query outlived its server")
	}
}

func TestServerDiesWithItsParentAndStartsAgain(t *testing.T) {
	for name, alsoPostmaster := range map[string]bool{"parent": false, "parent and postmaster": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			parent, dbURL := startParent(t, dir)
			execute(t, dbURL, "CREATE TABLE kept AS SELECT 1 AS n")
			c := cluster{dir: dir, name: ask[string](t, dbURL, "SELECT current_setting('cluster_name')")}
			if alsoPostmaster {
				pid, _ := c.pidFile()
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			if err := parent.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = parent.Wait()

			s := start(t, Config{Dir: dir}) // at once, while the old server may still be going down
			if got := ask[int](t, s.URL(), "SELECT n FROM kept"); got != 1 {
				t.Errorf("read %d, want 1", got)
			}
			s.Stop()
			if left := processes(c.name); len(left) != 0 {
				t.Errorf("processes %v outlive the server", left)
			}
		})
	}
}

func TestServerEndsWhenItsParentIsKilled(t *testing.T) {
	parent, dbURL := startParent(t, t.TempDir())
	name := ask[string](t, dbURL, "SELECT current_setting('cluster_name')")
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await(t, 10*time.Second, "the server's processes are gone", func() bool { return len(processes(name)) == 0 })
}

func TestDirectoryOfAnotherProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, quick(dir))
	_, err := Start(t.Context(), quick(dir))
	wantError(t, err, "another process runs the cluster in "+dir)
}

func TestTakenPortIsNamed(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = Start(t.Context(), Config{Dir: t.TempDir(), Port: port, Settings: map[string]string{"fsync": "off"}})
	wantError(t, err, fmt.Sprintf("another program listens on 127.0.0.1:%d", port))
}

func TestServerThatCannotStartShowsItsLog(t *testing.T) {
	_, err := Start(t.Context(), Config{Dir: t.TempDir(), Settings: map[string]string{"fsync": "off", "shared_buffers": "much"}})
	wantError(t, err, `invalid value for parameter "shared_buffers"`)
}

func TestInterruptedInitLeavesNoCluster(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, "data.new", "base")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	start(t, quick(dir))
}

func TestPIDFileOfAnotherProgramIsRemoved(t *testing.T) {
	dir := t.TempDir()
	s := start(t, quick(dir))
	s.Stop()
	stale := fmt.Sprintf("%d\n%s\n", os.Getpid(), s.cluster.dataDir())
	if err := os.WriteFile(s.cluster.pidPath(), []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, quick(dir))
}

func TestLongPathGoesWithoutASocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	s := start(t, quick(dir))
	if got := ask[string](t, s.URL(), "SELECT current_setting('unix_socket_directories')"); got != "" {
		t.Errorf("socket in %q", got)
	}
}

// quick is a cluster for tests that do not care for durability.
func quick(dir string) Config {
	return Config{Dir: dir, Settings: map[string]string{"fsync": "off"}}
}

func start(t *testing.T, cfg Config) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// startParent runs a cluster in another process and answers its URL.
func startParent(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "PGSERVER_TEST_RUN="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "postgres://") {
		t.Fatalf("the other process said %q (%v)", line, err)
	}
	return cmd, strings.TrimSpace(line)
}

func execute(t *testing.T, dbURL, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dbURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func ask[T any](t *testing.T, dbURL, sql string) (v T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dbURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func await(t *testing.T, within time.Duration, what string, cond func() bool) {
	t.Helper()
	if !poll(within, cond) {
		t.Fatalf("after %v still not: %s", within, what)
	}
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v, want one that says %q", err, text)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		t.Error("it was a timeout")
	}
}
