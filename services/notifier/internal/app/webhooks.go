package app

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/services/notifier/internal/channel"
	"tenure/services/notifier/internal/message"
	"tenure/services/notifier/internal/store"
	"tenure/services/notifier/internal/webhook"
	"tenure/shared/egress"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/jobs"
	"tenure/shared/pg"
	"tenure/shared/vault"
)

const (
	// callers is how many endpoints are called at once by one process.
	callers = 8
	// callLease is how long a call stays with a process that is not heard of: longer than any call takes.
	callLease = time.Minute
	// disableAfterDays without a call that was taken an endpoint is called no more.
	disableAfterDays = 3
	// keepCallsDays is how long calls that have ended can be looked at and made again.
	keepCallsDays = 30
	pruneInterval = time.Minute
	// settleTimeout bounds what is stored about a call after it has ended or was interrupted.
	settleTimeout = 10 * time.Second
)

// Webhooks calls tenants' endpoints. It is safe for concurrent use.
type Webhooks struct {
	db    *pgxpool.Pool
	vault *vault.Vault
	log   *eventlog.Log
	calls *channel.Webhook
	day   time.Duration
	jobs  *jobs.Workers[store.Delivery]
	// mailed is called when a mail was stored.
	mailed func()
}

// NewWebhooks returns what Run starts. Periods in days scale with day.
func NewWebhooks(db *pgxpool.Pool, v *vault.Vault, log *eventlog.Log, out egress.Policy, day time.Duration, mailed func()) *Webhooks {
	w := &Webhooks{db: db, vault: v, log: log, day: day, mailed: mailed, calls: channel.NewWebhook(out.Client(channel.Timeout))}
	claim := func(ctx context.Context) (*store.Delivery, error) { return store.ClaimDelivery(ctx, db, callLease) }
	w.jobs = jobs.New(jobs.Config{Workers: callers}, claim, w.deliver)
	return w
}

// Kick says that there is something to tell. It never blocks.
func (w *Webhooks) Kick() { w.jobs.Wake() }

// Run calls until ctx ends. What is under way then is called again later, under the same id.
func (w *Webhooks) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.jobs.Run(ctx) })
	g.Go(func() error { return w.prune(ctx) })
	return g.Wait()
}

func (w *Webhooks) prune(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := store.Prune(ctx, w.db, keepCallsDays*w.day); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "old webhook calls were not forgotten; it is tried again", "error", err)
		}
		rest(ctx, min(pruneInterval, w.day), nil)
	}
	return nil
}

// deliver makes one call and stores what came of it.
func (w *Webhooks) deliver(ctx context.Context, d *store.Delivery) error {
	now := time.Now()
	status, err := w.calls.Do(ctx, channel.Call{URL: d.Endpoint.URL, ID: d.ID, Body: d.Body, Secrets: w.secrets(d.Endpoint, now), At: now})
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	switch {
	case err == nil && status >= 200 && status < 300:
		return store.Delivered(settle, w.db, d, status)
	case err != nil && ctx.Err() != nil:
		return store.Released(settle, w.db, d)
	}
	return w.missed(settle, d, status, err)
}

// missed stores that a call was not taken: it is made again, or it was the last.
func (w *Webhooks) missed(ctx context.Context, d *store.Delivery, status int, err error) error {
	reason := reasonOf(status, err)
	wait, more := webhook.Next(d.Failures+1, w.day)
	if more && status != http.StatusGone {
		return store.Missed(ctx, w.db, d, status, reason, wait)
	}
	// The specification has 410 mean that the receiver wants no more calls at all.
	failing := time.Duration(0)
	if status != http.StatusGone {
		failing = time.Duration(disableAfterDays) * w.day * 9 / 10 // the waits are a little under three days in all
	}
	err = pg.WithTx(ctx, w.db, func(tx pgx.Tx) error {
		if err := store.Failed(ctx, tx, d, status, reason); err != nil {
			return err
		}
		disabled, err := store.DisableEndpoint(ctx, tx, d.Endpoint.ID, failing)
		if err != nil || !disabled {
			return err
		}
		return w.tellDisabled(ctx, tx, d, status)
	})
	if err == nil {
		w.log.Kick()
		w.mailed()
	}
	return err
}

// tellDisabled writes the fact down and the mail to the tenant.
func (w *Webhooks) tellDisabled(ctx context.Context, tx pgx.Tx, d *store.Delivery, status int) error {
	e, err := events.New(&events.WebhookDisabled{EndpointID: d.Endpoint.ID, Status: status}, d.Endpoint.TenantID)
	if err != nil {
		return err
	}
	e.Actor, e.CausationID, e.CorrelationID = actor, d.EventID, d.ID
	if err := w.log.Append(ctx, tx, eventlog.Entry{Stream: e.Subject, Events: []events.Event{e}}); err != nil {
		return err
	}
	// The mail's id comes from the call, so that an endpoint that is disabled again is told of again.
	cause := events.Event{ID: d.ID, Source: eventSource, Subject: e.Subject, CorrelationID: d.ID, Time: time.Now()}
	mail := message.Reaction{Send: []message.Draft{{Template: message.WebhookDisabled, Facts: message.Facts{EndpointID: d.Endpoint.ID}}}}
	return store.Store(ctx, tx, cause, mail, nil)
}

// reasonOf says why a call was not taken, without the address, which may hold a secret.
func reasonOf(status int, err error) string {
	if err == nil {
		return fmt.Sprintf("the endpoint answered %d %s", status, http.StatusText(status))
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("the endpoint did not answer within %v", channel.Timeout)
	}
	return err.Error()
}

// secrets sign a call, the newest first.
func (w *Webhooks) secrets(e store.Endpoint, now time.Time) [][]byte {
	secrets := [][]byte{w.secret(e.ID, e.SecretVersion)}
	if e.SecretVersion > 1 && now.Before(e.FormerUntil) {
		secrets = append(secrets, w.secret(e.ID, e.SecretVersion-1))
	}
	return secrets
}

func (w *Webhooks) secret(endpoint string, version int) []byte {
	return w.vault.Secret(fmt.Sprintf("webhook/%s/%d", endpoint, version))
}

// Secret is an endpoint's newest, in the form of the specification.
func (w *Webhooks) Secret(e store.Endpoint) string {
	return "whsec_" + base64.StdEncoding.EncodeToString(w.secret(e.ID, e.SecretVersion))
}

// Test has an endpoint called, once for each key, and keeps in the log that somebody asked for it.
func (w *Webhooks) Test(ctx context.Context, e store.Endpoint, key, actor string) error {
	told, err := events.New(&events.WebhookTested{EndpointID: e.ID}, e.TenantID)
	if err != nil {
		return err
	}
	told.ID, told.Source, told.Time = "test-"+key, eventSource, time.Now()
	told.Actor, told.CausationID, told.CorrelationID = actor, key, key
	body, err := webhook.Body(told)
	if err != nil {
		return err
	}
	err = pg.WithTx(ctx, w.db, func(tx pgx.Tx) error {
		first, err := store.EnqueueTo(ctx, tx, e.ID, told, body)
		if err != nil || !first {
			return err
		}
		return w.log.Append(ctx, tx, eventlog.Entry{Stream: e.TenantID, Events: []events.Event{told}})
	})
	if err == nil {
		w.log.Kick()
		w.Kick()
	}
	return err
}
