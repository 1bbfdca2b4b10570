// Package clickhousetest starts a real ClickHouse for tests: the one that is installed.
package clickhousetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"tenure/services/connectors/remote/remotetest"
)

const startTimeout = time.Minute

// Server is a running ClickHouse with a database "default", and a user "default" without a password.
type Server struct {
	*remotetest.Process
	// URL of its HTTP interface.
	URL string
}

// Start runs a server on a port and in a directory of its own. The caller stops it.
func Start(ctx context.Context) (*Server, error) {
	program, err := installed()
	if err != nil {
		return nil, err
	}
	ports, err := remotetest.FreePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	url := "http://127.0.0.1:" + ports[0] + "/"
	process, err := remotetest.Run(ctx, startTimeout, url, func(dir string) (*exec.Cmd, error) {
		command := append(program, "--config-file="+filepath.Join(dir, "config.xml"))
		return exec.CommandContext(ctx, command[0], command[1:]...), configure(dir, ports[0])
	})
	if err != nil {
		return nil, fmt.Errorf("start ClickHouse: %w", err)
	}
	return &Server{process, url}, nil
}

// installed is how to run the server: Debian's package has a program for it, ClickHouse's own packages have one for everything.
func installed() ([]string, error) {
	if path, err := exec.LookPath("clickhouse-server"); err == nil {
		return []string{path}, nil
	}
	if path, err := exec.LookPath("clickhouse"); err == nil {
		return []string{path, "server"}, nil
	}
	// Debian's place, which is not in every user's PATH.
	if path, err := exec.LookPath("/usr/sbin/clickhouse-server"); err == nil {
		return []string{path}, nil
	}
	return nil, errors.New("clickhouse-server is missing: run `scripts/setup test` as root, or install Debian's package clickhouse-server")
}

func configure(dir, port string) error {
	for name, content := range map[string]string{
		"config.xml": fmt.Sprintf(config, port, filepath.Join(dir, "data"), filepath.Join(dir, "tmp")),
		"users.xml":  users,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
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
