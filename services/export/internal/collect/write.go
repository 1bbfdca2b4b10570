package collect

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/manifest"
)

// metadata is the archive's first file, for people and for programs that import it.
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

// Archive is one whose parts are all uploaded.
type Archive struct {
	// Parts are in the order of their numbers.
	Parts    []archive.Part
	Manifest manifest.Manifest
	// JSON is the manifest as it stands in the archive, but for the line feed.
	JSON []byte
}

// Write uploads everything but what is kept of an earlier try. An archive whose rows are not what the stores counted is an
// error that wraps manifest.ErrIncomplete.
func (c *Collection) Write(ctx context.Context, from Resumed, to Target) (Archive, error) {
	rows, bytes := from.Size()
	c.progress.rows.Store(rows)
	c.progress.bytes.Store(bytes)
	buffers := make(chan []byte, to.SideBySide)
	for range to.SideBySide {
		buffers <- nil
	}
	lanes, err := c.lanes(ctx, from, to, buffers)
	if err != nil {
		return Archive{}, err
	}
	t := &tail{Collection: c, to: to}
	for _, l := range lanes {
		t.parts = append(t.parts, l.parts...)
		for _, part := range l.parts {
			t.start += part.Bytes
		}
	}
	t.out = archive.NewLane(from.Plan.Tail, nil, <-buffers, func(number int32, body []byte, _ bool) error {
		sent, err := to.Upload.Put(ctx, number, body)
		t.parts = append(t.parts, sent)
		return err
	})
	return t.write(from.Plan, lanes)
}

// tail is the end of an archive.
type tail struct {
	*Collection
	to    Target
	start int64 // where it begins, behind the lanes' parts
	out   *archive.Lane
	parts []archive.Part
	files []archive.File // with their offsets in the archive
}

// write puts metadata.json first in the directory, and the manifest last: what stands in it was written before it. In an
// archive of one part they are so in the bytes, too; in a larger one the lanes' parts are in front.
func (t *tail) write(p Plan, lanes []written) (Archive, error) {
	m := manifest.Manifest{
		ExportID: t.wanted.ExportID, TenantID: t.wanted.Of.Tenant, Since: t.wanted.Since, Stores: t.manifestStores(),
		SubjectSHA256: t.wanted.SubjectSHA256, Without: t.wanted.Without, ExpectedCounts: t.Expected(), ActualCounts: map[string]int64{},
	}
	m.SnapshotAt = manifest.Earliest(m.Stores)
	err := t.put(manifest.MetadataName, metadata{
		Format: format, ExportID: m.ExportID, TenantID: m.TenantID, SnapshotAt: m.SnapshotAt, Since: m.Since, Stores: m.Stores, Kinds: t.kinds(),
	})
	if err != nil {
		return Archive{}, err
	}
	var begin int64 // of the lane's parts
	for i, l := range lanes {
		if begin, err = t.add(l, begin); err != nil {
			return Archive{}, err
		}
		for j, done := range l.files {
			for _, rows := range done.Rows {
				m.ActualCounts[p.Lanes[i].Files[j].Kind] += rows
			}
		}
	}
	for _, kind := range t.kinds() {
		m.ActualCounts[kind] += 0 // each is there
	}
	for _, f := range t.files {
		m.Files = append(m.Files, f.Listed)
	}
	if err := m.Check(); err != nil {
		return Archive{}, err
	}
	return t.end(m)
}

// add writes what is left of a lane whose parts begin at begin, and returns where they end.
func (t *tail) add(l written, begin int64) (end int64, err error) {
	var inParts int64
	for _, part := range l.parts {
		inParts += part.Bytes
	}
	rest := t.start + t.out.Offset()
	if _, err := t.out.Write(l.rest); err != nil {
		return 0, err
	}
	for _, done := range l.files {
		for _, f := range done.Entries {
			if f.Entry.Offset < inParts {
				f.Entry.Offset += begin
			} else {
				f.Entry.Offset += rest - inParts
			}
			t.files = append(t.files, f)
		}
	}
	return begin + inParts, nil
}

func (t *tail) put(name string, v any) error {
	f, err := archive.PutJSON(t.out, name, t.to.Options, v)
	f.Entry.Offset += t.start
	t.files = append(t.files, f)
	return err
}

func (t *tail) end(m manifest.Manifest) (Archive, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return Archive{}, fmt.Errorf("encode the manifest: %w", err)
	}
	if err := t.put(manifest.Name, json.RawMessage(body)); err != nil {
		return Archive{}, err
	}
	entries := make([]archive.Entry, len(t.files))
	for i, f := range t.files {
		entries[i] = f.Entry
	}
	if _, err := t.out.Write(archive.Directory(entries, t.to.Options.Modified, t.start+t.out.Offset())); err != nil {
		return Archive{}, err
	}
	if err := t.out.End(); err != nil {
		return Archive{}, err
	}
	return Archive{Parts: t.parts, Manifest: m, JSON: body}, nil
}
