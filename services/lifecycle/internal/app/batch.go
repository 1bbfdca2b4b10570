package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenure/services/lifecycle/internal/store"
	"tenure/services/lifecycle/internal/tenant"
	"tenure/shared/eventlog"
	"tenure/shared/events"
	"tenure/shared/fault"
	"tenure/shared/pg"
	"tenure/shared/vault"
)

// process decides a batch and answers everyone in it. A key that was used before makes the whole transaction fail; then
// the used ones are answered from the log and the rest is decided again.
func (p *partition) process(ctx context.Context, e *Engine, batch []*pending) {
	err := p.commit(ctx, e, batch)
	if errors.Is(err, eventlog.ErrConflict) {
		if batch, err = e.answerRepeated(ctx, batch); err == nil && len(batch) > 0 {
			err = p.commit(ctx, e, batch)
		}
	}
	if err != nil && len(batch) > 1 && !IsOutage(err) {
		// One of them spoils it for all: find out which.
		slog.ErrorContext(ctx, "a batch failed; its commands are decided one by one", "commands", len(batch), "error", err)
		for _, w := range batch {
			p.process(ctx, e, []*pending{w})
		}
		return
	}
	if err == nil {
		return
	}
	for _, w := range batch {
		if !IsOutage(err) {
			slog.ErrorContext(ctx, "a command cannot be decided or written", "tenant", w.Tenant, "command", w.Name, "key", w.Key, "error", err)
		}
		w.done <- answer{w.index, Outcome{Err: err}}
	}
}

// commit decides the batch in one transaction and answers it. On an error nobody was answered and nothing is written.
func (p *partition) commit(ctx context.Context, e *Engine, batch []*pending) error {
	d, written, err := p.transact(ctx, e, batch)
	if err != nil {
		p.sequence = -1 // unknown: the commit may have happened all the same
		return err
	}
	if len(d.entries) > 0 {
		e.log.Committed(written)
		p.sequence = d.pos.Sequence + int64(d.events)
	}
	for id, t := range d.tenants {
		if head, ok := written.Heads[id]; ok {
			t.Hash = head.Hash
		}
		p.cache.put(id, t)
	}
	for i, w := range batch {
		w.done <- answer{w.index, d.outcomes[i]}
	}
	e.notify(d)
	return nil
}

// transact runs the batch's transaction in as few round trips as it can: one to begin and lock, one to load what the cache
// lacks, one to write and commit.
func (p *partition) transact(ctx context.Context, e *Engine, batch []*pending) (*decisions, eventlog.Batch, error) {
	conn, err := e.db.Acquire(ctx)
	if err != nil {
		return nil, eventlog.Batch{}, err
	}
	defer conn.Release() // the pool closes a connection whose transaction was left open
	pos, err := e.log.Begin(ctx, conn, p.id)
	if err != nil {
		return nil, eventlog.Batch{}, err
	}
	d, written, err := p.decideAll(ctx, e, conn, pos, batch)
	if err != nil {
		_, _ = conn.Exec(ctx, `rollback`) // the error that led here says more
	}
	return d, written, err
}

func (p *partition) decideAll(ctx context.Context, e *Engine, conn *pgxpool.Conn, pos eventlog.Position, batch []*pending) (*decisions, eventlog.Batch, error) {
	if pos.Sequence != p.sequence {
		p.cache.clear()
		p.sequence = pos.Sequence
	}
	tenants, facts, err := p.load(ctx, e, conn, batch)
	if err != nil {
		return nil, eventlog.Batch{}, err
	}
	d := newDecisions(e, tenants, facts, pos, len(batch))
	if d.exports, err = earlierExports(ctx, conn, batch); err != nil {
		return nil, eventlog.Batch{}, err
	}
	if d.names, err = e.namesFor(ctx, conn, batch); err != nil {
		return nil, eventlog.Batch{}, err
	}
	for _, w := range batch {
		if err := d.decide(w); err != nil {
			return nil, eventlog.Batch{}, err
		}
	}
	written, err := d.write(ctx, conn)
	return d, written, err
}

// load returns the batch's tenants and the facts its commands need.
func (p *partition) load(ctx context.Context, e *Engine, q pg.Querier, batch []*pending) (map[string]store.Tenant, map[string]store.Facts, error) {
	tenants := make(map[string]store.Tenant, len(batch))
	var missing, withFacts []string
	for _, w := range batch {
		t, cached := p.cache.get(w.Tenant)
		if _, twice := tenants[w.Tenant]; !cached && !twice {
			t.State.ID = w.Tenant
			missing = append(missing, w.Tenant)
		}
		if _, twice := tenants[w.Tenant]; !twice {
			tenants[w.Tenant] = t
		}
		if !needsNoFacts[w.Name] {
			withFacts = append(withFacts, w.Tenant)
		}
	}
	if len(missing) > 0 {
		found, err := store.Load(ctx, q, missing)
		if err != nil {
			return nil, nil, err
		}
		for id, t := range found {
			tenants[id] = t
		}
	}
	if len(withFacts) == 0 {
		return tenants, nil, nil
	}
	facts, err := store.LoadFacts(ctx, q, withFacts)
	return tenants, facts, err
}

// needsNoFacts are the frequent commands that never look at usage: a look-up less for each batch of them.
var needsNoFacts = map[string]bool{
	tenant.CmdSuspend: true, tenant.CmdResume: true, tenant.CmdPlaceHold: true, tenant.CmdReleaseHold: true,
	tenant.CmdRegister: true, tenant.CmdExport: true, tenant.CmdCompleteExport: true,
}

// decisions is the work on one batch: what was decided, not yet committed.
type decisions struct {
	engine   *Engine
	tenants  map[string]store.Tenant // as they are after what is decided so far
	facts    map[string]store.Facts
	exports  map[store.ExportRef]time.Time // that commands name
	names    map[string]vault.Contact      // those that deletions may be confirmed by
	pos      eventlog.Position
	entries  []eventlog.Entry
	events   int
	outcomes []Outcome
	contacts []vault.Entry
	ops      map[string]*opChange
	before   map[string][]tenant.Timer
	// projection is what is stored beside the log.
	projection store.Projection
}

// opChange collects the events of one operation, to be folded into its view.
type opChange struct {
	tenant string
	facts  []opFact
}

type opFact struct {
	event   events.Event
	payload events.Payload
}

func newDecisions(e *Engine, tenants map[string]store.Tenant, facts map[string]store.Facts, pos eventlog.Position, n int) *decisions {
	return &decisions{
		engine: e, tenants: tenants, facts: facts, pos: pos,
		entries: make([]eventlog.Entry, 0, n), outcomes: make([]Outcome, 0, n),
		ops: map[string]*opChange{}, before: map[string][]tenant.Timer{},
	}
}

// decide adds one command's events, or its refusal, which is an event too.
func (d *decisions) decide(w *pending) error {
	t := d.tenants[w.Tenant]
	if _, ok := d.before[w.Tenant]; !ok {
		d.before[w.Tenant] = t.State.Timers()
	}
	command := tenant.Command{
		Name: w.Name, ID: w.Key, NewID: newID(), Now: d.pos.Now, Actor: w.Actor, Payload: w.Payload,
		Facts: d.engine.factsFor(t.State, w.Payload, d.facts[w.Tenant], d.pos.Now),
	}
	if ref, ok := sinceExport(w.Tenant, w.Payload); ok {
		command.Facts.SinceExport = d.exports[ref]
	}
	command.Facts.Named = named(w.Tenant, w.Payload, d.names)
	if hash, _, _ := carried(w.Payload); hash != "" {
		command.Facts.PlanHash = d.engine.planHash(t.State, w.Payload, command.Facts, d.pos.Now)
	}
	payloads, err := tenant.Decide(t.State, command)
	var refusal *tenant.Refusal
	if err != nil {
		if !errors.As(err, &refusal) {
			return fault.Permanent(fmt.Errorf("decide %s of %s: %w", w.Name, w.Tenant, err))
		}
		payloads = []events.Payload{refusal.Event(t.State, w.Name)}
	}
	out := Outcome{Before: t.State, State: t.State, Refusal: refusal}
	if len(payloads) > 0 {
		if out.Events, err = d.record(w, &t, payloads); err != nil {
			return err
		}
		out.State = t.State
	}
	if w.Contact != nil && refusal == nil {
		d.contacts = append(d.contacts, vault.Entry{Tenant: w.Tenant, Generation: t.State.Generation, Contact: *w.Contact})
	}
	d.outcomes = append(d.outcomes, out)
	return nil
}

// record turns payloads into an entry of the log and moves the state on.
func (d *decisions) record(w *pending, t *store.Tenant, payloads []events.Payload) ([]events.Event, error) {
	entry := eventlog.Entry{
		Stream: w.Tenant, Version: t.State.Version, Hash: t.Hash, CommandKey: w.Key, CommandHash: w.Hash,
		Events: make([]events.Event, len(payloads)),
	}
	for i, p := range payloads {
		ev, err := events.New(p, w.Tenant)
		if err != nil {
			return nil, fault.Permanent(err)
		}
		ev.Actor, ev.CausationID, ev.CorrelationID, ev.TraceParent = w.Actor, w.CausationID, w.CorrelationID, w.TraceParent
		ev.Sequence, ev.Time = t.State.Version+1, d.pos.Now
		t.State = tenant.Evolve(t.State, ev, p)
		entry.Events[i] = ev
		if _, activated := p.(*events.TenantActivated); activated {
			idle := d.engine.cfg.Policy(t.State.Region, t.State.Plan).Idle()
			d.projection.Look(w.Tenant, ev.Time.Add(idle))
		}
		if id := tenant.OperationOf(p); id != "" {
			if d.ops[id] == nil {
				d.ops[id] = &opChange{tenant: w.Tenant}
			}
			d.ops[id].facts = append(d.ops[id].facts, opFact{ev, p})
		}
	}
	d.events += len(payloads)
	d.entries = append(d.entries, entry)
	d.tenants[w.Tenant] = *t
	return entry.Events, nil
}

// write stores everything the batch decided.
func (d *decisions) write(ctx context.Context, conn *pgxpool.Conn) (eventlog.Batch, error) {
	if len(d.entries) == 0 {
		_, err := conn.Exec(ctx, `rollback`)
		return eventlog.Batch{}, err
	}
	last := make(map[string]int, len(d.tenants)) // only the last entry of a stream needs the snapshot
	for i := range d.entries {
		last[d.entries[i].Stream] = i
	}
	for id, i := range last {
		state := d.tenants[id].State
		snapshot, err := json.Marshal(state)
		if err != nil {
			return eventlog.Batch{}, fault.Permanent(err)
		}
		d.entries[i].Snapshot = snapshot
		d.projection.Timers(id, d.before[id], state.Timers())
	}
	if err := d.projectOperations(ctx, conn); err != nil {
		return eventlog.Batch{}, err
	}
	if len(d.contacts) > 0 {
		if err := d.engine.vault.PutAll(ctx, conn, d.contacts); err != nil {
			return eventlog.Batch{}, err
		}
	}
	b := &pgx.Batch{}
	written, err := d.engine.log.Queue(b, d.pos, d.entries)
	if err != nil {
		return written, err
	}
	if err := d.projection.Queue(b, d.pos.Now); err != nil {
		return written, err
	}
	b.Queue(`commit`)
	if err := eventlog.Conflict(conn.SendBatch(ctx, b).Close()); err != nil {
		return written, fmt.Errorf("commit %d commands: %w", len(d.outcomes), err)
	}
	return written, nil
}

func (d *decisions) projectOperations(ctx context.Context, q pg.Querier) error {
	if len(d.ops) == 0 {
		return nil
	}
	ids := make([]string, 0, len(d.ops))
	for id := range d.ops {
		ids = append(ids, id)
	}
	views, err := store.Operations(ctx, q, ids)
	if err != nil {
		return err
	}
	for id, change := range d.ops {
		view := views[id]
		view.Tenant = change.tenant
		for _, f := range change.facts {
			view = tenant.ProjectOperation(view, f.event, f.payload)
		}
		view.ID = id
		d.projection.Operation(view)
	}
	return nil
}

// answerRepeated answers the commands of a batch that are in the log already and returns the others.
func (e *Engine) answerRepeated(ctx context.Context, batch []*pending) (fresh []*pending, err error) {
	for _, w := range batch {
		caused, err := e.log.FindCommand(ctx, e.db, w.Tenant, w.Key)
		if err != nil {
			return batch, err
		}
		if caused == nil {
			fresh = append(fresh, w)
			continue
		}
		out, err := e.replay(ctx, w, caused)
		if err != nil {
			return batch, err
		}
		w.done <- answer{w.index, out}
	}
	return fresh, nil
}

// codeKeyReused refuses a command under a key that another command had. It is in no log: the key's answer is.
const codeKeyReused = "idempotency_key_reused"

// replay rebuilds the answer that the command got the first time: the tenant as it was right behind it.
func (e *Engine) replay(ctx context.Context, w *pending, caused *eventlog.Caused) (Outcome, error) {
	if !bytes.Equal(caused.Hash, w.Hash) {
		return Outcome{Refusal: &tenant.Refusal{
			Kind: tenant.Conflict, Code: codeKeyReused,
			Message: "this idempotency key was used for another command; use a new one",
		}}, nil
	}
	first, last := caused.Events[0], caused.Events[len(caused.Events)-1]
	before, after, err := e.stateAround(ctx, w.Tenant, first.Sequence, last.Sequence)
	out := Outcome{Before: before, State: after}
	for _, r := range caused.Events {
		out.Events = append(out.Events, r.Event)
	}
	if p, e := first.Payload(); e == nil {
		if refused, ok := p.(*events.CommandRefused); ok {
			out.Refusal = tenant.RefusalOf(refused)
		}
	}
	return out, err
}

// stateAround folds the log up to the version before first, and up to last.
func (e *Engine) stateAround(ctx context.Context, id string, first, last int64) (before, after tenant.State, err error) {
	err = e.Fold(ctx, id, func(r eventlog.Recorded, s tenant.State) bool {
		if r.Sequence < first {
			before = s
		}
		after = s
		return r.Sequence < last
	})
	return before, after, err
}

// Fold replays a tenant's log and shows every state on the way until more is false.
func (e *Engine) Fold(ctx context.Context, id string, see func(eventlog.Recorded, tenant.State) (more bool)) error {
	state := tenant.State{ID: id}
	for {
		page, err := e.log.Read(ctx, e.db, id, state.Version, 1000)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			p, err := r.Payload()
			if err != nil {
				return fmt.Errorf("replay %s: %w", r.ID, err)
			}
			state = tenant.Evolve(state, r.Event, p)
			if !see(r, state) {
				return nil
			}
		}
	}
}

// newID names an operation, an export or a hold: sortable by time, for the indexes' sake.
func newID() string { return uuid.Must(uuid.NewV7()).String() }
