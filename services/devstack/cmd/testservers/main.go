// Command testservers runs a command with the servers that tests need: PostgreSQL and S3 on loopback, thrown away
// afterwards. `make test` uses it, so that the packages share one server instead of starting one each.
//
//	go run ./services/devstack/cmd/testservers go test ./services/...
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"tenure/services/devstack/s3server"
	"tenure/shared/pgserver"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(command []string) int {
	if len(command) == 0 {
		fmt.Fprintln(os.Stderr, "usage: testservers COMMAND [ARGUMENT ...]")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := withServers(ctx, command)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode() // the command has said why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testservers:", err)
		return 1
	}
	return 0
}

func withServers(ctx context.Context, command []string) error {
	here, err := os.Getwd() // the S3 server changes the process's directory
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tenure-testservers-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	database, err := pgserver.Start(ctx, pgserver.Config{Dir: filepath.Join(dir, "postgres"), Settings: map[string]string{
		"max_connections": "1000", "fsync": "off", "full_page_writes": "off",
	}})
	if err != nil {
		return err
	}
	defer database.Stop()
	objects, err := startS3(ctx, filepath.Join(dir, "s3"))
	if err != nil {
		return err
	}
	defer objects.Stop()

	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = here, os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "TENURE_TEST_DATABASE_URL="+database.URL(),
		"TENURE_TEST_S3=http://test:test-secret@"+objects.Endpoint()[len("http://"):])
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.Run()
}

func startS3(ctx context.Context, dir string) (*s3server.Server, error) {
	addr, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	return s3server.Start(ctx, s3server.Config{Dir: dir, Addr: addr, AccessKey: "test", SecretKey: "test-secret", Bucket: "tenure"})
}

func freeAddress(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
