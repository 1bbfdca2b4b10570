package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"tenure/shared/bus"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/testkit"
)

// canary is a name that must be found nowhere once its message was handled.
const canary = "Kanarienvogel GmbH"

func (r *rig) register(t *testing.T, tenant string) {
	t.Helper()
	r.command(t, &events.Register{Name: canary, Email: "bird@canary.example", Plan: "starter"}, tenant)
}

func (r *rig) command(t *testing.T, p events.Payload, tenant string) {
	t.Helper()
	e, err := events.New(p, tenant)
	require.NoError(t, err)
	e.ID, e.Source, e.Time = tenant+e.Type, "crm", time.Unix(1, 0)
	require.NoError(t, r.bus.Publish(t.Context(), e))
}

// take consumes commands as the lifecycle does: registrations are erased.
func (r *rig) take(t *testing.T, handle bus.Handler) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.bus.Consume(ctx, bus.ConsumerConfig{
			Name: "commands", Stream: bus.StreamCommands, Handler: handle, Whole: true,
			Erase: func(m bus.Message) bool { return m.Event.Type == (*events.Register)(nil).EventType() },
		})
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// left is how many messages the stream of commands has.
func (r *rig) left(t *testing.T) uint64 {
	t.Helper()
	js, err := jetstream.New(r.bus.Conn())
	require.NoError(t, err)
	stream, err := js.Stream(t.Context(), bus.StreamCommands)
	require.NoError(t, err)
	return stream.CachedInfo().State.Msgs
}

// onDisk reports whether any file of the server holds the canary.
func (r *rig) onDisk(t *testing.T) bool {
	t.Helper()
	found := false
	require.NoError(t, filepath.WalkDir(r.nats.Dir(), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && entry.IsDir() {
			return nil // the server moves files at any time
		}
		content, err := os.ReadFile(path)
		found = found || bytes.Contains(content, []byte(canary))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}))
	return found
}

func TestARegistrationIsOverwrittenOnceItIsHandled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.register(t, "acme")
	r.command(t, &events.Upgrade{Plan: "professional"}, "acme")
	testkit.WaitFor(t, 5*time.Second, "the message on the disk", func() bool { return r.onDisk(t) })
	r.take(t, func(_ context.Context, messages []bus.Message) (int, error) { return len(messages), nil })
	testkit.WaitFor(t, 10*time.Second, "the registration to be gone", func() bool { return r.left(t) == 1 })
	require.False(t, r.onDisk(t), "its bytes are still on the disk")
}

func TestAHandledRegistrationThatComesAgainIsErasedThen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.register(t, "acme")
	var tries atomic.Int64
	r.take(t, func(context.Context, []bus.Message) (int, error) {
		if tries.Add(1) == 1 {
			return 0, fault.RetryAfter(errors.New("killed behind its commit"), time.Millisecond)
		}
		return 1, nil
	})
	testkit.WaitFor(t, 10*time.Second, "the registration to be gone", func() bool { return r.left(t) == 0 })
	require.EqualValues(t, 2, tries.Load())
	require.False(t, r.onDisk(t))
}

func TestARegistrationThatIsADeadLetterLeavesTheBus(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.register(t, "acme")
	r.take(t, func(context.Context, []bus.Message) (int, error) { return 0, fault.Permanent(errors.New("refused")) })
	testkit.WaitFor(t, 10*time.Second, "the registration to be gone", func() bool { return r.left(t) == 0 })
	require.Len(t, r.letters(t), 1)
	require.Contains(t, string(r.letters(t)[0].Payload), canary)
}

// More registrations than can be overwritten in time do not hold up what is behind them, and none stays.
func TestManyRegistrationsLeaveTheBusWithoutHoldingItUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const many = 1000
	for i := range many {
		r.register(t, fmt.Sprintf("tenant-%d", i))
	}
	r.command(t, &events.Upgrade{Plan: "professional"}, "acme")
	behind := make(chan struct{})
	stop := r.take(t, func(_ context.Context, messages []bus.Message) (int, error) {
		if messages[len(messages)-1].Event.Subject == "acme" {
			close(behind)
		}
		return len(messages), nil
	})
	select {
	case <-behind:
	case <-time.After(30 * time.Second):
		t.Fatal("the command behind them was not handled")
	}
	stop() // waits for what was taken
	require.EqualValues(t, 1, r.left(t))
}

// Waiting would mend nothing: a service that starts on such a stream must end, and say what to do.
func TestAStreamThatNoMessageCanLeave(t *testing.T) {
	b, err := bus.Connect(t.Context(), bus.Config{URL: testkit.NATS(t).URL(), Name: "test"})
	require.NoError(t, err)
	defer b.Close()
	js, err := jetstream.New(b.Conn())
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: bus.StreamCommands, Subjects: []string{"tenure.commands.>"}, Discard: jetstream.DiscardNew, DenyDelete: true, DenyPurge: true,
	})
	require.NoError(t, err)
	err = b.EnsureTopology(t.Context())
	require.True(t, fault.IsPermanent(err), err)
	require.ErrorContains(t, err, "nats stream rm "+bus.StreamCommands)
}
