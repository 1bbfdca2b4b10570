package remotetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// Process is a server of a test's, with a directory that goes with it.
type Process struct {
	dir string
	cmd *exec.Cmd
	log bytes.Buffer
}

// Run starts a server in a directory of its own and waits until it answers 200 at a URL. command says how, given the directory.
// The caller stops it; the end of ctx kills it.
func Run(ctx context.Context, within time.Duration, ready string, command func(dir string) (*exec.Cmd, error)) (*Process, error) {
	dir, err := os.MkdirTemp("", "tenure-test-server-*")
	if err != nil {
		return nil, err
	}
	p := &Process{dir: dir}
	if p.cmd, err = command(dir); err == nil {
		err = p.start(ctx, within, ready)
	}
	if err != nil {
		p.Stop()
		return nil, fmt.Errorf("%w\n%s", err, p.log.Bytes()[max(0, p.log.Len()-4<<10):])
	}
	return p, nil
}

func (p *Process) start(ctx context.Context, within time.Duration, ready string) error {
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = p.dir, &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !answers(ctx, ready) {
		select {
		case err := <-ended:
			return fmt.Errorf("%s ended: %w", p.cmd.Path, err)
		case <-ctx.Done():
			return errors.New(p.cmd.Path + " is not ready in time")
		case <-again.C:
		}
	}
	return nil
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// Stop kills the server and removes its directory.
func (p *Process) Stop() {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
	}
	os.RemoveAll(p.dir)
}

// FreePorts are ports of loopback that nobody listens on.
func FreePorts(ctx context.Context, n int) ([]string, error) {
	ports := make([]string, n)
	for i := range ports {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all together, so that no port comes twice
		ports[i] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
