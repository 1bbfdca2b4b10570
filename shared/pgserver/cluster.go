package pgserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// cluster is the files of one PostgreSQL cluster and how its programs are run:
//
//	DIR/lock           held by the process that runs the cluster
//	DIR/password       the superuser's password
//	DIR/data/          PostgreSQL's data directory
//	DIR/postgres.log   what the server has to say
type cluster struct {
	dir string
	// name is unique to the directory and shows in the command line of each of the server's processes.
	name     string
	bin      Binaries
	as       identity
	password string
	settings map[string]string
}

// identity is as whom PostgreSQL's programs run.
type identity struct {
	attr *syscall.SysProcAttr
	// prefix is the program, if any, that executes them.
	prefix []string
}

// defaults are the settings of a development machine; all that durability needs is on.
var defaults = map[string]string{
	"checkpoint_timeout": "15min",
	"fsync":              "on",
	"jit":                "off", // compiling costs short queries more than it saves
	"lc_messages":        "C",
	"log_timezone":       "UTC",
	"max_connections":    "200",
	"max_wal_size":       "2GB", // fewer checkpoints; recovery of 2 GB takes seconds
	"shared_buffers":     "256MB",
	"synchronous_commit": "on",
	"timezone":           "UTC",
}

// maxSocketPath is the longest path that fits sockaddr_un, less what PostgreSQL adds (".s.PGSQL.12345.lock").
const maxSocketPath = 107 - len("/.s.PGSQL.12345.lock")

func (c *cluster) dataDir() string { return filepath.Join(c.dir, "data") }
func (c *cluster) logPath() string { return filepath.Join(c.dir, "postgres.log") }
func (c *cluster) pidPath() string { return filepath.Join(c.dataDir(), "postmaster.pid") }

// majorOf tells the major version of the cluster in dir: only programs of the same one can open it. 0: none yet.
func majorOf(dir string) int {
	data, err := os.ReadFile(filepath.Join(dir, "data", "PG_VERSION"))
	if err != nil {
		return 0
	}
	major, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return major
}

// init makes the cluster if there is none. It is made beside its place and renamed, so that a kill in the middle
// leaves nothing that looks like a cluster.
func (c *cluster) init(ctx context.Context, t thread) error {
	_, err := os.Stat(c.dataDir())
	exists := err == nil
	if err := c.loadPassword(exists); err != nil {
		return err
	}
	if exists {
		return c.rotateLog()
	}
	fresh := c.dataDir() + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	args := []string{
		"--pgdata=" + fresh, "--username=" + User, "--pwfile=" + c.passwordPath(), "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C", "--no-instructions",
	}
	if c.settings["fsync"] == "off" {
		args = append(args, "--no-sync")
	}
	if err := c.run(ctx, t, "initdb", args...); err != nil {
		return fmt.Errorf("make a cluster in %s: %w", c.dir, err)
	}
	return os.Rename(fresh, c.dataDir())
}

func (c *cluster) passwordPath() string { return filepath.Join(c.dir, "password") }

// loadPassword reads the superuser's password; for a new cluster it is made first.
func (c *cluster) loadPassword(exists bool) error {
	data, err := os.ReadFile(c.passwordPath())
	switch {
	case err == nil && len(bytes.TrimSpace(data)) > 0:
		c.password = string(bytes.TrimSpace(data))
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case exists:
		return fmt.Errorf("%s has no password in it, but a cluster is there: put the file back or delete %s", c.passwordPath(), c.dir)
	}
	c.password = rand.Text()
	return os.WriteFile(c.passwordPath(), []byte(c.password+"\n"), 0o600)
}

// rotateLog keeps the log of the run before, and no more.
func (c *cluster) rotateLog() error {
	err := os.Rename(c.logPath(), c.logPath()+".old")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// args are the postmaster's. Settings go on the command line rather than into postgresql.conf: each start has
// exactly those of this build.
func (c *cluster) args(port int) []string {
	settings := maps.Clone(defaults)
	maps.Copy(settings, c.settings)
	settings["cluster_name"] = c.name
	settings["listen_addresses"] = "127.0.0.1"
	settings["port"] = strconv.Itoa(port)
	settings["unix_socket_permissions"] = "0700"
	settings["unix_socket_directories"] = "" // a path that is too long would keep the server from starting
	if len(c.dir) <= maxSocketPath && !strings.ContainsAny(c.dir, `,"`) {
		settings["unix_socket_directories"] = c.dir
	}
	args := []string{"-D", c.dataDir()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// command is one of PostgreSQL's programs, to be run under the identity that suits it. It is killed when ctx ends.
func (c *cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	line := append(slices.Clone(c.as.prefix), filepath.Join(c.bin.Dir, name))
	line = append(line, args...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Dir = "/" // ours may be closed to whom the program runs as
	cmd.Env = environment()
	cmd.SysProcAttr = c.as.attr
	return cmd
}

// run runs a program to its end.
func (c *cluster) run(ctx context.Context, t thread, name string, args ...string) error {
	cmd := c.command(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := t.start(cmd); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, errors.Join(err, ctx.Err()), tail(out.Bytes()))
	}
	return nil
}

// environment is ours without PostgreSQL's own variables: a PGDATA or PGPORT of the user's shell speaks of
// another server.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "PG") })
}

func (c *cluster) logTail() string {
	data, err := os.ReadFile(c.logPath())
	if err != nil {
		return err.Error()
	}
	return tail(data)
}

// tail is the end of a program's output, as much as fits a message.
func tail(out []byte) string {
	const most = 2000
	if len(out) > most {
		out = out[len(out)-most:]
	}
	return strings.TrimSpace(string(out))
}
