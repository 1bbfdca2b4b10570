// Package collect reads everything that a tenant has, from every store, into an archive.
package collect

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"tenure/services/connectors"
	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/manifest"
)

// Collection is the stores' snapshots, all open at once: so they lie as close together in time as they can.
type Collection struct {
	exportID, tenant string
	wanted           Wanted
	snapshots        []connectors.Snapshot
}

// Wanted narrows an archive. The zero value is everything.
type Wanted struct {
	// Since leaves out what changed before, where a store can tell.
	Since time.Time
	// Kinds are those of package manifest; none is all.
	Kinds []string
}

// kinds are those wanted, in the order of an archive.
func (w Wanted) kinds() []string {
	if len(w.Kinds) == 0 {
		return manifest.Kinds()
	}
	return slices.DeleteFunc(manifest.Kinds(), func(kind string) bool { return !slices.Contains(w.Kinds, kind) })
}

// Open takes a snapshot of each store. Close the collection in any case.
func Open(ctx context.Context, stores []connectors.Connector, exportID, tenant string, wanted Wanted) (*Collection, error) {
	c := &Collection{exportID: exportID, tenant: tenant, wanted: wanted}
	for _, store := range stores {
		s, err := store.Snapshot(ctx, connectors.Tenant(tenant), wanted.Since)
		if err != nil {
			c.Close()
			return nil, err
		}
		c.snapshots = append(c.snapshots, s)
	}
	return c, nil
}

// Close lets go of the snapshots.
func (c *Collection) Close() {
	for _, s := range c.snapshots {
		s.Close()
	}
}

// Expected is what the stores counted in their snapshots, by kind; every kind that is wanted is there.
func (c *Collection) Expected() map[string]int64 {
	expected := map[string]int64{}
	for _, kind := range c.wanted.kinds() {
		expected[kind] = 0
		for _, s := range c.snapshots {
			expected[kind] += s.Counts()[kind]
		}
	}
	return expected
}

// metadata is the archive's first entry, for people and for programs that import it.
type metadata struct {
	Format     string           `json:"format"`
	ExportID   string           `json:"export_id"`
	TenantID   string           `json:"tenant_id"`
	SnapshotAt time.Time        `json:"snapshot_at"`
	Since      time.Time        `json:"since,omitzero"`
	Stores     []manifest.Store `json:"stores"`
	Kinds      []string         `json:"kinds"`
}

const format = "tenure-export/1"

// Archive writes all rows and the manifest to out. progress is given the writer, whose Progress may be asked from then
// on. An archive whose rows are not what the stores counted is an error that wraps manifest.ErrIncomplete.
func (c *Collection) Archive(ctx context.Context, out io.Writer, progress func(*archive.Writer)) (manifest.Manifest, error) {
	stores := c.stores()
	m := manifest.Manifest{
		ExportID: c.exportID, TenantID: c.tenant, SnapshotAt: manifest.Earliest(stores), Since: c.wanted.Since, Stores: stores,
		ExpectedCounts: c.Expected(),
	}
	w := archive.NewWriter(out, m.SnapshotAt, archive.DefaultPartBytes)
	progress(w)
	err := w.PutJSON(manifest.MetadataName, metadata{
		Format: format, ExportID: c.exportID, TenantID: c.tenant, SnapshotAt: m.SnapshotAt, Since: c.wanted.Since, Stores: stores,
		Kinds: c.wanted.kinds(),
	})
	if err != nil {
		return m, err
	}
	for _, kind := range c.wanted.kinds() {
		if err := c.write(ctx, w, kind); err != nil {
			return m, fmt.Errorf("%s: %w", kind, err)
		}
	}
	return w.Finish(m)
}

func (c *Collection) write(ctx context.Context, w *archive.Writer, kind string) error {
	if err := w.Begin(kind); err != nil {
		return err
	}
	for _, s := range c.snapshots {
		if err := connectors.ReadKind(ctx, s, kind, w); err != nil {
			return err
		}
	}
	return nil
}

func (c *Collection) stores() []manifest.Store {
	stores := make([]manifest.Store, len(c.snapshots))
	for i, s := range c.snapshots {
		w := s.Watermark()
		stores[i] = manifest.Store{Name: w.Store, TakenAt: w.TakenAt, Position: w.Position}
	}
	return stores
}
