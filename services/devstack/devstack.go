// Package devstack runs everything that Tenure's services need on one machine, with nothing installed: NATS
// JetStream, PostgreSQL, an S3 server, a mailbox and a Stripe simulator. All of it is real, and all state is in one
// directory, from which it goes on after a stop or a kill -9.
//
// It is for `tenure dev`, the demo and tests. Production brings its own servers.
package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"tenure/services/devstack/mailbox"
	"tenure/services/devstack/natsserver"
	"tenure/services/devstack/s3server"
	"tenure/services/devstack/stripesim"
	"tenure/shared/pgserver"
)

// Bucket is the S3 bucket that exists from the start.
const Bucket = "tenure"

// OperatorToken may do all. The services take it because TENURE_ENV is dev.
const OperatorToken = "dev"

// Config says where the parts live.
type Config struct {
	// Dir holds all state. It is created when missing, and belongs to one Stack at a time.
	Dir string
	// HTTPAddr, NATSAddr and StripeAddr are host:port. Port 0: the one of the last start, or else a free one. HTTPAddr is
	// for the services; it is found here so that Stripe's webhooks find it too.
	HTTPAddr, NATSAddr, StripeAddr string
	// WebhookSecrets, comma-separated, sign them: the first signs, the receiver takes any. "": one is made up and
	// kept.
	WebhookSecrets string
	// SyncAlways makes JetStream safe from power loss, as in production, at the price of speed.
	SyncAlways bool
	// PostgresSettings are set above the cluster's own, see pgserver.Config.
	PostgresSettings map[string]string
	Log              *slog.Logger
}

// Stack is a set of running parts.
type Stack struct {
	cfg   Config
	state *state
	lock  *os.File

	nats     *natsserver.Server
	postgres *pgserver.Server
	s3       *s3server.Server
	mail     *mailbox.Server
	stripe   *stripesim.Server
	httpAddr string
	smtpAddr string
	mailAddr string

	stops  []func() // in the order of the starts
	failed chan error
}

// Start returns when every part takes connections: after about a second, or some more for a new directory, which
// needs a new PostgreSQL cluster. ctx bounds the start alone; end the parts with Stop. Where an address is taken, the
// error names the flag of `tenure dev` that chooses another.
//
// One Stack per process is possible, and it changes the process's working directory; see s3server.Start.
func Start(ctx context.Context, cfg Config) (*Stack, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the directory %s: %w", cfg.Dir, err)
	}
	cfg.Dir = dir
	// Others may pass through, for PostgreSQL may have to run as another user; what is secret is kept in files of
	// mode 0600 and directories of mode 0700.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("make the directory: %w", err)
	}
	s := &Stack{cfg: cfg, failed: make(chan error, 1)}
	if err := s.start(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	var err error
	if s.lock, err = lock(s.cfg.Dir); err != nil {
		return fmt.Errorf("lock the directory: %w", err)
	}
	s.onStop(func() { _ = s.lock.Close() })
	if err := s.withdraw(); err != nil {
		return fmt.Errorf("remove the addresses of the last start: %w", err)
	}
	if s.state, err = loadState(s.path("stack.json")); err != nil {
		return fmt.Errorf("load the dev stack's state: %w", err)
	}
	if s.cfg.WebhookSecrets == "" {
		s.cfg.WebhookSecrets = s.state.WebhookSecret
	}

	if s.httpAddr, err = s.state.reserve(ctx, "http", s.cfg.HTTPAddr, "--http"); err != nil {
		return err
	}
	if err := s.startParts(ctx); err != nil {
		return err
	}
	if err := s.state.save(); err != nil {
		return fmt.Errorf("save the dev stack's state: %w", err)
	}
	return nil
}

// startParts starts PostgreSQL, which takes the longest, beside the others.
func (s *Stack) startParts(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	postgres, port := make(chan error, 1), s.state.Ports["postgres"]
	go func() { postgres <- s.startPostgres(ctx, port) }()

	err := errors.Join(s.startNATS(ctx), s.startS3(ctx), s.startMailbox(ctx), s.startStripe(ctx))
	if err != nil {
		cancel() // nobody should wait for a new cluster to be told that a port is taken
	}
	postgresErr := <-postgres
	if s.postgres != nil {
		s.onStop(s.postgres.Stop)
	}
	if err != nil {
		return err
	}
	if postgresErr != nil {
		return postgresErr
	}
	s.state.Ports["postgres"] = portOf(s.postgres.URL())
	return nil
}

// Stop ends every part, the last started first, and gives the directory free. It may be called twice, by one
// goroutine.
func (s *Stack) Stop() {
	for ; len(s.stops) > 0; s.stops = s.stops[:len(s.stops)-1] {
		s.stops[len(s.stops)-1]()
	}
}

// Env is the environment in which the services find the parts, by the names that they read in production too.
func (s *Stack) Env() map[string]string {
	return map[string]string{
		"TENURE_ENV":            "dev",
		"TENURE_HTTP_ADDR":      s.httpAddr,
		"DATABASE_URL":          s.postgres.URL(),
		"NATS_URL":              s.nats.URL(),
		"STRIPE_API_KEY":        s.state.StripeAPIKey,
		"STRIPE_WEBHOOK_SECRET": s.cfg.WebhookSecrets,
		"STRIPE_API_BASE":       "http://" + s.stripe.Addr(),
		"AWS_ACCESS_KEY_ID":     s.state.S3AccessKey,
		"AWS_SECRET_ACCESS_KEY": s.state.S3SecretKey,
		"AWS_REGION":            s3server.Region,
		"AWS_ENDPOINT_URL_S3":   s.s3.Endpoint(),
		"TENURE_S3_BUCKET":      Bucket,
		"SMTP_URL":              "smtp://" + s.smtpAddr,
		"TENURE_VAULT_KEY":      s.state.VaultKey,
		"TENURE_SIGNING_KEY":    s.state.SigningKey,
	}
}

// Dir is the directory's absolute path.
func (s *Stack) Dir() string { return s.cfg.Dir }

// HTTPURL is where the services are to serve.
func (s *Stack) HTTPURL() string { return "http://" + s.httpAddr }

// Failed receives an error when a part ended by itself and cannot be started again. PostgreSQL can.
func (s *Stack) Failed() <-chan error { return s.failed }

func (s *Stack) onStop(stop func()) { s.stops = append(s.stops, stop) }

func (s *Stack) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// fail reports a part's end; who asks needs only the first.
func (s *Stack) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}
