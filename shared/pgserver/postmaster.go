package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errPortTaken says that another program listens on the port.
var errPortTaken = errors.New("the port is taken")

// How long an ending postmaster is given before the next, harder signal.
const (
	fastShutdownTime      = 30 * time.Second
	immediateShutdownTime = 5 * time.Second
	pollInterval          = 10 * time.Millisecond
)

// postmaster is one life of the server's main process.
type postmaster struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it is gone
}

// launch starts a postmaster and waits until it takes connections or ctx ends.
func (s *Server) launch(ctx context.Context) (*postmaster, error) {
	if portTaken(ctx, s.port) {
		return nil, fmt.Errorf("%w: another program listens on 127.0.0.1:%d: stop it or choose another port", errPortTaken, s.port)
	}
	logFile, err := os.OpenFile(s.cluster.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	// A file, not a pipe: a server that outlives this process by a moment must not hold the pipe of whoever
	// reads our output (`go test` would wait for it).
	// Not ctx, which bounds the start alone.
	cmd := s.cluster.command(context.WithoutCancel(ctx), "postgres", s.cluster.args(s.port)...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := s.thread.start(cmd); err != nil {
		return nil, err
	}
	p := &postmaster{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(p.exited)
	}()
	if err := s.awaitReady(ctx, p); err != nil {
		return nil, err
	}
	s.pid.Store(int64(cmd.Process.Pid))
	return p, nil
}

// awaitReady waits as pg_ctl does: the postmaster writes its state into its pid file.
func (s *Server) awaitReady(ctx context.Context, p *postmaster) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if pid, state := s.cluster.pidFile(); pid == p.cmd.Process.Pid && state == "ready" {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			if portTaken(ctx, s.port) {
				return errPortTaken
			}
			return fmt.Errorf("the server ended while it started (%s); the end of %s:\n%s", p.cmd.ProcessState, s.cluster.logPath(), s.cluster.logTail())
		case <-ctx.Done():
			p.shutdown()
			return fmt.Errorf("wait until it takes connections: %w", ctx.Err())
		}
	}
}

// shutdown ends the postmaster: fast, then at once (recovery follows at the next start), then by force.
func (p *postmaster) shutdown() {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, fastShutdownTime}, {syscall.SIGQUIT, immediateShutdownTime}, {syscall.SIGKILL, immediateShutdownTime}} {
		_ = p.cmd.Process.Signal(step.signal) // an error means that it is gone
		select {
		case <-p.exited:
			return
		case <-time.After(step.wait):
		}
	}
}

// pidFile reads who runs the cluster, and its state ("starting", "ready", "stopping"): lines 1 and 8 of the file
// that the postmaster keeps in its data directory. 0: nobody.
func (c *cluster) pidFile() (pid int, state string) {
	data, err := os.ReadFile(c.pidPath())
	if err != nil {
		return 0, ""
	}
	lines := strings.Split(string(data), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return 0, ""
	}
	if len(lines) >= 8 {
		state = strings.TrimSpace(lines[7])
	}
	return pid, state
}

// clearLeftovers ends what an earlier postmaster of this cluster left running, so that a new one may start. We
// hold the directory's lock: whoever still runs has lost its supervisor. Commits are safe, recovery replays them.
func (c *cluster) clearLeftovers() error {
	gone := func() bool { return len(processes(c.name)) == 0 }
	for _, signal := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL} {
		for _, pid := range processes(c.name) {
			_ = syscall.Kill(pid, signal) // an error means that it is gone, or that we may not, which is told below
		}
		if poll(immediateShutdownTime, gone) {
			return c.removeStalePIDFile()
		}
	}
	return fmt.Errorf("an earlier server of %s cannot be ended: stop the processes %v", c.dir, processes(c.name))
}

// removeStalePIDFile removes the pid file of a postmaster that is gone. PostgreSQL does so by itself, but not
// when another program has its process id by now, which is likely after a restart of a container.
func (c *cluster) removeStalePIDFile() error {
	pid, _ := c.pidFile()
	if pid == 0 || isPostgres(pid) {
		return nil
	}
	return os.Remove(c.pidPath())
}

// poll asks until cond holds, and reports whether it did in time.
func poll(within time.Duration, cond func() bool) bool {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	again := time.NewTicker(pollInterval)
	defer again.Stop()
	for !cond() {
		select {
		case <-again.C:
		case <-deadline.C:
			return cond()
		}
	}
	return true
}

func portTaken(ctx context.Context, port int) bool {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return errors.Is(err, syscall.EADDRINUSE)
	}
	_ = l.Close()
	return false
}

// thread is one OS thread from which children are started. Linux sends a child its parent-death signal when the
// THREAD that forked it ends, so that this one must live as long as the children.
type thread chan func()

func newThread() thread {
	t := make(thread)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		for f := range t {
			f()
		}
	}()
	return t
}

// start is cmd.Start, from the thread.
func (t thread) start(cmd *exec.Cmd) error {
	done := make(chan error)
	t <- func() { done <- cmd.Start() }
	return <-done
}

func (t thread) end() { close(t) }
