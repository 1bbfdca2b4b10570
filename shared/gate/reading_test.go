package gate

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tenure/shared/events"
)

var errAway = errors.New("the bus is away")

// fakeBus is a bus in memory, for tests in which hours pass.
type fakeBus struct {
	t       *testing.T
	mu      sync.Mutex
	away    bool
	made    time.Time
	stored  []events.Event
	records []Record
	// lost are deliveries, counted from 1 per consumer, that get lost on the way; they are lost once.
	lost      map[int]bool
	consumers int
	changed   chan struct{}
	// signals are what the gate said of itself, but for its beats.
	signals []Signal
	beats   int
}

func newFakeBus(t *testing.T) *fakeBus {
	return &fakeBus{t: t, made: time.Now(), lost: map[int]bool{}, changed: make(chan struct{})}
}

// set changes the bus and wakes its consumers.
func (b *fakeBus) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	close(b.changed)
	b.changed = make(chan struct{})
}

// publish works while the bus is away, too: its events are then the first thing that there is when it is back.
func (b *fakeBus) publish(tenant string, version int64, p events.Payload) {
	b.t.Helper()
	e := lifecycleEvent(b.t, tenant, version, p)
	e.ID, e.Source, e.Time = tenant, "tenure/lifecycle", time.Now()
	b.set(func() { b.stored = append(b.stored, e) })
}

func (b *fakeBus) position(context.Context) (position, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return position{}, errAway
	}
	return position{b.made, uint64(len(b.stored))}, nil
}

func (b *fakeBus) newest(_ context.Context, tenant string) (sequence uint64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, e := range b.stored {
		if e.Subject == tenant {
			sequence = uint64(i + 1)
		}
	}
	return sequence, nil
}

func (b *fakeBus) snapshot(_ context.Context, page SnapshotRequest) (s Snapshot, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.records == nil {
		return s, errors.New("nobody answers")
	}
	for _, r := range b.records {
		if r.Tenant > page.After && len(s.Tenants) < page.Limit {
			s.Tenants = append(s.Tenants, r)
		}
	}
	return s, nil
}

func (b *fakeBus) signal(s Signal) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return errAway
	}
	if s.Step == "" {
		b.beats++
	} else {
		b.signals = append(b.signals, s)
	}
	return nil
}

func (b *fakeBus) consume(ctx context.Context, after uint64, take func(delivery)) (consumer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return nil, errAway
	}
	b.consumers++
	ctx, stop := context.WithCancel(ctx)
	c := &fakeConsumer{bus: b, after: int(after), cancel: stop}
	go c.run(ctx, take)
	return c, nil
}

type fakeConsumer struct {
	bus    *fakeBus
	after  int
	cancel func()
}

func (c *fakeConsumer) run(ctx context.Context, take func(delivery)) {
	b := c.bus
	for sent := 0; ; {
		b.mu.Lock()
		changed := b.changed
		var next *events.Event
		if at := c.after + sent; !b.away && at < len(b.stored) {
			next = &b.stored[at]
		}
		lost := b.lost[sent+1]
		if next != nil {
			delete(b.lost, sent+1)
		}
		b.mu.Unlock()
		if next == nil {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			continue
		}
		sent++
		body, err := events.Encode(*next)
		if err != nil {
			b.t.Error(err)
		}
		if !lost {
			take(delivery{number: uint64(sent), sequence: uint64(c.after + sent), data: body})
		}
	}
}

func (c *fakeConsumer) promised(context.Context) (uint64, error) {
	c.bus.mu.Lock()
	defer c.bus.mu.Unlock()
	if c.bus.away {
		return 0, errAway
	}
	return uint64(max(0, len(c.bus.stored)-c.after)), nil
}

func (c *fakeConsumer) stop() { c.cancel() }

// feed runs gates on the bus until the test ends.
func (b *fakeBus) feed(gates ...*Gate) {
	ctx, stop := context.WithCancel(b.t.Context())
	var running sync.WaitGroup
	for _, g := range gates {
		running.Go(func() {
			if err := g.run(ctx, b); err != nil {
				b.t.Errorf("run: %v", err)
			}
		})
	}
	b.t.Cleanup(func() { stop(); running.Wait() })
	synctest.Wait()
}

// pass lets time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func wantStatus(t *testing.T, g *Gate, tenant string, c Capability, want int) {
	t.Helper()
	if v := g.Check(tenant, c); v.Status != want {
		t.Errorf("%s of %s: %d (%s), want %d", c, tenant, v.Status, v.Code, want)
	}
}

// The bus is away for five minutes: each gate answers as its policy says, and both catch up when it is back.
func TestFiveMinutesWithoutTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		open, closed := New(Config{}), New(Config{WhenStale: FailClosed})
		b.publish("acme", 1, activated("free"))
		b.feed(open, closed)
		pass(time.Second)
		for _, g := range []*Gate{open, closed} {
			wantStatus(t, g, "acme", Query, http.StatusOK)
		}

		b.set(func() { b.away = true })
		b.publish("acme", 2, suspended("abuse")) // what happens meanwhile
		b.publish("late", 1, activated("free"))
		pass(8 * time.Second)
		if open.Stale() || closed.Stale() {
			t.Error("a gate does not trust its replica for the time that it should")
		}
		wantStatus(t, closed, "acme", Query, http.StatusOK)
		for range 5 {
			pass(time.Minute)
			wantStatus(t, open, "acme", Query, http.StatusOK)
			wantStatus(t, open, "late", Query, http.StatusServiceUnavailable)
			wantStatus(t, closed, "acme", Query, http.StatusServiceUnavailable)
		}
		if age := open.Age(); !open.Stale() || age < 5*time.Minute || age > 6*time.Minute {
			t.Errorf("after five minutes: stale %t, %s old", open.Stale(), age)
		}
		began := time.Now()
		open.CheckFresh(t.Context(), "late", Query)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("a request waited %s for a bus that is known to be away", waited)
		}

		b.set(func() { b.away = false })
		pass(time.Second)
		for _, g := range []*Gate{open, closed} {
			wantStatus(t, g, "acme", Query, http.StatusForbidden)
			wantStatus(t, g, "late", Query, http.StatusOK)
			if g.Stale() || g.Age() > 2*time.Second {
				t.Errorf("a second after the bus is back: stale %t, %s old", g.Stale(), g.Age())
			}
		}
	})
}

func TestALostDeliveryIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		g := New(Config{})
		b.feed(g)
		b.lost[2] = true
		b.publish("acme", 1, activated("free"))
		b.publish("acme", 2, suspended("admin"))
		b.publish("acme", 3, &events.HoldPlaced{Change: moved("suspended")}) // must not be taken before the suspension
		pass(time.Second)
		wantStatus(t, g, "acme", Query, http.StatusForbidden)
		if b.consumers != 2 {
			t.Errorf("%d consumers, want a second one", b.consumers)
		}

		b.lost[4] = true // the last one, counted from where the second consumer began
		b.publish("acme", 4, &events.BlockLifted{Change: moved("active")})
		b.publish("acme", 5, &events.BlockAdded{Change: moved("active"), Blocks: []events.Block{{Kind: "over_limit"}}})
		pass(2 * time.Second)
		if g.Check("acme", Ingest).Status == http.StatusPaymentRequired {
			t.Error("the delivery was not lost")
		}
		pass(12 * time.Second) // nothing follows that would show the gap: the gate notices that it waits for something
		wantStatus(t, g, "acme", Ingest, http.StatusPaymentRequired)
	})
}

// A stream that was made anew from the logs counts from 1 again: a gate that waited for its old place in it would be deaf.
func TestAStreamMadeAnewIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		g := New(Config{})
		b.publish("acme", 1, activated("free"))
		b.publish("beta", 1, activated("free"))
		b.feed(g)
		pass(time.Second)
		b.set(func() { b.made, b.stored = time.Now(), nil })
		b.publish("beta", 1, activated("free"))
		b.publish("beta", 2, suspended("admin"))
		b.publish("beta", 3, &events.HoldPlaced{Change: moved("suspended")})
		pass(2 * time.Second)
		wantStatus(t, g, "beta", Query, http.StatusForbidden)
		wantStatus(t, g, "acme", Query, http.StatusOK)
	})
}

func TestGateBeginsWithTheSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFakeBus(t)
		g := New(Config{})
		b.publish("acme", 1, activated("free"))
		b.publish("acme", 2, suspended("payment"))
		for _, id := range []string{"acme", "beta", "gamma"} {
			b.records = append(b.records, Record{Tenant: id, Version: 2, State: "suspended", Blocks: []string{"payment"}, Plan: "starter"})
		}
		b.feed(g)
		pass(time.Second)
		for _, r := range b.records {
			wantStatus(t, g, r.Tenant, Query, http.StatusPaymentRequired)
		}
		if _, count := g.reading.Load().progress(); count > 0 {
			t.Errorf("the gate has read %d events that its snapshot holds", count)
		}
		b.publish("gamma", 2, activated("free")) // in the snapshot already, under that version
		b.publish("beta", 3, &events.TenantReactivated{Change: moved("active"), Plan: "free"})
		pass(time.Second)
		wantStatus(t, g, "gamma", Query, http.StatusPaymentRequired)
		wantStatus(t, g, "beta", Query, http.StatusOK)
		if got, _ := g.Settings("beta"); got.Plan != "free" || got.Version != 3 {
			t.Errorf("beta has %+v", got)
		}
	})
}
