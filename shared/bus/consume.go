package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/events"
	"tenure/shared/fault"
)

// Message is a decoded message of a stream.
type Message struct {
	Event   events.Event
	Subject string
	raw     jetstream.Msg
	seq     uint64 // in the stream
}

// Handler handles messages in order and returns how many, from the first on, are done; err is what stopped it at the
// next one. See shared/fault for what an error means. It is called with messages of one tenant, unless the
// consumer is Whole; never twice at once for the same tenant.
type Handler func(ctx context.Context, messages []Message) (done int, err error)

// ConsumerConfig of a durable consumer. Two processes with the same name share its messages.
type ConsumerConfig struct {
	Name    string
	Stream  string
	Filters []string // subjects; none is all
	Handler Handler
	// Workers is how many tenants are handled side by side; 0 is 16.
	Workers int
	// Whole hands over everything that waits, of all tenants, in one call, one call at a time: for the writer that
	// commits many commands in one transaction.
	Whole bool
	// MaxBatch bounds the messages of one call; 0 is 1,000.
	MaxBatch int
	// Erase picks the messages that are deleted from the stream, and overwritten on its disk, once they are handled or a
	// dead letter: those with personal data. nil: none is. The stream must allow deletes.
	Erase func(m Message) bool
}

const (
	// ackWait is how long what a killed process had in hand stays with it, before another gets it.
	ackWait = 10 * time.Second
	// heartbeat tells the server that messages in hand are not lost; well below ackWait.
	heartbeat = 3 * time.Second
	// maxPending bounds what is in hand: memory, and what comes again after a crash.
	maxPending = 16 << 10
	// maxTries is after how many failures a message becomes a dead letter.
	maxTries = 5
)

// Consume delivers messages until ctx ends. It survives loss of the bus and of the database. On return every message in
// hand has been handled or given back.
func (b *Bus) Consume(ctx context.Context, cfg ConsumerConfig) error {
	cfg = cfg.withDefaults()
	letters := &deadLetters{db: b.cfg.DB, consumer: cfg.Name}
	for ctx.Err() == nil {
		err := b.consumeOnce(ctx, cfg, letters)
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "the consumer stopped and starts again", "consumer", cfg.Name, "error", err)
			sleep(ctx, time.Second)
		}
	}
	return nil
}

func (c ConsumerConfig) withDefaults() ConsumerConfig {
	if c.Workers == 0 {
		c.Workers = 16
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = 1000
	}
	return c
}

func (b *Bus) consumeOnce(ctx context.Context, cfg ConsumerConfig, letters *deadLetters) error {
	if err := letters.loadParked(ctx); err != nil {
		return err
	}
	consumer, err := b.js.CreateOrUpdateConsumer(ctx, cfg.Stream, jetstream.ConsumerConfig{
		Durable: cfg.Name, FilterSubjects: cfg.Filters, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait,
		DeliverPolicy: jetstream.DeliverAllPolicy, MaxAckPending: maxPending, MaxDeliver: -1,
	})
	if err != nil {
		return fmt.Errorf("consumer %s: %w", cfg.Name, err)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(2*cfg.MaxBatch), jetstream.PullExpiry(30*time.Second))
	if err != nil {
		return fmt.Errorf("pull %s: %w", cfg.Name, err)
	}
	d := newDispatcher(cfg, letters)
	if cfg.Erase != nil {
		if d.eraser, err = b.newEraser(ctx, cfg.Stream); err != nil {
			messages.Stop()
			return err
		}
		defer d.eraser.stop()
	}
	done := make(chan struct{})
	go func() { // owns Next; ends when messages is stopped
		defer close(done)
		for {
			m, err := messages.Next()
			if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
				return
			}
			if err != nil {
				slog.WarnContext(ctx, "pull", "consumer", cfg.Name, "error", err)
				if !sleep(ctx, time.Second) {
					return
				}
				continue
			}
			select {
			case d.incoming <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	err = d.run(ctx)
	messages.Stop()
	<-done
	return err
}

// decode turns a raw message into a Message, or tells why it never can be one.
func decode(raw jetstream.Msg) (Message, error) {
	m := Message{Subject: raw.Subject(), raw: raw}
	if meta, err := raw.Metadata(); err == nil {
		m.seq = meta.Sequence.Stream
	}
	e, err := events.Decode(raw.Headers(), raw.Data())
	m.Event = e // what was readable, for the dead letter to name it
	if err != nil {
		return m, err
	}
	return m, checkSubject(e, m.Subject)
}

// checkSubject holds an event to the subject it came on: the bus lets each sender publish to its own alone.
func checkSubject(e events.Event, subject string) error {
	if want := events.BusSubject(e.Type, e.Subject); want != subject {
		return &events.FormatError{Code: "subject_mismatch", Message: fmt.Sprintf("type and subject belong on %s", want)}
	}
	return nil
}

// verdict is what becomes of a message whose handler failed.
type verdict int

const (
	retry  verdict = iota // count the try, then again after a backoff
	wait                  // an outside part is away: again after a delay, not counted
	reject                // dead letter now
)

func judge(err error) (verdict, time.Duration) {
	if d, ok := fault.Delay(err); ok {
		return wait, d
	}
	if fault.IsPermanent(err) || fault.IsConflict(err) {
		return reject, 0
	}
	return retry, 0
}

// backoff doubles from half a second: five tries take some 8 seconds.
func backoff(tries int) time.Duration { return 500 * time.Millisecond << (tries - 1) }

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
