// Package weaviatetest starts a real Weaviate for tests. Its server is built from the module of its name, once, into the
// user's cache; it is no part of this module, whose dependencies it would multiply.
package weaviatetest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"tenure/services/connectors/remote/remotetest"
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
	var said progress
	build := exec.CommandContext(ctx, "go", "install", "-v", module+"@"+Version)
	build.Dir, build.Stdout, build.Stderr = apart, &said, &said
	build.Env = append(os.Environ(), "GOBIN="+apart, "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build Weaviate's server: %w (put a weaviate-server of %s at %s by hand, or make the Go module proxy reachable)\n%s",
			err, Version, binary, said.Bytes()[max(0, said.Len()-4<<10):])
	}
	return binary, os.Rename(filepath.Join(apart, "weaviate-server"), binary)
}

// progress keeps what a verbose build says, a line per module that it fetches and per package that it compiles, and shows
// people now and then that it goes on.
type progress struct{ bytes.Buffer }

func (p *progress) Write(said []byte) (int, error) {
	const each = 100 // of some 2,000 lines
	before := bytes.Count(p.Bytes(), []byte("\n"))
	n, err := p.Buffer.Write(said)
	if steps := bytes.Count(p.Bytes(), []byte("\n")); steps/each > before/each {
		fmt.Fprintf(os.Stderr, "  %d modules and packages done\n", steps)
	}
	return n, err
}

// Server is a running Weaviate of one node, without authentication.
type Server struct {
	*remotetest.Process
	// URL of its HTTP API.
	URL string
}

// Start runs a server on ports of its own. extra are settings that it shall have beside, "NAME=value". The caller stops it.
func Start(ctx context.Context, extra ...string) (*Server, error) {
	binary, err := Binary(ctx)
	if err != nil {
		return nil, err
	}
	ports, err := remotetest.FreePorts(ctx, 7)
	if err != nil {
		return nil, err
	}
	url := "http://127.0.0.1:" + ports[0]
	process, err := remotetest.Run(ctx, startTimeout, url+"/v1/.well-known/ready", func(dir string) (*exec.Cmd, error) {
		cmd := exec.CommandContext(ctx, binary, "--scheme", "http", "--host", "127.0.0.1", "--port", ports[0])
		cmd.Env = append(settings(dir, ports[1:]), extra...)
		return cmd, nil
	})
	if err != nil {
		return nil, fmt.Errorf("start Weaviate: %w", err)
	}
	return &Server{process, url}, nil
}

func settings(dir string, ports []string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir,
		"PERSISTENCE_DATA_PATH=" + filepath.Join(dir, "data"),
		"AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=true",
		"DEFAULT_VECTORIZER_MODULE=none", "DISABLE_TELEMETRY=true", "LOG_LEVEL=warning",
		"CLUSTER_HOSTNAME=node1", "CLUSTER_ADVERTISE_ADDR=127.0.0.1",
		"CLUSTER_GOSSIP_BIND_PORT=" + ports[0], "CLUSTER_DATA_BIND_PORT=" + ports[1],
		"RAFT_PORT=" + ports[2], "RAFT_INTERNAL_RPC_PORT=" + ports[3], "RAFT_JOIN=node1:" + ports[2], "RAFT_BOOTSTRAP_EXPECT=1",
		"GRPC_PORT=" + ports[4], "PROFILING_PORT=" + ports[5],
	}
}
