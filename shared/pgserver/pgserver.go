// Package pgserver runs a private PostgreSQL cluster as a child of this process: for `tenure dev`, the demo and
// the tests. It uses the machine's own PostgreSQL when there is one, else an npm package that carries the real
// binaries; see [Find].
//
// The cluster is a real one, with fsync and synchronous_commit on: what was committed survives kill -9 of this
// process, of the server and of both. The server dies with this process and is started again when it dies alone.
package pgserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

// User is the cluster's superuser.
const User = "tenure"

// Config says where and how a cluster runs.
type Config struct {
	// Dir holds the cluster, its password, its log and its socket. It is made when it is missing.
	Dir string
	// Port on 127.0.0.1. 0 takes a free one, another at each start.
	Port int
	// Settings are postgresql.conf settings that are set above this package's own. "fsync": "off" also skips the
	// syncing of a new cluster: for tests alone.
	Settings map[string]string
	// Log takes what the supervisor has to say. nil: slog.Default().
	Log *slog.Logger
}

// Server is a running cluster. Its methods may be called from any goroutine.
type Server struct {
	cluster cluster
	port    int
	log     *slog.Logger

	lock   *os.File // held as long as the cluster is ours
	thread thread   // starts every child; see thread
	pid    atomic.Int64

	stopping context.Context // ends when Stop is called
	stop     context.CancelFunc
	stopped  chan struct{}
}

// Start brings the cluster in cfg.Dir up and returns when it takes connections: for a new one after some
// seconds, after a crash when the recovery is done. A server that an earlier process left behind is replaced.
// ctx bounds the start alone, not the life of the server.
//
// The error tells what to do when PostgreSQL is not installed, the port is taken, or another process runs the
// same directory.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	dir, err := makeDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	lock, err := lockSoon(ctx, filepath.Join(dir, "lock"))
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("start PostgreSQL: another process runs the cluster in %s: stop it or choose another directory", dir)
	} else if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	s := &Server{log: cfg.Log, lock: lock, thread: newThread(), stopped: make(chan struct{})}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	first, err := s.start(ctx, dir, cfg)
	if err != nil {
		s.stop()
		s.release()
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	go s.supervise(first)
	return s, nil
}

// URL is the superuser's connection string, over TCP on the loopback interface.
func (s *Server) URL() string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(User, s.cluster.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/postgres",
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// PID is the process id of the running postmaster, another one after each restart; 0 while there is none.
func (s *Server) PID() int { return int(s.pid.Load()) }

// Stop ends the server: open transactions are rolled back, then all is checkpointed. It returns when the
// server is gone, and may be called twice.
func (s *Server) Stop() {
	s.stop()
	<-s.stopped
}

// release gives the directory and the thread free.
func (s *Server) release() {
	s.thread.end()
	_ = s.lock.Close()
}

// makeDir makes the directory and answers its real path, from which the cluster's name is derived: two names
// of one directory must not become two clusters.
func makeDir(dir string) (string, error) {
	if dir == "" {
		return "", errors.New("no directory is given")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// start prepares the cluster and brings the first postmaster up.
func (s *Server) start(ctx context.Context, dir string, cfg Config) (*postmaster, error) {
	bin, err := find(ctx, majorOf(dir))
	if err != nil {
		return nil, err
	}
	as, err := identify(ctx, bin, s.thread)
	if err != nil {
		return nil, err
	}
	s.cluster = cluster{
		dir:      dir,
		name:     fmt.Sprintf("tenure-%x", sha256.Sum256([]byte(dir)))[:len("tenure-")+16],
		bin:      bin,
		as:       as,
		settings: cfg.Settings,
	}
	if err := s.cluster.init(ctx, s.thread); err != nil {
		return nil, err
	}
	if err := s.cluster.clearLeftovers(); err != nil {
		return nil, err
	}
	if cfg.Port != 0 {
		s.port = cfg.Port
		return s.launch(ctx)
	}
	return s.launchAnywhere(ctx)
}

// launchAnywhere looks for a free port. Another program may take it before PostgreSQL does, hence the tries.
func (s *Server) launchAnywhere(ctx context.Context) (*postmaster, error) {
	for try := 1; ; try++ {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		s.port = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		p, err := s.launch(ctx)
		if err == nil || try == 5 || !errors.Is(err, errPortTaken) {
			return p, err
		}
	}
}

// supervise keeps a postmaster running until Stop.
func (s *Server) supervise(p *postmaster) {
	defer close(s.stopped)
	defer s.release()
	for {
		select {
		case <-s.stopping.Done():
			s.pid.Store(0)
			p.shutdown()
			return
		case <-p.exited:
		}
		s.pid.Store(0)
		s.log.Warn("PostgreSQL ended unasked: starting it again", "pid", p.cmd.Process.Pid, "status", p.cmd.ProcessState.String())
		if p = s.relaunch(); p == nil {
			return
		}
		s.log.Info("PostgreSQL is back", "pid", p.cmd.Process.Pid)
	}
}

// relaunch tries until the server is up again, and returns nil when it is to stop instead. A failure is not
// final: a full disk, for example, may be emptied.
func (s *Server) relaunch() *postmaster {
	for {
		err := s.cluster.clearLeftovers()
		if err == nil {
			var p *postmaster
			if p, err = s.launch(s.stopping); err == nil {
				return p
			}
		}
		if s.stopping.Err() != nil {
			return nil
		}
		s.log.Error("PostgreSQL does not start: trying again", "err", err, "log", s.cluster.logPath())
		select {
		case <-s.stopping.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}
