package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"syscall"

	"tenure/services/devstack/mailbox"
	"tenure/services/devstack/natsserver"
	"tenure/services/devstack/s3server"
	"tenure/services/devstack/stripesim"
	"tenure/shared/pgserver"
)

// anyPort asks for the port the part had before in this directory, or else for a free one.
const anyPort = "127.0.0.1:0"

// webhookPath is where billing takes Stripe's webhooks.
const webhookPath = "/webhooks/stripe"

// startPostgres asks for the port of the last start, or 0. It runs beside the other starts and touches no state.
func (s *Stack) startPostgres(ctx context.Context, port int) error {
	cfg := pgserver.Config{
		Dir:      s.path("postgres"),
		Port:     port,
		Settings: s.cfg.PostgresSettings,
		Log:      s.cfg.Log,
	}
	var err error
	s.postgres, err = pgserver.Start(ctx, cfg)
	// The port is not tried out before, for a server that a kill left behind holds it until pgserver has ended that.
	if err != nil && taken(ctx, cfg.Port) {
		cfg.Port = 0
		s.postgres, err = pgserver.Start(ctx, cfg)
	}
	return err
}

func (s *Stack) startNATS(ctx context.Context) error {
	addr, err := s.state.reserve(ctx, "nats", s.cfg.NATSAddr, "--nats")
	if err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	s.nats, err = natsserver.Start(ctx, natsserver.Config{
		Dir:        s.path("nats"),
		Host:       host,
		Port:       number,
		User:       "tenure",
		Password:   s.state.NATSPassword,
		SyncAlways: s.cfg.SyncAlways,
		Log:        s.cfg.Log,
	})
	if err != nil {
		return err
	}
	s.onStop(s.nats.Stop)
	return nil
}

// startS3 opens its address by itself, so that another program may take it after it was tried out: the next start of the
// server tries another one.
func (s *Stack) startS3(ctx context.Context) error {
	const tries = 3
	for try := 1; ; try++ {
		addr, err := s.state.reserve(ctx, "s3", anyPort, "")
		if err != nil {
			return fmt.Errorf("start S3: %w", err)
		}
		s.s3, err = s3server.Start(ctx, s3server.Config{
			Dir:       s.path("s3"),
			Addr:      addr,
			AccessKey: s.state.S3AccessKey,
			SecretKey: s.state.S3SecretKey,
			Bucket:    Bucket,
		})
		if err == nil {
			break
		}
		if try == tries || !taken(ctx, portOf("http://"+addr)) {
			return err
		}
	}
	go func() {
		<-s.s3.Done()
		if err := s.s3.Err(); err != nil {
			s.fail(fmt.Errorf("the S3 server ended: %w", err))
		}
	}()
	s.onStop(s.s3.Stop)
	return nil
}

func (s *Stack) startMailbox(ctx context.Context) error {
	smtp, err := s.state.listen(ctx, "smtp", anyPort, "")
	if err != nil {
		return fmt.Errorf("start the mailbox: %w", err)
	}
	list, err := s.state.listen(ctx, "mail", anyPort, "")
	if err != nil {
		return errors.Join(fmt.Errorf("start the mailbox: %w", err), smtp.Close())
	}
	s.smtpAddr, s.mailAddr = smtp.Addr().String(), list.Addr().String()
	s.mail, err = mailbox.Start(mailbox.Config{File: s.path("mail.ndjson"), SMTP: smtp, HTTP: list, Log: s.cfg.Log})
	if err != nil {
		return errors.Join(err, smtp.Close(), list.Close())
	}
	s.onStop(s.mail.Stop)
	return nil
}

func (s *Stack) startStripe(ctx context.Context) error {
	addr, err := s.state.reserve(ctx, "stripe", s.cfg.StripeAddr, "--stripe")
	if err != nil {
		return fmt.Errorf("start the Stripe simulator: %w", err)
	}
	s.stripe, err = stripesim.Open(ctx, stripesim.Config{
		Dir:            s.path("stripe"),
		Addr:           addr,
		WebhookURL:     s.HTTPURL() + webhookPath,
		WebhookSecrets: s.cfg.WebhookSecrets,
		APIKey:         s.state.StripeAPIKey,
		Log:            s.cfg.Log,
	})
	if err != nil {
		return fmt.Errorf("start the Stripe simulator: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.stripe.Run(running); err != nil {
			s.fail(fmt.Errorf("the Stripe simulator ended: %w", err))
		}
	}()
	s.onStop(func() {
		cancel()
		<-done
		if err := s.stripe.Close(); err != nil {
			s.cfg.Log.Warn("close the Stripe simulator", "error", err)
		}
	})
	return nil
}

// taken reports whether something listens on a port of this machine.
func taken(ctx context.Context, port int) bool {
	if port == 0 {
		return false
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return errors.Is(err, syscall.EADDRINUSE)
	}
	_ = l.Close()
	return false
}

// portOf reads the port of a URL that a part made.
func portOf(rawURL string) int {
	u, err := url.Parse(rawURL)
	if err != nil {
		return 0
	}
	port, _ := strconv.Atoi(u.Port()) // no port: none is kept
	return port
}
