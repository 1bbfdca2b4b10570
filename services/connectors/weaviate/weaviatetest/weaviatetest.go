// Package weaviatetest starts a real Weaviate for tests. Its server is built from the module of its name, once, into the
// user's cache; it is no part of this module, whose dependencies it would multiply.
package weaviatetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Version of the server.
const Version = "v1.35.2"

const module = "github.com/weaviate/weaviate/cmd/weaviate-server"

// startTimeout bounds the wait for a server of one node to elect itself, which takes some 6 s.
const startTimeout = 2 * time.Minute

// Binary is the path of the server, which it builds when there is none. That takes 2 cores some 5 minutes.
func Binary(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "tenure", "weaviate-"+Version)
	binary := filepath.Join(dir, "weaviate-server")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Built apart, so that nobody who runs at the same time starts half of it.
	apart, err := os.MkdirTemp(dir, "build-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(apart)
	fmt.Fprintf(os.Stderr, "Building %s@%s into %s, once, which takes some minutes...\n", module, Version, dir)
	build := exec.CommandContext(ctx, "go", "install", module+"@"+Version)
	build.Dir = apart
	build.Env = append(os.Environ(), "GOBIN="+apart, "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build Weaviate's server: %w (put a weaviate-server of %s at %s by hand, or make the Go module proxy reachable)\n%s",
			err, Version, binary, tail(out))
	}
	return binary, os.Rename(filepath.Join(apart, "weaviate-server"), binary)
}

// Server is a running Weaviate of one node, without authentication.
type Server struct {
	// URL of its HTTP API.
	URL string

	dir string
	cmd *exec.Cmd
	log bytes.Buffer
}

// Start runs a server on ports of its own. extra are settings that it shall have beside, "NAME=value". The caller stops it.
func Start(ctx context.Context, extra ...string) (*Server, error) {
	binary, err := Binary(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tenure-weaviate-*")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	if err := s.run(ctx, binary, extra); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start Weaviate: %w\n%s", err, tail(s.log.Bytes()))
	}
	return s, nil
}

func (s *Server) run(ctx context.Context, binary string, extra []string) error {
	ports, err := freePorts(ctx, 7)
	if err != nil {
		return err
	}
	s.URL = "http://127.0.0.1:" + ports[0]
	s.cmd = exec.Command(binary, "--scheme", "http", "--host", "127.0.0.1", "--port", ports[0])
	s.cmd.Dir = s.dir
	s.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir,
		"PERSISTENCE_DATA_PATH=" + filepath.Join(s.dir, "data"),
		"AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=true",
		"DEFAULT_VECTORIZER_MODULE=none", "DISABLE_TELEMETRY=true", "LOG_LEVEL=warning",
		"CLUSTER_HOSTNAME=node1", "CLUSTER_ADVERTISE_ADDR=127.0.0.1",
		"CLUSTER_GOSSIP_BIND_PORT=" + ports[1], "CLUSTER_DATA_BIND_PORT=" + ports[2],
		"RAFT_PORT=" + ports[3], "RAFT_INTERNAL_RPC_PORT=" + ports[4], "RAFT_JOIN=node1:" + ports[3], "RAFT_BOOTSTRAP_EXPECT=1",
		"GRPC_PORT=" + ports[5], "PROFILING_PORT=" + ports[6],
	}, extra...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	return s.waitUntilReady(ctx, ended)
}

func (s *Server) waitUntilReady(ctx context.Context, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for !s.ready(ctx) {
		select {
		case err := <-ended:
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return errors.New("it is not ready")
		case <-again.C:
		}
	}
	return nil
}

func (s *Server) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v1/.well-known/ready", http.NoBody)
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

// Stop kills the server and removes its data.
func (s *Server) Stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
	}
	os.RemoveAll(s.dir)
}

func freePorts(ctx context.Context, n int) ([]string, error) {
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

// tail is the end of a program's output.
func tail(out []byte) []byte { return out[max(0, len(out)-4<<10):] }
