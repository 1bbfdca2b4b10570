package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/fault"
)

// The streams.
const (
	StreamCommands = "TENURE_COMMANDS"
	StreamEvents   = "TENURE_EVENTS"
	StreamUsage    = "TENURE_USAGE"
)

// duplicateWindow lets the server drop what a relay sends twice after a reconnect. A saving; inboxes are the guarantee.
const duplicateWindow = 2 * time.Minute

// topology is every stream there is. All of them: files, discard new (a full stream refuses, it never forgets), no purges
// over the API, and no deletes but of commands.
func topology(replicas int) []jetstream.StreamConfig {
	stream := func(name, description string, maxAge time.Duration, subject string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Description: description, Subjects: []string{subject}, MaxAge: maxAge,
			Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
			DenyDelete: true, DenyPurge: true, Duplicates: duplicateWindow, Replicas: replicas,
		}
	}
	// A register carries a name and an e-mail, and they may not outlive their use here: it is deleted when it is handled
	// (see ConsumerConfig.Erase), and after a day if nobody handles it.
	commands := stream(StreamCommands, "what upstream services ask for", 24*time.Hour, "tenure.commands.>")
	commands.DenyDelete = false
	return []jetstream.StreamConfig{
		commands,
		stream(StreamEvents, "what has happened, from every service's log", 0, "tenure.events.>"),
		stream(StreamUsage, "metered use, until billing has counted it", 7*24*time.Hour, "tenure.usage.>"),
	}
}

// EnsureTopology creates or updates the streams. A stream that exists is never deleted, whatever its settings: an error
// says what could not be changed; one that no waiting mends is a fault.Permanent.
func (b *Bus) EnsureTopology(ctx context.Context) error {
	for _, want := range topology(b.cfg.Replicas) {
		_, err := b.js.CreateOrUpdateStream(ctx, want)
		if deniesDelete(err) {
			return fault.Permanent(fmt.Errorf("stream %s was made when no message of it could be deleted, and cannot be changed: "+
				"when its commands are handled, remove it with `nats stream rm %s` and start again: %w", want.Name, want.Name, err))
		}
		if err != nil {
			return fmt.Errorf("stream %s: %w", want.Name, err)
		}
	}
	return nil
}

// deniesDelete reports whether an update was refused since the stream denies deletes for ever.
func deniesDelete(err error) bool {
	return err != nil && strings.Contains(err.Error(), "can not cancel deny message deletes")
}

// FindTopology reports whether every stream is there. For services that may not create any.
func (b *Bus) FindTopology(ctx context.Context) error {
	for _, want := range topology(b.cfg.Replicas) {
		if _, err := b.js.Stream(ctx, want.Name); err != nil {
			return fmt.Errorf("stream %s (the lifecycle service makes it): %w", want.Name, err)
		}
	}
	return nil
}
