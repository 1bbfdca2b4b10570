package stripesim

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tenure/services/devstack/stripesim/store"
)

const (
	queueWebhooks = "webhooks"

	deliverers      = 8  // at once: enough to lose the order, as Stripe may
	disorder        = 56 // how many more events a shuffle chooses from
	deliveryTimeout = 10 * time.Second
	deliveryLife    = 3 * 24 * 60 * 60 // seconds of the simulated clock
	longestBackoff  = 60               // seconds
)

// delivery is an event that the endpoint has not confirmed.
type delivery struct {
	EventID  string `json:"event_id"`
	Attempts int    `json:"attempts"`
}

// dispatcher sends what is due. An entry stays in the queue until the endpoint
// has confirmed it, so that a killed process sends it again.
type dispatcher struct {
	*Server
	client *http.Client

	mu      sync.Mutex
	busy    map[string]bool // keys of queue entries that are being sent
	shuffle *rand.Rand      // nil: in the order of the events
	wg      sync.WaitGroup
}

// newDeliverer takes a redirect for an answer, as Stripe does: it is no 2xx.
func newDeliverer() *http.Client {
	return &http.Client{Timeout: deliveryTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

func (s *Server) runWebhooks(ctx context.Context) {
	d := &dispatcher{Server: s, client: newDeliverer(), busy: map[string]bool{}}
	if s.cfg.Shuffle != 0 {
		d.shuffle = rand.New(rand.NewPCG(s.cfg.Shuffle, 0)) //nolint:gosec // disorder, not secrecy
	}
	defer d.wg.Wait()
	for ctx.Err() == nil {
		changed := s.watch()
		wait, err := d.dispatch(ctx)
		if err != nil {
			s.log.Error("the simulator cannot read its webhooks", "error", err)
			wait = time.Second
		}
		sleep(ctx, changed, wait)
	}
}

// dispatch starts the deliveries that are due and answers when to look again.
func (d *dispatcher) dispatch(ctx context.Context) (wait time.Duration, err error) {
	if d.webhookURL() == "" {
		return time.Hour, nil // SetWebhookURL wakes the loop
	}
	due, wait, err := d.due()
	for _, item := range due {
		d.wg.Go(func() {
			if err := d.deliver(ctx, item); err != nil {
				d.log.Error("the simulator cannot note a webhook's delivery", "error", err)
			}
			d.mu.Lock()
			delete(d.busy, item.Key)
			d.mu.Unlock()
			d.notify()
		})
	}
	return wait, err
}

// due marks entries as busy, up to the number that may be sent at once.
func (d *dispatcher) due() (due []store.Item, wait time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	window := deliverers - len(d.busy)
	if d.shuffle != nil {
		window += disorder
	}
	wait = time.Hour
	now := d.clock.running()
	err = d.db.View(func(t *store.Tx) error {
		for item := range t.Queue(queueWebhooks) {
			if item.Due > now.Unix() {
				wait = time.Unix(item.Due, 0).Sub(now)
				return nil
			}
			if len(due) >= window {
				return nil // the end of a delivery wakes the loop
			}
			if !d.busy[item.Key] {
				due = append(due, item)
			}
		}
		return nil
	})
	if d.shuffle != nil {
		d.shuffle.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	}
	due = due[:min(len(due), deliverers-len(d.busy))]
	for _, item := range due {
		d.busy[item.Key] = true
	}
	return due, wait, err
}

// deliver sends one event and notes the outcome.
func (d *dispatcher) deliver(ctx context.Context, item store.Item) error {
	var entry delivery
	if err := json.Unmarshal(item.Data, &entry); err != nil {
		return fmt.Errorf("decode a delivery: %w", err)
	}
	status, err := d.send(ctx, d.client, entry.EventID)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // Run ends: the entry stays
	}
	ok := err == nil && status >= 200 && status < 300
	if !ok {
		d.log.Debug("a webhook was not taken", "event", entry.EventID, "status", status, "error", err)
	}
	return d.update(cause{}, func(t *tx) error {
		if _, err := t.Dequeue(queueWebhooks, item.Key); err != nil {
			return err
		}
		if ok {
			return t.delivered(entry.EventID)
		}
		return t.redeliver(entry)
	})
}

// redeliver backs off: 1, 2, 4 ... 60 seconds, for three days. Stripe waits for
// longer; a stack under test must heal within a minute, even while the clock is
// frozen, and an advance of the clock brings the next try nearer.
func (t *tx) redeliver(entry delivery) error {
	e, err := store.Get[event](t.Tx, entry.EventID)
	if err != nil {
		return err
	}
	if t.server.clock.running().Unix()-e.Created > deliveryLife {
		return nil
	}
	backoff := int64(longestBackoff)
	if entry.Attempts < 6 {
		backoff = 1 << entry.Attempts
	}
	entry.Attempts++
	return t.Enqueue(queueWebhooks, t.server.clock.running().Unix()+backoff, entry)
}

// delivered counts the event as taken. An invoice waits for that: see finalizeDue.
func (t *tx) delivered(id string) error {
	e, err := store.Get[event](t.Tx, id)
	if err != nil {
		return err
	}
	e.PendingWebhooks = 0
	if err := store.Put(t.Tx, e); err != nil {
		return err
	}
	if e.Type != "invoice.created" {
		return nil
	}
	invoiceID, _ := e.Data.Object["id"].(string)
	inv, err := store.Get[invoice](t.Tx, invoiceID)
	if errors.Is(err, store.ErrNotFound) {
		return nil // a draft that was deleted
	}
	if err != nil {
		return err
	}
	inv.WebhooksDeliveredAt = &t.now
	if err := store.Put(t.Tx, inv); err != nil {
		return err
	}
	return t.at(t.now, taskFinalizeInvoice, inv.ID)
}

// send posts an event once. The signature's time is real time: receivers compare
// it with their own clock.
func (s *Server) send(ctx context.Context, client *http.Client, id string) (status int, err error) {
	payload, err := s.eventPayload(id)
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.webhookURL(), bytes.NewReader(payload))
	if err != nil {
		return 0, fmt.Errorf("post to the webhook endpoint: %w", err)
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("User-Agent", "Stripe/1.0 (simulator)")
	r.Header.Set("Stripe-Signature", sign(payload, s.signingSecret(), time.Now()))
	response, err := client.Do(r)
	if err != nil {
		return 0, fmt.Errorf("post to the webhook endpoint: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // only read
	_, _ = io.Copy(io.Discard, response.Body)    // lets the connection be used again
	return response.StatusCode, nil
}

func sign(payload []byte, secret string, at time.Time) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "."))
	mac.Write(payload)
	return "t=" + stamp + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
