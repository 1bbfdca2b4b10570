package testkit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/shared/pgserver"
)

const (
	// DatabaseVariable names the environment variable with the URL of a PostgreSQL server to test on. Its user
	// must be allowed to create databases. Unset, a private server is started.
	DatabaseVariable = "TENURE_TEST_DATABASE_URL"
	// FsyncVariable, when "1", lets the private server sync to disk. Without, a power cut loses its data, which is
	// thrown away after the test anyway.
	FsyncVariable = "TENURE_TEST_FSYNC"
)

// patience bounds what the kit itself does to a server. A cold machine may fetch PostgreSQL first.
const patience = 2 * time.Minute

// Postgres gives the test an empty database and answers its URL, with the rights to do all in it. The database is
// dropped when the test ends. Safe in parallel tests.
func Postgres(t testing.TB) string {
	t.Helper()
	admin, err := adminOnce()
	if err != nil {
		t.Fatalf("testkit: no PostgreSQL for the tests: %v", err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	admin.exec(t, "CREATE DATABASE "+name+" TEMPLATE template0")
	t.Cleanup(func() { admin.exec(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	u := admin.url
	u.Path = "/" + name
	return u.String()
}

// admin is the connection that makes and drops the databases: one per test process, as is the server.
type admin struct {
	url  url.URL
	pool *pgxpool.Pool
}

var adminOnce = sync.OnceValues(newAdmin)

func newAdmin() (*admin, error) {
	// Not the context of the test that happens to come first: the server serves all of them.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	raw := os.Getenv(DatabaseVariable)
	if raw == "" {
		var err error
		if raw, err = startServer(ctx); err != nil {
			return nil, err
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%s must be a URL: postgres://user:password@host:port/database", DatabaseVariable)
	}
	pool, err := pgxpool.New(ctx, raw)
	if err != nil {
		return nil, err
	}
	return &admin{url: *u, pool: pool}, pool.Ping(ctx)
}

func (a *admin) exec(t testing.TB, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := a.pool.Exec(ctx, sql); err != nil {
		t.Errorf("testkit: %s: %v", sql, err)
	}
}

// startServer starts this process's own server. Nobody stops it: it dies with the process.
func startServer(ctx context.Context) (string, error) {
	removeLeftovers()
	template, err := template(ctx)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", fmt.Sprintf(dirPattern, os.Getpid()))
	if err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", template+"/.", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("copy %s: %w: %s", template, err, out)
	}
	server, err := pgserver.Start(ctx, pgserver.Config{Dir: dir, Settings: settings()})
	if err != nil {
		return "", fmt.Errorf("%w (if the template is damaged, delete %s)", err, template)
	}
	return server.URL(), nil
}

func settings() map[string]string {
	s := map[string]string{"max_connections": "500"}
	if os.Getenv(FsyncVariable) != "1" {
		s["fsync"] = "off"
		s["full_page_writes"] = "off"
	}
	return s
}

// dirPattern is the name of a server's directory: the process id of its test process and a random part.
const dirPattern = "tenure-test-%d-*"

// removeLeftovers removes the directories of test processes that are gone: a process cannot remove that of the
// server that dies with it.
func removeLeftovers() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "tenure-test-*"))
	for _, dir := range dirs {
		var pid int
		if _, err := fmt.Sscanf(filepath.Base(dir), "tenure-test-%d-", &pid); err != nil {
			continue
		}
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir) // that of another user stays
		}
	}
}

// template answers the directory of a new, stopped cluster, which is copied for each test process: initdb takes
// longer than many a package's tests. It stays in the user's cache.
func template(ctx context.Context) (string, error) {
	bin, err := pgserver.Find(ctx)
	if err != nil {
		return "", err
	}
	caches, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory for the test cluster: %w", err)
	}
	dir := filepath.Join(caches, "tenure", "test-cluster-"+bin.Version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "test-cluster-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	server, err := pgserver.Start(ctx, pgserver.Config{Dir: fresh, Settings: map[string]string{"fsync": "off"}})
	if err != nil {
		return "", err
	}
	server.Stop()
	syscall.Sync() // it was made without syncing, and is kept
	if err := os.Rename(fresh, dir); err != nil {
		// Another test process was first: its template is as good.
		if _, statErr := os.Stat(dir); statErr != nil {
			return "", err
		}
	}
	return dir, nil
}
