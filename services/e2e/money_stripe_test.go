package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"tenure/shared/client"
)

// sim calls the simulator's control until it is answered: it is away while the system is killed and started again.
func (s *system) sim(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	for {
		status, content, err := s.send(ctx, method, s.at.Stripe+"/_sim"+path, body)
		switch {
		case err == nil && status != http.StatusOK:
			return fmt.Errorf("%s %s answers %d: %s", method, path, status, content)
		case err == nil && out != nil:
			return json.Unmarshal(content, out)
		case err == nil:
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// send is one request of the operator's. It may be called from any goroutine.
func (s *system) send(ctx context.Context, method, url string, body []byte, opts ...client.Option) (status int, content []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.at.OperatorToken)
	req.Header.Set("Content-Type", "application/json")
	for _, opt := range opts {
		opt(req)
	}
	res, err := s.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	content, err = io.ReadAll(res.Body)
	return res.StatusCode, content, err
}

// tell is sim for what must succeed.
func (s *system) tell(method, path string, in, out any) {
	s.t.Helper()
	require.NoError(s.t, s.sim(s.context(time.Minute), method, path, in, out))
}

// freeze stops Stripe's clock and tells the time that it shows from now on.
func (s *system) freeze() time.Time {
	s.t.Helper()
	return s.clock(map[string]any{"freeze": true})
}

// advance moves Stripe's clock, which stands still again when what fell due has happened.
func (s *system) advance(by time.Duration) time.Time {
	s.t.Helper()
	return s.clock(map[string]any{"advance": by.String()})
}

func (s *system) clock(move map[string]any) time.Time {
	s.t.Helper()
	var clock struct {
		Now time.Time `json:"now"`
	}
	s.tell("POST", "/clock", move, &clock)
	return clock.Now.Truncate(time.Second) // Stripe counts seconds
}

// call is an entry of the simulator's log of calls.
type call struct {
	Method         string         `json:"method"`
	Path           string         `json:"path"`
	IdempotencyKey string         `json:"idempotency_key"`
	Params         map[string]any `json:"params"`
	Status         int            `json:"status"`
	Replayed       bool           `json:"replayed"`
	Applied        bool           `json:"applied"`
}

// applied are the calls for a tenant that changed something: keys begin with the tenant they are for.
func (s *system) applied(tenant string) []call {
	s.t.Helper()
	var all, found []call
	s.tell("GET", "/log", nil, &all)
	for _, c := range all {
		if c.Applied && !c.Replayed && strings.HasPrefix(c.IdempotencyKey, tenant+"/") {
			found = append(found, c)
		}
	}
	return found
}

// listed reads a whole list of the simulator's API, which is Stripe's.
func listed[T any](s *system, path string, id func(T) string) []T {
	s.t.Helper()
	var all []T
	after := ""
	for {
		status, body := s.stripe(path + "limit=100" + after)
		require.Equal(s.t, 200, status, body)
		var page struct {
			Data    []T  `json:"data"`
			HasMore bool `json:"has_more"`
		}
		require.NoError(s.t, json.Unmarshal([]byte(body), &page), body)
		all = append(all, page.Data...)
		if !page.HasMore {
			return all
		}
		after = "&starting_after=" + id(all[len(all)-1])
	}
}

type customer struct {
	ID       string            `json:"id"`
	Balance  int64             `json:"balance"` // negative: credit
	Metadata map[string]string `json:"metadata"`
}

// customers are all of a tenant's: there should be one for each of its lives.
func (s *system) customers(tenant string) (found []customer) {
	s.t.Helper()
	for _, c := range listed(s, "/v1/customers?", func(c customer) string { return c.ID }) {
		if c.Metadata["tenant_id"] == tenant {
			found = append(found, c)
		}
	}
	return found
}

type invoice struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Status   string `json:"status"`
	Reason   string `json:"billing_reason"`
	Total    int64  `json:"total"`
	Lines    struct {
		Data []struct {
			Amount   int64  `json:"amount"`
			Quantity *int64 `json:"quantity"`
			Price    struct {
				LookupKey string `json:"lookup_key"`
			} `json:"price"`
		} `json:"data"`
	} `json:"lines"`
}

// invoices are all of a tenant's, the newest first.
func (s *system) invoices(tenant string) (found []invoice) {
	s.t.Helper()
	for _, c := range s.customers(tenant) {
		found = append(found, listed(s, "/v1/invoices?customer="+c.ID+"&", func(i invoice) string { return i.ID })...)
	}
	return found
}

// taken is the money that Stripe took from a tenant and that is not the tenant's any more: charges less refunds, and
// less the credit that pays its next invoices.
func (s *system) taken(tenant string) int64 {
	s.t.Helper()
	cents := s.charges(tenant).Net
	for _, c := range s.customers(tenant) {
		cents += c.Balance
	}
	return cents
}
