package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"tenure/shared/events"
)

// patience bounds the wait for the events of a measurement.
const patience = 2 * time.Minute

// pipeline publishes commands as an upstream service would, and receives events as a consumer would.
type pipeline struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	tenants int
	ids     int // commands sent ever
	turn    int // changes among them

	mu      sync.Mutex
	sent    map[string]time.Time // by the command's id
	took    latencies
	last    time.Time
	changes int // events that changed a state
	refused int
	arrived chan struct{}
}

func newPipeline(ctx context.Context, url string) (*pipeline, error) {
	nc, err := nats.Connect(url)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		return nil, err
	}
	p := &pipeline{nc: nc, js: js, sent: map[string]time.Time{}, arrived: make(chan struct{}, 1)}
	consumer, err := js.CreateOrUpdateConsumer(ctx, "TENURE_EVENTS", jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverAllPolicy, FilterSubject: "tenure.events.lifecycle.>",
	})
	if err != nil {
		return nil, err
	}
	_, err = consumer.Consume(p.receive, jetstream.PullMaxMessages(4096))
	return p, err
}

func (p *pipeline) close() { p.nc.Close() }

func (p *pipeline) receive(m jetstream.Msg) {
	now := time.Now()
	e, err := events.Decode(m.Headers(), m.Data())
	if err != nil {
		return
	}
	change := events.ChangeOf(e.Data)
	p.mu.Lock()
	defer p.mu.Unlock()
	if change.From != change.To {
		p.changes++
	}
	at, ours := p.sent[e.CausationID]
	if !ours {
		return // a further event of a command that was counted
	}
	delete(p.sent, e.CausationID)
	if e.Name() == "command.refused" {
		p.refused++
	}
	p.took, p.last = append(p.took, now.Sub(at)), now
	if len(p.sent) == 0 {
		select {
		case p.arrived <- struct{}{}:
		default:
		}
	}
}

func (p *pipeline) publish(tenant string, payload events.Payload) (jetstream.PubAckFuture, error) {
	p.ids++
	e, err := events.New(payload, tenant)
	if err != nil {
		return nil, err
	}
	e.ID, e.Source, e.Time, e.Actor = "b"+strconv.Itoa(p.ids), "bench", time.Now(), "operator:bench"
	body, err := events.Encode(e)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.sent[e.ID] = time.Now()
	p.mu.Unlock()
	return p.js.PublishAsync(events.BusSubject(e.Type, tenant), body, jetstream.WithStallWait(patience))
}

func name(i int) string { return "bench-" + strconv.Itoa(i) }

func (p *pipeline) signUp(ctx context.Context, n int) error {
	p.tenants = n
	for i := range n {
		if _, err := p.publish(name(i), &events.Register{Name: "Bench", Email: "bench@example.com", Plan: "free"}); err != nil {
			return err
		}
	}
	_, err := p.wait(ctx, n, time.Now())
	return err
}

// next alternates: every tenant is suspended, then every tenant is resumed, and so on.
func (p *pipeline) next() error {
	i := p.turn
	p.turn++
	var payload events.Payload = &events.Suspend{Reason: "bench"}
	if i/p.tenants%2 == 1 {
		payload = &events.Resume{Reason: "bench"}
	}
	_, err := p.publish(name(i%p.tenants), payload)
	return err
}

type result struct {
	// commands and changes of state, per second; resuming a tenant is one command and two changes.
	commands, changes float64
	took              latencies
}

func (p *pipeline) saturate(ctx context.Context, n int) (result, error) {
	start := time.Now()
	for range n {
		if err := p.next(); err != nil {
			return result{}, err
		}
	}
	return p.wait(ctx, n, start)
}

func (p *pipeline) paced(ctx context.Context, rate int, d time.Duration) (result, error) {
	n := int(float64(rate) * d.Seconds())
	start := time.Now()
	for i := range n {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if wait := time.Until(due); wait > 0 {
			<-time.After(wait)
		}
		if err := p.next(); err != nil {
			return result{}, err
		}
	}
	return p.wait(ctx, n, start)
}

// wait returns when every command sent has its first event, and the figures since start.
func (p *pipeline) wait(ctx context.Context, n int, start time.Time) (result, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		p.mu.Lock()
		missing, refused := len(p.sent), p.refused
		p.mu.Unlock()
		if refused > 0 {
			return result{}, fmt.Errorf("%d commands were refused: the benchmark is wrong", refused)
		}
		if missing == 0 {
			break
		}
		select {
		case <-p.arrived:
		case <-timeout.C:
			return result{}, fmt.Errorf("%d of %d commands have no event", missing, n)
		case <-ctx.Done():
			return result{}, ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	took := p.last.Sub(start).Seconds()
	r := result{commands: float64(n) / took, changes: float64(p.changes) / took, took: p.took}
	p.took, p.changes = nil, 0
	return r, nil
}
