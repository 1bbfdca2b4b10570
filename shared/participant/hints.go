package participant

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/events"
)

// hintRetry is after how long a hint that failed comes again. Those behind it do not wait.
const hintRetry = 5 * time.Second

// takeHints acts on hints until ctx ends.
func takeHints(ctx context.Context, js jetstream.JetStream, cfg Config) {
	for {
		consumer := subscribe(ctx, js, cfg, hints)
		if consumer == nil {
			return
		}
		if err := pullHints(ctx, consumer, cfg); err != nil {
			cfg.Log.WarnContext(ctx, "the consumer of hints is lost and made again", "error", err)
		}
	}
}

// pullHints takes messages until ctx ends (nil) or the consumer is gone. It fetches one at a time: another one would be given
// to somebody else while it waits.
func pullHints(ctx context.Context, consumer jetstream.Consumer, cfg Config) error {
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1), jetstream.WithMessagesErrOnMissingHeartbeat(false))
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	defer messages.Stop()
	for {
		msg, err := messages.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		settled := msg.Ack
		if err := takeHint(ctx, msg, cfg); err != nil {
			if ctx.Err() == nil {
				cfg.Log.WarnContext(ctx, "a hint failed and comes again", "subject", msg.Subject(), "error", err)
			}
			settled = func() error { return msg.NakWithDelay(hintRetry) }
		}
		if err := settled(); err != nil {
			cfg.Log.DebugContext(ctx, "message not settled", "subject", msg.Subject(), "error", err) // it comes again
		}
	}
}

// takeHint calls the hint that the message is for, if there is one.
func takeHint(ctx context.Context, msg jetstream.Msg, cfg Config) error {
	event, err := events.Decode(msg.Headers(), msg.Data())
	if err != nil {
		cfg.Log.ErrorContext(ctx, "hint passed over", "subject", msg.Subject(), "error", err)
		return nil
	}
	hint, ok := cfg.Hints[event.Name()]
	if !ok {
		return nil
	}
	over := make(chan struct{})
	defer close(over)
	go keepMine(msg, over)
	return hint(ctx, event.Subject)
}

// keepMine tells the server until over is closed that the message is not lost, however long it takes.
func keepMine(msg jetstream.Msg, over <-chan struct{}) {
	ticker := time.NewTicker(ackWait / 3)
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
			_ = msg.InProgress() // without a connection there is nobody to tell
		}
	}
}
