package bench

import (
	"bytes"
	"context"
	"encoding/json"
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

const (
	moneyTenants = 100
	// apart is how far the tenants' billing periods lie from each other. All of them end within the hour for which Stripe
	// leaves a renewal's invoice a draft, so that every renewal can be over before the first is charged.
	apart = 30 * time.Second
	// look is how often the gate is asked for a change.
	look = 200 * time.Microsecond
)

// Money measures what happens around a payment on a whole `tenure dev` with its Stripe simulator: how soon webhooks are
// answered, what a plan change takes, and how soon a tenant that does not pay is out.
func Money(ctx context.Context, o Options) error {
	dir, err := os.MkdirTemp("", "tenure-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	say(o.Out, "Starting tenure dev, with its Stripe simulator...")
	ready, ended := make(chan devstack.Addresses, 1), make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	go func() {
		ended <- dev.Run(ctx, dev.Options{
			Dir: dir, HTTP: "127.0.0.1:0", NATS: "127.0.0.1:0", Stripe: "127.0.0.1:0", Quiet: true, Out: io.Discard,
			Settings: map[string]string{"TENURE_DUNNING_GRACE": "0s"}, // who does not pay is out at once
			Ready:    func(a devstack.Addresses) { ready <- a },
		})
	}()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			say(o.Out, "tenure dev ended with %v", err)
		}
	}()
	select {
	case at := <-ready:
		return measureMoney(ctx, o.Out, at)
	case err := <-ended:
		ended <- nil
		return err
	}
}

func measureMoney(ctx context.Context, out io.Writer, at devstack.Addresses) error {
	m, err := newMoney(ctx, out, at)
	if err != nil {
		return err
	}
	defer m.close()
	for _, measure := range []func(context.Context) error{m.signUp, m.webhooks, m.changes, m.failures} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// money is a customer of the running system: it calls the API, has a gate of its own, and plays Stripe.
type money struct {
	out     io.Writer
	at      devstack.Addresses
	api     *client.Client
	nc      *nats.Conn
	db      *pgxpool.Pool
	gate    *gate.Gate
	tenants []string
}

func newMoney(ctx context.Context, out io.Writer, at devstack.Addresses) (*money, error) {
	nc, err := nats.Connect(at.NATS)
	if err != nil {
		return nil, err
	}
	db, err := pgxpool.New(ctx, at.Postgres)
	if err != nil {
		nc.Close()
		return nil, err
	}
	m := &money{out: out, at: at, api: client.New(at.HTTP, at.OperatorToken), nc: nc, db: db, gate: gate.New(gate.Config{})}
	go func() { _ = m.gate.Run(ctx, nc) }() // when it fails nobody gets in, and signUp tells
	return m, nil
}

func (m *money) close() {
	m.nc.Close()
	m.db.Close()
}

// signUp makes the tenants, with periods that end one after the other.
func (m *money) signUp(ctx context.Context) error {
	say(m.out, "Signing %d tenants up and charging them...", moneyTenants)
	for i := range moneyTenants {
		id := name(i)
		m.tenants = append(m.tenants, id)
		if err := m.advance(ctx, apart); err != nil {
			return err
		}
		if _, err := m.api.Register(ctx, client.Register{ID: id, Name: "Bench", Email: "bench@example.com", Plan: "starter"}); err != nil {
			return err
		}
		if _, err := m.until(ctx, []string{id}, http.StatusOK); err != nil {
			return err
		}
	}
	say(m.out, "")
	say(m.out, "Money:")
	return nil
}

// print writes one line of the section.
func (m *money) print(what string, took latencies, rest string) {
	say(m.out, "%s", strings.TrimRight(fmt.Sprintf("  %-28s %s   %s", what, took, rest), " "))
}

// until waits for the gate to answer with status for every one of the tenants, and tells when it did.
func (m *money) until(ctx context.Context, tenants []string, status int) (map[string]time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	seen := map[string]time.Time{}
	for {
		for _, id := range tenants {
			if _, done := seen[id]; !done && m.gate.Check(id, gate.Query).Status == status {
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

// advance moves Stripe's clock; renewals and payments that fall due have happened when it returns.
func (m *money) advance(ctx context.Context, by time.Duration) error {
	return m.stripe(ctx, "/clock", map[string]string{"advance": by.String()})
}

// advanceTo moves Stripe's clock to a moment.
func (m *money) advanceTo(ctx context.Context, moment time.Time) error {
	var clock struct {
		Now time.Time `json:"now"`
	}
	if err := m.ask(ctx, "/clock", &clock); err != nil {
		return err
	}
	return m.advance(ctx, max(moment.Sub(clock.Now), 0))
}

// cards makes every tenant's card decline, or work again.
func (m *money) cards(ctx context.Context, outcome string) error {
	for _, id := range m.tenants {
		if err := m.stripe(ctx, "/payment-methods", map[string]string{"tenant": id, "outcome": outcome}); err != nil {
			return err
		}
	}
	return nil
}

// stripe tells the simulator's control something.
func (m *money) stripe(ctx context.Context, path string, in any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return m.call(ctx, http.MethodPost, path, body, nil)
}

// ask reads from the simulator's control.
func (m *money) ask(ctx context.Context, path string, out any) error {
	return m.call(ctx, http.MethodGet, path, nil, out)
}

func (m *money) call(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, m.at.Stripe+"/_sim"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the Stripe simulator answers %s to %s", res.Status, path)
	}
	if out == nil {
		_, err = io.Copy(io.Discard, res.Body) // lets the connection be used again
		return err
	}
	return json.NewDecoder(res.Body).Decode(out)
}
