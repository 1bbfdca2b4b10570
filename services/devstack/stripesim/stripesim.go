// Package stripesim is a Stripe that runs on this machine: the part of the API
// that Tenure's billing uses, in the shapes of version 2023-10-16, with state,
// a clock that can be moved and frozen, faults on demand and signed webhooks.
//
// Money is simulated too: every customer has a card that works until the
// control endpoints below /_sim say otherwise. All state is in one file below
// Config.Dir and survives the death of the process at any moment.
//
// A parameter or an address that is not simulated is refused, never ignored: what
// works here works at Stripe. Left out are taxes, credit notes, invoices that are
// sent instead of charged, Checkout, the customer portal, Connect, 3-D Secure,
// disputes, and schedules that do not come from a subscription.
package stripesim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tenure/services/devstack/stripesim/store"
)

// apiVersion is the version that stripe-go v76 pins and all answers and events have.
const apiVersion = "2023-10-16"

// Config says where the simulator keeps its state and whom it talks to.
type Config struct {
	Dir  string // created when missing
	Addr string // host:port to serve; "" for none: only Handler is then used

	WebhookURL     string // "" until SetWebhookURL: events wait
	WebhookSecrets string // comma-separated; events are signed with the first
	APIKey         string // the only key that is let in; "" lets any in

	// Shuffle is the seed of the disorder in which events are delivered, as Stripe
	// promises no order; 0: as they happen, eight at once.
	Shuffle uint64

	// AfterRetries is what becomes of a subscription whose invoice stayed unpaid
	// after the last retry: "unpaid" (the default), "past_due" or "canceled".
	AfterRetries string

	Log *slog.Logger // nil: slog.Default()
}

// Server is an open simulator. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	log      *slog.Logger
	db       *store.DB
	handler  http.Handler
	listener net.Listener

	clock   clock
	faults  faultList
	keys    keyLocks
	webhook atomic.Pointer[string]

	// changed is closed and replaced after every commit: it wakes the two loops
	// of Run, which look at what is due next.
	changedMu sync.Mutex
	changed   chan struct{}
}

// Open reads the state and takes the port, so that a port in use is an error
// here and not later. Nothing falls due and no webhook goes out before Run.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	switch cfg.AfterRetries {
	case "":
		cfg.AfterRetries = statusUnpaid
	case statusUnpaid, statusPastDue, statusCanceled:
	default:
		return nil, fmt.Errorf("AfterRetries is %q: want unpaid, past_due or canceled", cfg.AfterRetries)
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the simulator's directory: %w", err)
	}
	db, err := store.Open(filepath.Join(cfg.Dir, "stripe.db"))
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Log, db: db, changed: make(chan struct{})}
	s.SetWebhookURL(cfg.WebhookURL)
	if err := s.load(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.handler = s.routes()
	if cfg.Addr != "" {
		var lc net.ListenConfig
		if s.listener, err = lc.Listen(ctx, "tcp", cfg.Addr); err != nil {
			return nil, errors.Join(fmt.Errorf("listen for the Stripe simulator: %w", err), db.Close())
		}
	}
	return s, nil
}

// load restores what is kept in memory beside the file.
func (s *Server) load() error {
	return s.db.View(func(t *store.Tx) error {
		if err := s.clock.load(t); err != nil {
			return fmt.Errorf("read the clock: %w", err)
		}
		if err := s.faults.load(t); err != nil {
			return fmt.Errorf("read the faults: %w", err)
		}
		return nil
	})
}

// Handler answers the API and the control endpoints.
func (s *Server) Handler() http.Handler { return s.handler }

// Addr is the address that is served, "" when Config.Addr was empty.
func (s *Server) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// SetWebhookURL turns the delivery of events to url; "" stops it and events wait.
func (s *Server) SetWebhookURL(url string) {
	s.webhook.Store(&url)
	s.notify()
}

func (s *Server) webhookURL() string { return *s.webhook.Load() }

// signingSecret is the first of the secrets: a receiver accepts all of them, so
// that the list can be rotated.
func (s *Server) signingSecret() string {
	first, _, _ := strings.Cut(s.cfg.WebhookSecrets, ",")
	return strings.TrimSpace(first)
}

// Run serves Addr, lets things fall due and delivers webhooks until ctx ends.
// It returns nil after a clean stop.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { s.runClock(ctx) })
	wg.Go(func() { s.runWebhooks(ctx) })
	defer wg.Wait()
	if s.listener == nil {
		<-ctx.Done()
		return nil
	}

	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		// Calls end with Run: one that hangs by a timeout fault must not hold it up.
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	stopped := context.AfterFunc(ctx, func() {
		grace, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
		if err := server.Shutdown(grace); err != nil {
			_ = server.Close() // what is left hangs by a fault
		}
	})
	defer stopped()
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		cancel()
		return fmt.Errorf("serve the Stripe simulator: %w", err)
	}
	return nil
}

// Close frees the port and the file. Call it after Run has returned.
func (s *Server) Close() error {
	var err error
	if s.listener != nil {
		if err = s.listener.Close(); errors.Is(err, net.ErrClosed) {
			err = nil // Run has closed it
		}
	}
	return errors.Join(err, s.db.Close())
}

// notify wakes the loops of Run.
func (s *Server) notify() {
	s.changedMu.Lock()
	defer s.changedMu.Unlock()
	if s.changed != nil {
		close(s.changed)
	}
	s.changed = make(chan struct{})
}

// watch is closed by the next change. Take it before looking at the state:
// a change in between is then not missed.
func (s *Server) watch() <-chan struct{} {
	s.changedMu.Lock()
	defer s.changedMu.Unlock()
	return s.changed
}
