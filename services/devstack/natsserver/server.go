// Package natsserver runs a NATS server with JetStream inside this process, with its streams in a directory.
package natsserver

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/crypto/bcrypt"
)

// Config says where the server listens and how safe its writes are.
type Config struct {
	// Dir holds the streams; it is created when missing.
	Dir  string
	Host string
	// Port is free to choose when it is -1; see Server.URL.
	Port int
	// User and Password are the one account, with all rights.
	User, Password string
	// SyncAlways makes every acknowledged publish survive a power loss, at the price of one fdatasync each. Without
	// it a publish survives the end of the process alone, which is what a machine for development needs.
	SyncAlways bool
	// SyncInterval is how often files are synced when SyncAlways is off. 0: the server's own default, two minutes.
	SyncInterval time.Duration
	Log          *slog.Logger
}

// Server is a running NATS server. Its methods may be called by many goroutines.
type Server struct {
	ns  *server.Server
	url string
}

// Start returns when the server takes connections. ctx ends the waiting alone; end the server with Stop.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	// The server warns of passwords in the clear. This one is made up and long, so that a cheap hash will do.
	password, err := bcrypt.GenerateFromPassword([]byte(cfg.Password), bcrypt.MinCost)
	if err != nil {
		return nil, fmt.Errorf("hash the password of NATS: %w", err)
	}
	ns, err := server.NewServer(&server.Options{
		ServerName:   "tenure-dev",
		Host:         cfg.Host,
		Port:         cfg.Port,
		Username:     cfg.User,
		Password:     string(password),
		JetStream:    true,
		StoreDir:     cfg.Dir,
		SyncAlways:   cfg.SyncAlways,
		SyncInterval: cfg.SyncInterval,
		// The program that embeds the server decides what a signal means.
		NoSigs: true,
	})
	if err != nil {
		return nil, fmt.Errorf("set up the NATS server: %w", err)
	}
	ns.SetLoggerV2(logger{cfg.Log}, false, false, false)
	ns.Start()

	s := &Server{ns: ns}
	if err := s.waitReady(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	s.url = (&url.URL{Scheme: "nats", User: url.UserPassword(cfg.User, cfg.Password), Host: ns.Addr().String()}).String()
	return s, nil
}

// waitReady returns once clients are served. The streams are recovered before that, so a directory with much in it
// takes longer: ctx sets the limit.
func (s *Server) waitReady(ctx context.Context) error {
	for !s.ns.ReadyForConnections(100 * time.Millisecond) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("wait for the NATS server: %w", err)
		}
		if !s.ns.Running() {
			return fmt.Errorf("the NATS server ended while it started: see its log lines above")
		}
	}
	return nil
}

// URL connects with all rights; it carries the password.
func (s *Server) URL() string { return s.url }

// Stop ends the server and returns when its files are closed. It may be called twice.
func (s *Server) Stop() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

// logger hands the server's lines to slog. What the server calls a notice is of use to its developers alone.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Debugf(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Tracef(format string, v ...any)  { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l logger) Errorf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l logger) Fatalf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
