package app

import (
	"tenure/services/lifecycle/internal/store"
)

// cache keeps the states of one partition's tenants between transactions. It is right as long as nobody else writes to
// the partition, which the partition's sequence tells; then it is cleared.
type cache struct {
	limit   int
	tenants map[string]store.Tenant
}

func newCache(limit int) *cache { return &cache{limit: limit, tenants: map[string]store.Tenant{}} }

func (c *cache) get(id string) (store.Tenant, bool) { t, ok := c.tenants[id]; return t, ok }

// put keeps t. A full cache first loses an arbitrary part: tenants rarely come twice, and those that do come back.
func (c *cache) put(id string, t store.Tenant) {
	if _, known := c.tenants[id]; !known && len(c.tenants) >= c.limit {
		drop := c.limit / 8
		for old := range c.tenants {
			delete(c.tenants, old)
			if drop--; drop == 0 {
				break
			}
		}
	}
	c.tenants[id] = t
}

func (c *cache) clear() { clear(c.tenants) }
