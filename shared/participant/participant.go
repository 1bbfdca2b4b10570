// Package participant lets a system that holds tenant data take part in the lifecycle: it asks for the steps of its
// name, does them through the handlers that it is given, and tells how they ended.
//
//	err := participant.Run(ctx, participant.Config{
//		Name: "search", Conn: conn, ControlURL: "https://tenure.internal", Token: token,
//		Actions: map[string]participant.Handler{"provision": createIndex, "erase": dropIndex},
//	})
//
// Handlers must be idempotent by Step.StepID: a step is asked for again after a timeout, a crash or a failure.
package participant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"tenure/shared/events"
)

// Handler does one action of one step and returns what the lifecycle should record (it is encoded as JSON; nil is
// nothing). An error answers step.failed, and the lifecycle asks again; a fault.Permanent one tells it not to. ctx ends at
// the step's deadline: work that goes on after it meets the compensation of its own step. A tenant's steps come one after
// another, but for an export, which returns events.ExportFiles and runs beside them.
type Handler func(ctx context.Context, s Step) (result any, err error)

// Hint acts on something that nobody waits for. It is called at least once for each event, one event after another in one
// process; after an error it is called again later, when other events may have come in between. So let it look at what is so
// now, and not trust that the news is the newest.
type Hint func(ctx context.Context, tenant string) error

// Step is what a handler is asked to do.
type Step struct {
	Tenant string
	events.StepRequest
	progress func(done, total int64)
}

// Progress tells how far the step is, in the handler's own unit. It may be called as often as one likes: at most one
// report a second leaves. A lost report is not repeated.
func (s Step) Progress(done, total int64) {
	if s.progress != nil {
		s.progress(done, total)
	}
}

// Config of a participant. Name, Conn and Actions are required.
type Config struct {
	// Name is the participant's, and the second part of its events' types: lower-case letters, digits, "-" and "_".
	Name string
	// Conn is an open connection to the bus; Run leaves it open.
	Conn *nats.Conn
	// Actions maps provision, switch, release, drain, archive, restore, export, erase and verify to their handlers. Only
	// those that are there are asked for.
	Actions map[string]Handler
	// Hints maps lifecycle events of the group "tenant", such as "tenant.cooled" and "tenant.warmed", to what should be done
	// about them. Others are passed over.
	Hints map[string]Hint
	// ControlURL is the address of Tenure's HTTP API, for the registration; Token an operator's token for it. Without an
	// address nothing is registered: somebody else did it.
	ControlURL string
	Token      string
	// NeedsDrain asks for a drain before each switch.
	NeedsDrain bool
	// Timeout is how long one step may take. 0: the lifecycle's default.
	Timeout time.Duration
	// Workers is how many steps are done side by side. 0: 16.
	Workers int
	// Registered, if not nil, is called once when the participant is registered and takes steps. Tenants that sign up
	// earlier are not its own.
	Registered func()
	// HTTPClient sends the registration. nil: one that gives up after 10 s.
	HTTPClient *http.Client
	// Log receives what cannot be returned. nil: slog.Default.
	Log *slog.Logger
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

func (c Config) withDefaults() (Config, error) {
	switch {
	case !validName.MatchString(c.Name):
		return c, fmt.Errorf("participant: name %q: use up to 64 lower-case letters, digits, - and _", c.Name)
	case c.Conn == nil:
		return c, errors.New("participant: no connection to the bus")
	case len(c.Actions) == 0:
		return c, errors.New("participant: no actions")
	}
	if c.Workers <= 0 {
		c.Workers = 16
	}
	if c.Registered == nil {
		c.Registered = func() {}
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	c.Log = c.Log.With("participant", c.Name)
	return c, nil
}

func (c Config) actionNames() []string { return slices.Sorted(maps.Keys(c.Actions)) }

const (
	eventStream = "TENURE_EVENTS"
	// ackWait is after how long the steps of a crashed process are given to another one.
	ackWait = 30 * time.Second
	// retryPeriod is how long Run waits for a bus or a control plane that is not there yet.
	retryPeriod = 500 * time.Millisecond
)

// Run takes part until ctx ends, and then returns nil when every step in hand has been answered or given back. Several
// processes of one name share the steps. It waits for a bus and a control plane that are not there yet; an error is
// one of configuration.
func Run(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	js, err := jetstream.New(cfg.Conn)
	if err != nil {
		return fmt.Errorf("participant %s: %w", cfg.Name, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	consumer := subscribe(ctx, js, cfg, steps)
	if consumer == nil {
		return nil
	}
	if len(cfg.Hints) > 0 {
		group.Go(func() error { takeHints(ctx, js, cfg); return nil })
	}
	// The registration comes after the durable consumer exists, so that no step asked for in between is missed.
	group.Go(func() error { return register(ctx, cfg) })
	group.Go(func() error { newWorker(cfg, js).run(ctx, consumer); return nil })
	return group.Wait()
}

// subscription is one of the two durable consumers of a participant. Each has one subject: the bus's rights can bind a
// consumer to one, not to a choice of several.
type subscription struct{ prefix, subject string }

var (
	steps = subscription{"participant_", "tenure.events.lifecycle.*.step.requested"}
	hints = subscription{"hints_", "tenure.events.lifecycle.*.tenant.*"}
)

// subscribe returns the durable consumer, or nil when ctx ended first.
func subscribe(ctx context.Context, js jetstream.JetStream, cfg Config, s subscription) jetstream.Consumer {
	for {
		consumer, err := js.CreateOrUpdateConsumer(ctx, eventStream, jetstream.ConsumerConfig{
			Durable:       s.prefix + cfg.Name,
			FilterSubject: s.subject,
			// Events from before the first registration were never meant for this participant.
			DeliverPolicy: jetstream.DeliverNewPolicy,
			AckPolicy:     jetstream.AckExplicitPolicy,
			AckWait:       ackWait,
			MaxDeliver:    -1,
			MaxAckPending: maxInHand,
		})
		if err == nil {
			return consumer
		}
		cfg.Log.InfoContext(ctx, "waiting for the bus", "error", err)
		if !sleep(ctx, retryPeriod) {
			return nil
		}
	}
}

// sleep waits for d and reports whether it did, or whether ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
