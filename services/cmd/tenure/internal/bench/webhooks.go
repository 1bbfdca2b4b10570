package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"
)

const (
	webhookRate = 200 // per second
	webhookTime = 10 * time.Second
)

// webhooks posts signed events at a steady rate, as Stripe would. A webhook's time counts from when it was due: one that
// could not even be sent in time was late all the same.
func (m *money) webhooks(ctx context.Context) error {
	signed, err := m.sign(ctx, int(webhookRate*webhookTime.Seconds()))
	if err != nil {
		return err
	}
	took, failed := make(latencies, len(signed)), make([]error, len(signed))
	poster := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: webhookRate}}
	defer poster.CloseIdleConnections()
	var wg sync.WaitGroup
	start := time.Now()
	for i, payload := range signed {
		due := start.Add(time.Duration(i) * time.Second / webhookRate)
		if wait := time.Until(due); wait > 0 {
			<-time.After(wait)
		}
		wg.Go(func() {
			failed[i] = m.deliver(ctx, poster, payload)
			took[i] = time.Since(due)
		})
	}
	wg.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	answered := time.Now()
	if err := m.digested(ctx); err != nil {
		return err
	}
	m.print(fmt.Sprintf("webhooks answered, at %d/s", webhookRate), took, fmt.Sprintf("all acted on %.1f s later", time.Since(answered).Seconds()))
	return nil
}

// sign makes n new events of those that the sign-ups made.
func (m *money) sign(ctx context.Context, n int) ([]*webhook.SignedPayload, error) {
	var made []map[string]any
	if err := m.ask(ctx, "/events", &made); err != nil {
		return nil, err
	}
	if len(made) == 0 {
		return nil, fmt.Errorf("the sign-ups made no events")
	}
	signed := make([]*webhook.SignedPayload, n)
	for i := range signed {
		event := made[i%len(made)]
		event["id"] = fmt.Sprintf("evt_bench_%d", i)
		payload, err := json.Marshal(event)
		if err != nil {
			return nil, err
		}
		signed[i] = webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: payload, Secret: m.at.WebhookSecret})
	}
	return signed, nil
}

func (m *money) deliver(ctx context.Context, poster *http.Client, p *webhook.SignedPayload) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.at.HTTP+"/webhooks/stripe", bytes.NewReader(p.Payload))
	if err != nil {
		return err
	}
	req.Header.Set("Stripe-Signature", p.Header)
	res, err := poster.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("a webhook was answered with %s", res.Status)
	}
	return nil
}

// digested waits until billing has acted on every webhook that it took.
func (m *money) digested(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		var left int64
		err := m.db.QueryRow(ctx, `SELECT coalesce(sum(s.version - coalesce(p.sequence, 0)), 0) FROM billing.streams s
			LEFT JOIN billing.inbox_positions p ON p.consumer = 'billing-stripe' AND 'stripe/' || p.subject = s.stream
			WHERE s.stream LIKE 'stripe/%'`).Scan(&left)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d webhooks are not acted on: %w", left, ctx.Err())
		}
	}
}
