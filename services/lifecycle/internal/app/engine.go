// Package app runs the lifecycle's use cases: it takes commands from HTTP, the bus and the timers, decides them in
// batches, and writes what follows in one transaction.
package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/plans"
	"tenure/shared/vault"
)

// Submission is one command on its way to a decision.
type Submission struct {
	Tenant string
	Name   string
	// Key is the idempotency key within the tenant: the same key has the same answer and no second effect.
	Key string
	// Hash is of the content, to tell a repeated command from another one under a used key.
	Hash []byte
	// CausationID becomes that of the events; Correlation is the id of what began it all.
	CausationID   string
	CorrelationID string
	Actor         string
	TraceParent   string
	Payload       events.Payload
	// Contact is the personal data of a registration: it goes to the vault in the same transaction.
	Contact *vault.Contact
}

// Outcome is the answer to a submission.
type Outcome struct {
	// Before and State are the tenant around the command.
	Before, State tenant.State
	Events        []events.Event
	Refusal       *tenant.Refusal
	// Err: nothing is known to be written (the database is away). Ask again with the same key.
	Err error
}

// Config of an engine.
type Config struct {
	Plans plans.Catalogue
	// Usage is what is charged beside the plans' prices. No decision looks at it, but whoever agrees to a preview agrees to it.
	Usage []plans.UsagePrice
	// Clock is this machine's, to be held against the database's; time.Now outside of tests.
	Clock func() time.Time
	// GatesLive reports whether plan changes that begin now have to wait for gates; nil: they never have to.
	GatesLive func() bool
	// Policy picks what holds for a tenant.
	Policy func(region, plan string) tenant.Policy
}

const (
	// batchLimit bounds the commands of one transaction.
	batchLimit = 1000
	// queueLimit is how many commands may wait; beyond it callers wait to be let in.
	queueLimit = 4 * batchLimit
	// cacheLimit bounds the states kept in memory by each partition.
	cacheLimit = 16 << 10
)

// ErrStopped is the outcome of a command that came while the engine stops.
var ErrStopped = errors.New("the service is stopping; send the command again")

// Engine decides commands. One goroutine per partition of tenants does so, one transaction after another; all that
// waits goes into the next transaction, so that load makes batches bigger and not waits longer.
type Engine struct {
	db         *pgxpool.Pool
	log        *eventlog.Log
	vault      *vault.Vault
	cfg        Config
	partitions []*partition
	stopped    chan struct{}

	mu           sync.RWMutex
	participants []tenant.Participant
	watchers     map[string]map[chan struct{}]bool
}

// NewEngine returns an engine; Run makes it work.
func NewEngine(db *pgxpool.Pool, log *eventlog.Log, vlt *vault.Vault, cfg Config) *Engine {
	if cfg.GatesLive == nil {
		cfg.GatesLive = func() bool { return false }
	}
	e := &Engine{db: db, log: log, vault: vlt, cfg: cfg, stopped: make(chan struct{}), watchers: map[string]map[chan struct{}]bool{}}
	for id := range log.Partitions() {
		e.partitions = append(e.partitions, &partition{id: id, in: make(chan *pending, queueLimit), cache: newCache(cacheLimit)})
	}
	return e
}

// pending is a submission and where its outcome goes. done has room for it: the engine never waits for a caller.
type pending struct {
	Submission
	index int
	done  chan<- answer
}

type answer struct {
	index int
	Outcome
}

// Submit decides one command and returns when it is committed, refused, or cannot be.
func (e *Engine) Submit(ctx context.Context, s Submission) Outcome {
	return e.SubmitAll(ctx, []Submission{s})[0]
}

// SubmitAll decides many; commands of one tenant in the order given. It returns one outcome for each.
func (e *Engine) SubmitAll(ctx context.Context, list []Submission) []Outcome {
	out := make([]Outcome, len(list))
	done := make(chan answer, len(list))
	sent := 0
	for i := range list {
		p := e.partitions[e.log.PartitionOf(list[i].Tenant)]
		select {
		case p.in <- &pending{list[i], i, done}:
			sent++
			continue
		case <-e.stopped:
			out[i].Err = ErrStopped
		case <-ctx.Done():
			out[i].Err = ctx.Err()
		}
	}
	for range sent {
		select {
		case a := <-done:
			out[a.index] = a.Outcome
		case <-ctx.Done():
			// They may be committed all the same; the caller asks again with the same keys.
			for i := range out {
				if out[i].Events == nil && out[i].Refusal == nil {
					out[i].Err = ctx.Err()
				}
			}
			return out
		}
	}
	return out
}

// Run decides until ctx ends, then answers what still waits with ErrStopped.
func (e *Engine) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range e.partitions {
		g.Go(func() error { p.run(ctx, e); return nil })
	}
	g.Go(func() error { e.refreshParticipants(ctx); return nil })
	err := g.Wait()
	close(e.stopped)
	for _, p := range e.partitions {
		for range len(p.in) {
			w := <-p.in
			w.done <- answer{w.index, Outcome{Err: ErrStopped}}
		}
	}
	return err
}

// partition is owned by the goroutine that runs it.
type partition struct {
	id    int
	in    chan *pending
	cache *cache
	// sequence is the partition's end after our last commit: when the database says otherwise, another process
	// has written and the cache is old.
	sequence int64
}

func (p *partition) run(ctx context.Context, e *Engine) {
	var left []*pending // repeated keys of the batch before
	for {
		batch := left
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return
			case w := <-p.in:
				batch = append(batch, w)
			}
		}
		for len(batch) < batchLimit {
			select {
			case w := <-p.in:
				batch = append(batch, w)
				continue
			default:
			}
			break
		}
		batch, left = splitRepeated(batch)
		// What was taken is finished even while the process stops: its callers wait for an answer.
		work, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionTimeout)
		p.process(work, e, batch)
		cancel()
	}
}

// transactionTimeout bounds one batch, however sick the database is.
const transactionTimeout = 15 * time.Second

// splitRepeated puts off commands whose key stands in the batch already: the second must find the first committed.
func splitRepeated(batch []*pending) (now, later []*pending) {
	seen := make(map[[2]string]bool, len(batch))
	now = batch[:0:0]
	for _, w := range batch {
		key := [2]string{w.Tenant, w.Key}
		if seen[key] {
			later = append(later, w)
			continue
		}
		seen[key] = true
		now = append(now, w)
	}
	return now, later
}
