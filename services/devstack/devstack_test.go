package devstack_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"tenure/services/devstack"
)

// TestStack starts all parts, uses each, and starts them again on the same directory. It is one test: a process can
// run one stack at a time.
func TestStack(t *testing.T) {
	t.Chdir(t.TempDir()) // the stack changes the working directory; this puts it back
	cfg := config(t.TempDir())
	stack := start(t, cfg)
	before := stack.Addresses()
	checkParts(t, before)

	if _, err := devstack.ReadAddresses(cfg.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("addresses before they were announced: %v", err)
	}
	if err := stack.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	announced, err := devstack.ReadAddresses(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if announced.Postgres != before.Postgres {
		t.Errorf("announced %s, want %s", announced.Postgres, before.Postgres)
	}
	stack.Stop()
	stack.Stop() // a second time does no harm
	if _, err := devstack.ReadAddresses(cfg.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("addresses after the stop: %v", err)
	}

	// What a kill -9 leaves behind.
	if err := os.WriteFile(filepath.Join(cfg.Dir, devstack.AddressesFile), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	stack = start(t, cfg)
	if _, err := devstack.ReadAddresses(cfg.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the addresses of a killed process are still announced: %v", err)
	}
	after := stack.Addresses()
	before.PIDs, after.PIDs = nil, nil
	if got, want := asJSON(t, after), asJSON(t, before); got != want {
		t.Errorf("the addresses moved:\n%s\nwere\n%s", got, want)
	}
	checkParts(t, after)
}

func TestATakenPortStopsTheStart(t *testing.T) {
	t.Chdir(t.TempDir())
	var listen net.ListenConfig
	taken, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := config(t.TempDir())
	cfg.NATSAddr = taken.Addr().String()
	_, err = devstack.Start(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "--nats") {
		t.Fatalf("got %v", err)
	}
	// Nothing of the failed start may be left running.
	cfg.NATSAddr = "127.0.0.1:0"
	start(t, cfg)
}

func config(dir string) devstack.Config {
	return devstack.Config{
		Dir: dir, HTTPAddr: "127.0.0.1:0", NATSAddr: "127.0.0.1:0", StripeAddr: "127.0.0.1:0",
		PostgresSettings: map[string]string{"fsync": "off"},
		Log:              slog.New(slog.DiscardHandler),
	}
}

func start(t *testing.T, cfg devstack.Config) *devstack.Stack {
	t.Helper()
	stack, err := devstack.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stack.Stop)
	return stack
}

func checkParts(t *testing.T, a devstack.Addresses) {
	t.Helper()
	ctx := t.Context()
	for _, part := range []struct {
		name string
		try  func(context.Context, devstack.Addresses) error
	}{
		{"PostgreSQL", tryPostgres},
		{"NATS", tryNATS},
		{"S3", tryS3},
		{"the mailbox", func(ctx context.Context, a devstack.Addresses) error { return tryGet(ctx, a.Mail) }},
		{"the Stripe simulator", func(ctx context.Context, a devstack.Addresses) error { return tryGet(ctx, a.Stripe+"/_sim/log") }},
	} {
		if err := part.try(ctx, a); err != nil {
			t.Errorf("%s: %v", part.name, err)
		}
	}
}

func tryPostgres(ctx context.Context, a devstack.Addresses) error {
	conn, err := pgx.Connect(ctx, a.Postgres)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS kept ()")
	return errors.Join(err, conn.Close(ctx))
}

func tryNATS(_ context.Context, a devstack.Addresses) error {
	conn, err := nats.Connect(a.NATS)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Flush()
}

func tryS3(ctx context.Context, a devstack.Addresses) error {
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(a.S3.Endpoint), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(a.S3.AccessKey, a.S3.SecretKey, ""),
	})
	_, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(a.S3.Bucket)})
	return err
}

func tryGet(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
