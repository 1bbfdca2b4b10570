package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/pg"
	"tenure/shared/testkit"
)

type rig struct {
	bus  *bus.Bus
	db   *pgxpool.Pool
	nats *testkit.NATSServer
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ctx := context.Background()
	url := testkit.Postgres(t)
	require.NoError(t, bus.Migrate(ctx, url))
	db, err := pg.Open(ctx, url, bus.Schema)
	require.NoError(t, err)
	t.Cleanup(db.Close)
	server := testkit.NATS(t)
	b, err := bus.Connect(ctx, bus.Config{URL: server.URL(), Name: "test", DB: db})
	require.NoError(t, err)
	t.Cleanup(b.Close)
	require.NoError(t, b.EnsureTopology(ctx))
	return &rig{b, db, server}
}

func (r *rig) publish(t *testing.T, tenant string, sequence int64) {
	t.Helper()
	require.NoError(t, r.tryPublish(t, tenant, sequence))
}

func (r *rig) tryPublish(t *testing.T, tenant string, sequence int64) error {
	t.Helper()
	e, err := events.New(&events.BlockAdded{Block: "admin"}, tenant)
	require.NoError(t, err)
	e.ID, e.Source, e.Sequence, e.Time = fmt.Sprintf("%s.%d", tenant, sequence), "tenure/lifecycle", sequence, time.Unix(1, 0)
	return r.bus.Publish(context.Background(), e)
}

// recorder is a handler that remembers; fault decides about each event.
type recorder struct {
	mu    sync.Mutex
	done  map[string][]int64
	tries map[string]int
	fault func(e events.Event, try int) error
}

func newRecorder(fault func(e events.Event, try int) error) *recorder {
	return &recorder{done: map[string][]int64{}, tries: map[string]int{}, fault: fault}
}

func (r *recorder) handle(_ context.Context, messages []bus.Message) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, m := range messages {
		r.tries[m.Event.ID]++
		if r.fault != nil {
			if err := r.fault(m.Event, r.tries[m.Event.ID]); err != nil {
				return i, err
			}
		}
		r.done[m.Event.Subject] = append(r.done[m.Event.Subject], m.Event.Sequence)
	}
	return len(messages), nil
}

func (r *recorder) of(tenant string) []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]int64(nil), r.done[tenant]...)
}

func (r *rig) consume(t *testing.T, h bus.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.bus.Consume(ctx, bus.ConsumerConfig{Name: "c", Stream: bus.StreamEvents, Filters: []string{"tenure.events.lifecycle.>"}, Handler: h})
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func (r *rig) letters(t *testing.T) []bus.DeadLetter {
	t.Helper()
	list, err := bus.ListDeadLetters(context.Background(), r.db, 0, 100)
	require.NoError(t, err)
	return list
}

func TestATenantsOrderSurvivesRetries(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rec := newRecorder(func(e events.Event, try int) error {
		if e.Subject == "a" && e.Sequence == 2 && try < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	for seq := int64(1); seq <= 4; seq++ {
		r.publish(t, "a", seq)
		r.publish(t, "b", seq)
	}
	r.consume(t, rec.handle)
	testkit.WaitFor(t, 10*time.Second, "both tenants", func() bool { return len(rec.of("a")) == 4 && len(rec.of("b")) == 4 })
	require.Equal(t, []int64{1, 2, 3, 4}, rec.of("a"))
	require.Equal(t, []int64{1, 2, 3, 4}, rec.of("b"))
}

// TestARedeliveryBehindItsSuccessors is what a crash leaves: the stream gives 2 and 3 first, and 1 again after the ack wait.
func TestARedeliveryBehindItsSuccessors(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	next := int64(1)
	rec := newRecorder(func(e events.Event, _ int) error {
		if e.Sequence > next {
			return fault.RetryAfter(errors.New("early"), 10*time.Millisecond)
		}
		next = e.Sequence + 1
		return nil
	})
	for _, seq := range []int64{2, 3, 1} {
		r.publish(t, "a", seq)
	}
	r.consume(t, rec.handle)
	testkit.WaitFor(t, 10*time.Second, "all three", func() bool { return len(rec.of("a")) == 3 })
	require.Equal(t, []int64{1, 2, 3}, rec.of("a"))
}

func TestFiveTriesParkOneTenantAndReplayTakesItUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var mu sync.Mutex
	broken := true
	rec := newRecorder(func(e events.Event, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if broken && e.Subject == "bad" && e.Sequence == 2 {
			return errors.New("a bug")
		}
		return nil
	})
	for seq := int64(1); seq <= 3; seq++ {
		r.publish(t, "bad", seq)
	}
	r.publish(t, "good", 1)
	stop := r.consume(t, rec.handle)
	testkit.WaitFor(t, 5*time.Second, "others go on", func() bool { return len(rec.of("good")) == 1 })
	testkit.WaitFor(t, 20*time.Second, "the tenant is parked", func() bool { return len(r.letters(t)) == 2 })
	letters := r.letters(t)
	require.Equal(t, "retries_spent", letters[0].Reason)
	require.Equal(t, "bad.2", letters[0].OriginalID)
	require.Equal(t, "tenant_parked", letters[1].Reason)
	require.Equal(t, 5, rec.tries["bad.2"])

	stop() // a restart must not let later messages overtake
	r.consume(t, rec.handle)
	r.publish(t, "bad", 4)
	testkit.WaitFor(t, 5*time.Second, "the next one is parked too", func() bool { return len(r.letters(t)) == 3 })

	mu.Lock()
	broken = false
	mu.Unlock()
	found, err := bus.RequestReplay(context.Background(), r.db, letters[0].ID)
	require.NoError(t, err)
	require.True(t, found)
	testkit.WaitFor(t, 10*time.Second, "all are handled in order", func() bool { return len(rec.of("bad")) == 4 })
	require.Equal(t, []int64{1, 2, 3, 4}, rec.of("bad"))
	r.publish(t, "bad", 5)
	testkit.WaitFor(t, 5*time.Second, "the tenant is free again", func() bool { return len(rec.of("bad")) == 5 })
}

// A message may be put behind another in the very moment in which that one is handled at last: nobody waits for it then.
func TestWhatIsParkedBehindNothingGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rec := newRecorder(func(e events.Event, _ int) error {
		if e.Sequence == 1 {
			return errors.New("a bug")
		}
		return nil
	})
	r.publish(t, "bad", 1)
	r.publish(t, "bad", 2)
	stop := r.consume(t, rec.handle)
	testkit.WaitFor(t, 20*time.Second, "the tenant is parked", func() bool { return len(r.letters(t)) == 2 })
	stop()
	_, err := r.db.Exec(t.Context(), `UPDATE bus.dead_letters SET replayed_at = now() WHERE original_id = 'bad.1'`)
	require.NoError(t, err)
	r.consume(t, rec.handle)
	testkit.WaitFor(t, 10*time.Second, "it is handled", func() bool { return slices.Contains(rec.of("bad"), 2) })
}

func TestOutagesCountNoTries(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rec := newRecorder(func(_ events.Event, try int) error {
		if try < 20 {
			return fault.RetryAfter(errors.New("Stripe is down"), time.Millisecond)
		}
		return nil
	})
	r.publish(t, "a", 1)
	r.consume(t, rec.handle)
	testkit.WaitFor(t, 10*time.Second, "the end of the outage", func() bool { return len(rec.of("a")) == 1 })
	require.Empty(t, r.letters(t))
}

func TestGarbageBecomesDeadLetters(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rec := newRecorder(nil)
	garbage := map[string]string{
		`{`: "malformed_json",
		`{"specversion":"0.3","id":"1","source":"s","type":"tenure.lifecycle.x.v1","subject":"a"}`: "unsupported_specversion",
		`{"specversion":"1.0","source":"s","type":"tenure.lifecycle.x.v1","subject":"a"}`:          "missing_id",
		`{"specversion":"1.0","id":"1","source":"s","type":"tenure.lifecycle.x.v1","subject":"b"}`: "subject_mismatch",
	}
	for body := range garbage {
		_, err := r.bus.Conn().RequestMsg(&nats.Msg{Subject: "tenure.events.lifecycle.a.x", Data: []byte(body)}, time.Second)
		require.NoError(t, err)
	}
	r.publish(t, "a", 1)
	r.consume(t, rec.handle)
	testkit.WaitFor(t, 5*time.Second, "the good one", func() bool { return len(rec.of("a")) == 1 })
	testkit.WaitFor(t, 5*time.Second, "the bad ones", func() bool { return len(r.letters(t)) == len(garbage) })
	for _, l := range r.letters(t) {
		require.Equal(t, garbage[string(l.Payload)], l.Reason)
	}
}

func TestTheBusComesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rec := newRecorder(nil)
	r.consume(t, rec.handle)
	r.publish(t, "a", 1)
	testkit.WaitFor(t, 5*time.Second, "the first", func() bool { return len(rec.of("a")) == 1 })
	r.nats.Stop()
	r.nats.Start()
	testkit.WaitFor(t, 10*time.Second, "a connection", r.bus.Connected)
	testkit.WaitFor(t, 20*time.Second, "the stream to take the second", func() bool { return r.tryPublish(t, "a", 2) == nil })
	testkit.WaitFor(t, 20*time.Second, "the second", func() bool { return len(rec.of("a")) >= 2 })
	require.Equal(t, int64(2), rec.of("a")[len(rec.of("a"))-1])
}
