package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"

	"tenure/services/cmd/tenure/internal/dev"
	"tenure/services/devstack"
	"tenure/shared/client"
	"tenure/shared/gate"
)

// look is how often the gate is asked for a change.
const look = 200 * time.Microsecond

// system is a whole `tenure dev` and a customer of it, who calls the API and has a gate of his own.
type system struct {
	out  io.Writer
	at   devstack.Addresses
	api  *client.Client
	nc   *nats.Conn
	db   *pgxpool.Pool
	gate *gate.Gate
}

// onSystem measures on a system in a temporary directory. settings are added to its environment.
func onSystem(ctx context.Context, out io.Writer, settings map[string]string, measures func(*system) []measure) error {
	dir, err := os.MkdirTemp("", "tenure-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	say(out, "Starting tenure dev, with its Stripe simulator...")
	ready, ended := make(chan devstack.Addresses, 1), make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	go func() {
		ended <- dev.Run(ctx, dev.Options{
			Dir: dir, HTTP: "127.0.0.1:0", NATS: "127.0.0.1:0", Stripe: "127.0.0.1:0", Quiet: true, Out: io.Discard,
			Settings: settings, Ready: func(a devstack.Addresses) { ready <- a },
		})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			say(out, "tenure dev ended with %v", err)
		}
	}()
	select {
	case at := <-ready:
		return runOn(ctx, out, at, measures)
	case err := <-ended:
		ended <- nil
		return err
	}
}

// measure takes one kind of figures and prints them.
type measure func(context.Context) error

func runOn(ctx context.Context, out io.Writer, at devstack.Addresses, measures func(*system) []measure) error {
	nc, err := nats.Connect(at.NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	db, err := pgxpool.New(ctx, at.Postgres)
	if err != nil {
		return err
	}
	defer db.Close()
	s := &system{out: out, at: at, api: client.New(at.HTTP, at.OperatorToken), nc: nc, db: db, gate: gate.New(gate.Config{})}
	go func() { _ = s.gate.Run(ctx, nc) }() // when it fails nobody gets in, and until tells
	for _, m := range measures(s) {
		if err := m(ctx); err != nil {
			return err
		}
	}
	return nil
}

// print writes one line of a section.
func (s *system) print(what string, took latencies, rest string) {
	say(s.out, "%s", strings.TrimRight(fmt.Sprintf("  %-28s %s   %s", what, took, rest), " "))
}

// until waits for the gate to answer with status for every one of the tenants, and tells when it did.
func (s *system) until(ctx context.Context, tenants []string, status int) (map[string]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	seen := map[string]time.Time{}
	for {
		for _, id := range tenants {
			if _, done := seen[id]; !done && s.gate.Check(id, gate.Query).Status == status {
				seen[id] = time.Now()
			}
		}
		if len(seen) == len(tenants) {
			return seen, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("the gate answers %d to %d of %d tenants alone: %w", status, len(seen), len(tenants), ctx.Err())
		}
	}
}

// register signs a tenant up.
func (s *system) register(ctx context.Context, id, plan string) error {
	_, err := s.api.Register(ctx, client.Register{ID: id, Name: "Bench", Email: "bench@example.com", Plan: plan})
	return err
}

// admit signs a tenant up and waits until the gate lets it in.
func (s *system) admit(ctx context.Context, id, plan string) error {
	if err := s.register(ctx, id, plan); err != nil {
		return err
	}
	_, err := s.until(ctx, []string{id}, http.StatusOK)
	return err
}
