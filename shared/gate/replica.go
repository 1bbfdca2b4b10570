package gate

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"sync"

	"tenure/shared/events"
)

// entry is all that the replica keeps of one tenant: 16 bytes, because there may be millions of them.
type entry struct {
	// version is the sequence of the last event applied. The bus may deliver an old event again (a rebuilt stream, a
	// publisher's retry beyond the duplicate window); without it a suspended tenant would be let in again.
	version int64
	access  Access
	plan    uint16
}

const shardCount = 64

// replica maps tenants to entries. Many readers and one writer share it; shards keep the readers of many cores
// from meeting at one lock.
type replica struct {
	seed   maphash.Seed
	shards [shardCount]shard
	plans  planNames
}

type shard struct {
	sync.RWMutex
	tenants map[string]entry
	_       [64]byte // keeps two shards' locks off one cache line
}

func newReplica() *replica {
	r := &replica{seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].tenants = map[string]entry{}
	}
	return r
}

func (r *replica) shard(tenant string) *shard {
	return &r.shards[maphash.String(r.seed, tenant)%shardCount]
}

func (r *replica) get(tenant string) (entry, bool) {
	s := r.shard(tenant)
	s.RLock()
	e, ok := s.tenants[tenant]
	s.RUnlock()
	return e, ok
}

// change is the part of a lifecycle event's data that access depends on.
type change struct {
	To     string         `json:"to_state"`
	Blocks []events.Block `json:"blocks"`
	Plan   string         `json:"plan"`
}

// states tells what an event says beside the state. Events that leave no block name none, so that absence means "none
// are left" in these and "unchanged" in all others; a plan elsewhere is one that is only wished for.
var states = map[string]struct{ plan, blocks bool }{
	"tenant.registered":     {plan: true, blocks: true},
	"tenant.activated":      {plan: true},
	"tenant.reborn":         {plan: true, blocks: true},
	"trial.converted":       {plan: true},
	"trial.expired":         {blocks: true},
	"payment.past_due":      {blocks: true},
	"tenant.suspended":      {blocks: true},
	"block.added":           {blocks: true},
	"block.lifted":          {blocks: true},
	"upgrade.completed":     {plan: true, blocks: true},
	"upgrade.rolled_back":   {plan: true},
	"downgrade.completed":   {plan: true, blocks: true},
	"downgrade.rolled_back": {plan: true},
	"reactivation.started":  {blocks: true},
	"reactivation.failed":   {blocks: true},
	"tenant.reactivated":    {plan: true, blocks: true},
}

// apply takes one lifecycle event in. Events that are older than what is known, or that name no state (the refusal
// of a command for a tenant that does not exist), change nothing.
func (r *replica) apply(e events.Event) error {
	var c change
	if err := json.Unmarshal(e.Data, &c); err != nil {
		return fmt.Errorf("gate: event %s: %w", e.ID, err)
	}
	if c.To == "" {
		return nil
	}
	s := r.shard(e.Subject)
	s.Lock()
	defer s.Unlock()
	next := s.tenants[e.Subject]
	if e.Sequence <= next.version {
		return nil
	}
	next.version = e.Sequence
	next.access.State = ParseState(c.To)
	stated := states[e.Name()]
	if stated.blocks {
		next.access.Blocks = BlocksOf(c.Blocks)
	}
	if stated.plan {
		next.plan = r.plans.number(c.Plan)
	}
	s.tenants[e.Subject] = next
	return nil
}

// planNames gives every plan's name a small number, from 1; 0 is no plan.
type planNames struct {
	sync.RWMutex
	names []string
}

func (p *planNames) number(name string) uint16 {
	p.Lock()
	defer p.Unlock()
	for i, known := range p.names {
		if known == name {
			return uint16(i + 1)
		}
	}
	p.names = append(p.names, name)
	return uint16(len(p.names))
}

func (p *planNames) name(number uint16) string {
	p.RLock()
	defer p.RUnlock()
	if number == 0 || int(number) > len(p.names) {
		return ""
	}
	return p.names[number-1]
}
