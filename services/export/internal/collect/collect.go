// Package collect reads everything that a tenant has, from every store, into the parts of an archive: in lanes side by
// side, and with checkpoints by which another process goes on where one was killed.
package collect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"tenure/services/connectors"
	"tenure/services/export/internal/manifest"
	"tenure/shared/fault"
)

// Wanted says what goes into an archive.
type Wanted struct {
	ExportID string
	Of       connectors.Scope
	// Since leaves out what changed before, where a store can tell.
	Since time.Time
	// Kinds are those of package manifest and of the stores; none is all.
	Kinds []string
	// Parquet are the kinds whose rows are wanted in that form.
	Parquet []string
	// Encrypted: the files are encrypted.
	Encrypted bool
	// SubjectSHA256 stands in the manifest of an archive of one person's data, whose key does not.
	SubjectSHA256 string
	// Without are stores that are left out, since they cannot tell one person's rows from another's.
	Without []string
}

func (w Wanted) form(kind string) manifest.Form {
	return manifest.Form{Parquet: slices.Contains(w.Parquet, kind), Encrypted: w.Encrypted}
}

// Collection is the stores' snapshots, all open at once: so they lie as close together in time as they can.
type Collection struct {
	wanted    Wanted
	stores    []connectors.Connector
	snapshots []connectors.Snapshot
	progress  progress
}

// Open takes a snapshot of each store. Close the collection in any case.
func Open(ctx context.Context, stores []connectors.Connector, wanted Wanted) (*Collection, error) {
	c := &Collection{wanted: wanted, stores: stores}
	for _, store := range stores {
		s, err := store.Snapshot(ctx, wanted.Of, wanted.Since)
		if err != nil {
			c.Close()
			return nil, err
		}
		c.snapshots = append(c.snapshots, s)
		for kind := range s.Counts() {
			if !manifest.ValidKind(kind) {
				c.Close()
				return nil, fault.Permanent(fmt.Errorf("store %s calls its rows %q, which cannot be a folder of an archive; mend the data map", store.Name(), kind))
			}
		}
	}
	return c, nil
}

// Close lets go of the snapshots.
func (c *Collection) Close() {
	for _, s := range c.snapshots {
		s.Close()
	}
}

// kinds are those wanted, in the order of an archive: those of every tenant, and what else the stores have. An archive of
// one person's data has those of the stores alone.
func (c *Collection) kinds() []string {
	counted := map[string]bool{}
	for _, s := range c.snapshots {
		for kind := range s.Counts() {
			counted[kind] = true
		}
	}
	var kinds []string
	for _, kind := range manifest.Kinds() {
		if c.wanted.Of.Subject == "" || counted[kind] {
			kinds = append(kinds, kind)
		}
		delete(counted, kind)
	}
	kinds = append(kinds, slices.Sorted(maps.Keys(counted))...)
	if len(c.wanted.Kinds) == 0 {
		return kinds
	}
	return slices.DeleteFunc(kinds, func(kind string) bool { return !slices.Contains(c.wanted.Kinds, kind) })
}

// Expected is what the stores counted in their snapshots, by kind; every kind that is wanted is there.
func (c *Collection) Expected() map[string]int64 {
	expected := map[string]int64{}
	for _, kind := range c.kinds() {
		expected[kind] = 0
		for _, s := range c.snapshots {
			expected[kind] += s.Counts()[kind]
		}
	}
	return expected
}

// watermarks are those of the stores, in their order.
func (c *Collection) watermarks() []connectors.Watermark {
	all := make([]connectors.Watermark, len(c.snapshots))
	for i, s := range c.snapshots {
		all[i] = s.Watermark()
	}
	return all
}

func (c *Collection) manifestStores() []manifest.Store {
	stores := make([]manifest.Store, len(c.snapshots))
	for i, w := range c.watermarks() {
		stores[i] = manifest.Store{Name: w.Store, TakenAt: w.TakenAt, Position: w.Position}
	}
	return stores
}
