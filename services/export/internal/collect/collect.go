// Package collect reads everything that a tenant has, from every store, into an archive.
package collect

import (
	"context"
	"fmt"
	"io"
	"time"

	"tenure/services/connectors"
	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/manifest"
)

// Collection is the stores' snapshots, all open at once: so they lie as close together in time as they can.
type Collection struct {
	exportID, tenant string
	snapshots        []connectors.Snapshot
}

// Open takes a snapshot of each store. Close the collection in any case.
func Open(ctx context.Context, stores []connectors.Connector, exportID, tenant string) (*Collection, error) {
	c := &Collection{exportID: exportID, tenant: tenant}
	for _, store := range stores {
		s, err := store.Snapshot(ctx, tenant)
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

// Expected is what the stores counted in their snapshots, by kind; every kind is there.
func (c *Collection) Expected() map[string]int64 {
	expected := map[string]int64{}
	for _, kind := range manifest.Kinds() {
		expected[kind] = 0
	}
	for _, s := range c.snapshots {
		for kind, n := range s.Counts() {
			expected[kind] += n
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
	Stores     []manifest.Store `json:"stores"`
	Kinds      []string         `json:"kinds"`
}

const format = "tenure-export/1"

// Archive writes all rows and the manifest to out. progress is given the writer, whose Progress may be asked from then
// on. An archive whose rows are not what the stores counted is an error that wraps manifest.ErrIncomplete.
func (c *Collection) Archive(ctx context.Context, out io.Writer, progress func(*archive.Writer)) (manifest.Manifest, error) {
	stores := c.stores()
	m := manifest.Manifest{
		ExportID: c.exportID, TenantID: c.tenant, SnapshotAt: manifest.Earliest(stores), Stores: stores, ExpectedCounts: c.Expected(),
	}
	w := archive.NewWriter(out, m.SnapshotAt, archive.DefaultPartBytes)
	progress(w)
	err := w.PutJSON(manifest.MetadataName, metadata{
		Format: format, ExportID: c.exportID, TenantID: c.tenant, SnapshotAt: m.SnapshotAt, Stores: stores, Kinds: manifest.Kinds(),
	})
	if err != nil {
		return m, err
	}
	for _, kind := range manifest.Kinds() {
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
		if err := s.Read(ctx, kind, w); err != nil {
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
