package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/events"
)

const (
	eventStream      = "TENURE_EVENTS"
	lifecycleSubject = "tenure.events.lifecycle.>"
	// pullWindow is how many events may be under way at once: enough to keep a long stream flowing at the start.
	pullWindow = 4096
	// heartbeat is the server's sign of life while there is nothing to deliver.
	heartbeat = time.Second
	// keptFor is how long the server keeps a consumer whose gate is gone.
	keptFor = time.Minute
)

type jetStream struct {
	conn *nats.Conn
	api  jetstream.JetStream
	// stream is the one that position found last.
	stream atomic.Pointer[jetstream.Stream]
}

func newJetStream(conn *nats.Conn) (*jetStream, error) {
	api, err := jetstream.New(conn)
	return &jetStream{conn: conn, api: api}, err
}

func (j *jetStream) position(ctx context.Context) (position, error) {
	stream, err := j.api.Stream(ctx, eventStream)
	if err != nil {
		return position{}, err
	}
	j.stream.Store(&stream)
	info := stream.CachedInfo()
	return position{made: info.Created, last: info.State.LastSeq}, nil
}

func (j *jetStream) newest(ctx context.Context, tenant string) (uint64, error) {
	if !events.ValidTenantID(tenant) { // it would be another subject, or none
		return 0, nil
	}
	stream := j.stream.Load()
	if stream == nil {
		return 0, errNotBegun
	}
	msg, err := (*stream).GetLastMsgForSubject(ctx, "tenure.events.lifecycle."+tenant+".>")
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return msg.Sequence, nil
}

func (j *jetStream) snapshot(ctx context.Context, page SnapshotRequest) (s Snapshot, err error) {
	question, err := json.Marshal(page)
	if err != nil {
		return s, err
	}
	reply, err := j.conn.RequestWithContext(ctx, SnapshotQuery, question)
	if err != nil {
		return s, err
	}
	var answer struct {
		Value *Snapshot `json:"value"`
		Error string    `json:"error"`
	}
	answer.Value = &s
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return s, err
	}
	if answer.Error != "" {
		return s, errors.New(answer.Error)
	}
	return s, nil
}

func (j *jetStream) signal(s Signal) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return j.conn.Publish(SignalSubject(s.Gate), data)
}

// consume makes a consumer of the gate's own, in the server's memory and without acknowledgements: it is read once, and a
// lost one is replaced. jetstream's ordered consumer does nearly the same, but cannot be asked or stopped while the bus is
// away.
func (j *jetStream) consume(ctx context.Context, after uint64, take func(delivery)) (consumer, error) {
	cfg := jetstream.ConsumerConfig{
		FilterSubject: lifecycleSubject, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: keptFor,
	}
	if after > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, after+1
	}
	connection := j.conn.Stats().Reconnects
	c, err := j.api.CreateConsumer(ctx, eventStream, cfg)
	if err != nil {
		return nil, fmt.Errorf("consume %s: %w", eventStream, err)
	}
	consuming, err := c.Consume(func(msg jetstream.Msg) {
		if meta, err := msg.Metadata(); err == nil { // a message without is none of the stream's
			take(delivery{meta.Sequence.Consumer, meta.Sequence.Stream, msg.Headers(), msg.Data()})
		}
	}, jetstream.PullMaxMessages(pullWindow), jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return nil, fmt.Errorf("consume %s: %w", eventStream, err)
	}
	return &jetStreamConsumer{conn: j.conn, connection: connection, consumer: c, consuming: consuming}, nil
}

type jetStreamConsumer struct {
	conn *nats.Conn
	// connection is the one that the consumer was made on, by its number.
	connection uint64
	consumer   jetstream.Consumer
	consuming  jetstream.ConsumeContext
}

// promised asks the server. What was on its way when a connection broke is never sent again, so that a consumer is used
// on one connection alone.
func (c *jetStreamConsumer) promised(ctx context.Context) (uint64, error) {
	if c.conn.Stats().Reconnects != c.connection {
		return 0, errLost
	}
	info, err := c.consumer.Info(ctx)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, errLost
	}
	if err != nil {
		return 0, err
	}
	return info.Delivered.Consumer + info.NumPending, nil
}

func (c *jetStreamConsumer) stop() { c.consuming.Stop() }
