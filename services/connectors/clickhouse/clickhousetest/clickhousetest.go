// Package clickhousetest starts a real ClickHouse for tests: the one that is installed.
package clickhousetest

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
	"time"
)

const startTimeout = time.Minute

// Server is a running ClickHouse with a database "default", and a user "default" without a password.
type Server struct {
	// URL of its HTTP interface.
	URL string

	dir string
	cmd *exec.Cmd
	log bytes.Buffer
}

// Start runs a server on a port and in a directory of its own. The caller stops it.
func Start(ctx context.Context) (*Server, error) {
	binary, err := exec.LookPath("clickhouse-server")
	if err != nil {
		return nil, fmt.Errorf("no ClickHouse: install one (Debian: apt-get install clickhouse-server), so that clickhouse-server is in PATH: %w", err)
	}
	dir, err := os.MkdirTemp("", "tenure-clickhouse-*")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	if err := s.run(ctx, binary); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start ClickHouse: %w\n%s", err, tail(s.log.Bytes()))
	}
	return s, nil
}

// The root element's old name is one that all versions read.
const config = `<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <http_port>%s</http_port>
  <listen_host>127.0.0.1</listen_host>
  <path>%s/</path>
  <tmp_path>%s/</tmp_path>
  <mark_cache_size>67108864</mark_cache_size>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
</yandex>
`

const users = `<yandex>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password></password>
    <networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
  </default></users>
</yandex>
`

func (s *Server) run(ctx context.Context, binary string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		return err
	}
	s.URL = "http://127.0.0.1:" + port + "/"
	files := map[string]string{
		"config.xml": fmt.Sprintf(config, port, filepath.Join(s.dir, "data"), filepath.Join(s.dir, "tmp")),
		"users.xml":  users,
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	s.cmd = exec.Command(binary, "--config-file="+filepath.Join(s.dir, "config.xml"))
	s.cmd.Dir = s.dir
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
	again := time.NewTicker(50 * time.Millisecond)
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, http.NoBody)
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

// tail is the end of a program's output.
func tail(out []byte) []byte { return out[max(0, len(out)-4<<10):] }
