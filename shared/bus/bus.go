// Package bus is the way to NATS JetStream: the streams as data, publishing in order, and consumers that keep each
// tenant's order, try again with backoff, and put aside what cannot be handled without stopping the others.
package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/eventlog"
	"tenure/shared/events"
)

// Config of a connection.
type Config struct {
	URL string
	// Name is shown by the server: the service.
	Name string
	// Replicas of each stream: 3 in production, 1 (also when 0) on a single server.
	Replicas int
	// DB keeps the dead letters; its search_path does not matter.
	DB *pgxpool.Pool
}

// Bus is one connection. It is safe for concurrent use and reconnects for ever.
type Bus struct {
	cfg Config
	nc  *nats.Conn
	js  jetstream.JetStream
}

// publishWindow is how many messages may be under way to the server at once.
const publishWindow = 4096

// Connect opens the connection. When the server is away it returns all the same and connects in the background, so that
// services start in any order.
func Connect(ctx context.Context, cfg Config) (*Bus, error) {
	cfg.Replicas = max(cfg.Replicas, 1)
	nc, err := nats.Connect(cfg.URL, nats.Name(cfg.Name), nats.CustomInboxPrefix(inboxPrefix(cfg.URL)), nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond),
		nats.RetryOnFailedConnect(true), nats.ReconnectBufSize(-1), // a buffered publish would look sent and not be
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				slog.WarnContext(ctx, "the bus is away; reconnecting", "error", err)
			}
		}))
	if err != nil {
		return nil, fmt.Errorf("connect to NATS_URL: %w", err)
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(publishWindow))
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &Bus{cfg: cfg, nc: nc, js: js}, nil
}

// inboxPrefix gives each user of the bus inboxes of its own, so that the server can keep others from reading the messages
// that it pulls.
func inboxPrefix(natsURL string) string {
	if u, err := url.Parse(natsURL); err == nil && u.User.Username() != "" {
		return "_INBOX_" + u.User.Username()
	}
	return nats.InboxPrefix[:len(nats.InboxPrefix)-1]
}

// Close drops the connection; consumers should have been stopped before.
func (b *Bus) Close() { b.nc.Close() }

// Conn is the connection beneath, for request and reply.
func (b *Bus) Conn() *nats.Conn { return b.nc }

// Connected reports whether the server is there now.
func (b *Bus) Connected() bool { return b.nc.IsConnected() }

// Publish sends one event and waits until the stream has it. For commands, usage and answers that are in no log: e.ID
// deduplicates.
func (b *Bus) Publish(ctx context.Context, e events.Event) error {
	body, err := events.Encode(e)
	if err != nil {
		return err
	}
	msg := message(events.BusSubject(e.Type, e.Subject), e.Source+"/"+e.ID, body)
	if _, err := b.js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("publish %s: %w", e.Type, err)
	}
	return nil
}

const structuredMode = "application/cloudevents+json"

func message(subject, id string, body []byte) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: body, Header: nats.Header{
		"Content-Type": {structuredMode}, jetstream.MsgIDHeader: {id},
	}}
}

// confirmTimeout bounds the wait for one confirmation of a window.
const confirmTimeout = 10 * time.Second

// PublishBatch implements eventlog.Publisher: it sends a window without waiting, then waits for every confirmation in
// order. What lies behind the first failure may be in the stream already; it is sent again and consumers see it twice
// or early, which their inboxes settle.
func (b *Bus) PublishBatch(ctx context.Context, batch []eventlog.Message) (confirmed int, err error) {
	if !b.nc.IsConnected() {
		return 0, nats.ErrDisconnected
	}
	acks := make([]jetstream.PubAckFuture, 0, len(batch))
	for i := range batch {
		f, err := b.js.PublishMsgAsync(message(batch[i].Subject, batch[i].ID, batch[i].Data), jetstream.WithStallWait(confirmTimeout))
		if err != nil {
			break // the acks already under way tell how far we got
		}
		acks = append(acks, f)
	}
	timeout := time.NewTimer(confirmTimeout)
	defer timeout.Stop()
	for _, f := range acks {
		select {
		case <-f.Ok():
			confirmed++
			continue
		case err = <-f.Err():
		case <-timeout.C:
			err = errors.New("no confirmation in time")
		case <-ctx.Done():
			err = ctx.Err()
		}
		return confirmed, err
	}
	if confirmed < len(batch) {
		return confirmed, errors.New("the send window is full or the connection is gone")
	}
	return confirmed, nil
}

func headerJSON(h nats.Header) []byte {
	out, err := json.Marshal(h)
	if err != nil {
		return []byte("{}")
	}
	return out
}
