package gate

import (
	"hash/maphash"
	"sync"
	"time"

	"tenure/shared/events"
)

// entry is what the replica keeps of every tenant: 16 bytes, because there may be millions of them.
//
// Each part has the version of the event that said it last. The bus may deliver an event again (a rebuilt stream, a
// publisher's retry beyond the duplicate window), and one event in front of an earlier one (a publisher's retry of the
// earlier one): without versions a suspended tenant would be let in again, and with one version for all parts the blocks
// in a late event would be lost.
type entry struct {
	stateAt, blocksAt, planAt uint32
	access                    Access
	plan                      uint16
}

const shardCount = 64

// replica maps tenants to entries. Many readers and one writer share it; shards keep the readers of many cores
// from meeting at one lock.
type replica struct {
	seeds  [2]maphash.Seed
	shards [shardCount]shard
	plans  planNames
}

type shard struct {
	sync.RWMutex
	tenants table
	// What few tenants have is kept apart. A window in frozen counts as long as the tenant has BlockReadOnly.
	frozen  map[key]time.Time
	configs map[key]config
	_       [64]byte // keeps two shards' locks off one cache line
}

// config is what is set for one tenant beside its plan, and the version of the event that set it.
type config struct {
	at uint32
	events.TenantConfig
}

func newReplica() *replica {
	r := &replica{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}}
	for i := range r.shards {
		r.shards[i].tenants = newTable()
		r.shards[i].frozen, r.shards[i].configs = map[key]time.Time{}, map[key]config{}
	}
	return r
}

func (r *replica) find(tenant string) (*shard, key) {
	k := key{maphash.String(r.seeds[0], tenant), maphash.String(r.seeds[1], tenant)}
	return &r.shards[k.high%shardCount], k
}

// get is the zero entry for a tenant that is not known.
func (r *replica) get(tenant string) entry {
	s, k := r.find(tenant)
	s.RLock()
	e := s.tenants.get(k)
	s.RUnlock()
	return e
}

// known reports whether anything was said of the tenant: versions begin at 1.
func (e entry) known() bool { return e.stateAt > 0 }

// frozenUntil is when the tenant's read-only window ends at the latest; the zero time when it has none.
func (r *replica) frozenUntil(tenant string) time.Time {
	s, k := r.find(tenant)
	s.RLock()
	defer s.RUnlock()
	return s.frozen[k]
}

func (r *replica) config(tenant string) config {
	s, k := r.find(tenant)
	s.RLock()
	defer s.RUnlock()
	return s.configs[k]
}

// size is the number of tenants.
func (r *replica) size() (n int) {
	for i := range r.shards {
		s := &r.shards[i]
		s.RLock()
		n += s.tenants.used
		s.RUnlock()
	}
	return n
}

// setWindow opens a read-only window, or ends it.
func (s *shard) setWindow(k key, e *entry, until time.Time) {
	if until.IsZero() {
		e.access.Blocks &^= BlockReadOnly
		delete(s.frozen, k)
		return
	}
	e.access.Blocks |= BlockReadOnly
	s.frozen[k] = until
}

// setBlocks leaves the window as it is: it is no block that an event lists.
func (e *entry) setBlocks(blocks Blocks) {
	e.access.Blocks = e.access.Blocks&BlockReadOnly | blocks
}

// setConfig keeps nothing for the many tenants that never had a config of their own.
func (s *shard) setConfig(k key, c config) {
	known, has := s.configs[k]
	if c.at > known.at && (has || !c.IsZero()) {
		s.configs[k] = c
	}
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
