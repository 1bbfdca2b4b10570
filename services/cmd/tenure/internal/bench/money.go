package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	moneyTenants = 100
	// apart is how far the tenants' billing periods lie from each other. All of them end within the hour for which Stripe
	// leaves a renewal's invoice a draft, so that every renewal can be over before the first is charged.
	apart = 30 * time.Second
)

// Money measures what happens around a payment on a whole `tenure dev` with its Stripe simulator: how soon webhooks are
// answered, what a plan change takes, and how soon a tenant that does not pay is out.
func Money(ctx context.Context, o Options) error {
	outAtOnce := map[string]string{"TENURE_DUNNING_GRACE": "0s"}
	return onSystem(ctx, o.Out, outAtOnce, func(s *system) []measure {
		m := &money{system: s}
		return []measure{m.signUp, m.webhooks, m.changes, m.failures}
	})
}

// money plays Stripe to the system.
type money struct {
	*system
	tenants []string
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
		if err := m.admit(ctx, id, "starter"); err != nil {
			return err
		}
	}
	say(m.out, "")
	say(m.out, "Money:")
	return nil
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
