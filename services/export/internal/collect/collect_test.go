package collect_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"tenure/services/connectors"
	"tenure/services/export/internal/archive"
	"tenure/services/export/internal/collect"
	"tenure/services/export/internal/manifest"
	"tenure/services/export/verify"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// store is a connector whose snapshot may lie.
type store struct {
	connectors.Connector
	name   string
	rows   map[string]int // by kind
	counts connectors.Counts
	at     time.Time
	since  time.Time
	err    error
	open   int
}

func (s *store) Snapshot(_ context.Context, _ connectors.Scope, since time.Time) (connectors.Snapshot, error) {
	s.since = since
	if s.err != nil {
		return nil, s.err
	}
	s.open++
	return s, nil
}

func (s *store) Counts() connectors.Counts { return s.counts }
func (s *store) Close()                    { s.open-- }

func (s *store) Watermark() connectors.Watermark {
	return connectors.Watermark{Store: s.name, TakenAt: s.at, Position: "here"}
}

func (s *store) Ranges(_ context.Context, kind string, _ int) ([]connectors.Range, error) {
	return []connectors.Range{{Kind: kind}}, nil
}

func (s *store) Position(context.Context, connectors.Range, int64) (string, error) {
	return "", errors.ErrUnsupported
}

func (s *store) Same(context.Context, connectors.Range, int64, connectors.Watermark) (bool, error) {
	return false, nil
}

func (s *store) Read(_ context.Context, of connectors.Range, to connectors.Sink) error {
	for i := range s.rows[of.Kind] {
		if _, err := fmt.Fprintf(to, `{"id":"%s-%d"}`, s.name, i); err != nil {
			return err
		}
		if err := to.EndRow(); err != nil {
			return err
		}
	}
	return nil
}

func TestArchiveOfSeveralStores(t *testing.T) {
	app := &store{name: "app", at: noon.Add(time.Second), rows: map[string]int{"documents": 3, "usage": 1}, counts: connectors.Counts{"documents": 3, "usage": 1}}
	files := &store{name: "files", at: noon, rows: map[string]int{"documents": 2}, counts: connectors.Counts{"documents": 2}}
	c, err := collect.Open(t.Context(), []connectors.Connector{app, files}, "exp_1", "acme", collect.Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	var progress *archive.Writer
	m, err := c.Archive(t.Context(), &out, func(w *archive.Writer) { progress = w })
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if app.open != 0 || files.open != 0 {
		t.Error("a snapshot was left open")
	}
	want := map[string]int64{"documents": 5, "vectors": 0, "usage": 1, "billing": 0, "audit": 0}
	if !maps.Equal(m.ExpectedCounts, want) || !maps.Equal(m.ActualCounts, want) {
		t.Errorf("counts are %v and %v, not %v", m.ExpectedCounts, m.ActualCounts, want)
	}
	if !m.SnapshotAt.Equal(noon) || len(m.Stores) != 2 || m.Stores[0].Position != "here" {
		t.Errorf("the snapshot is of %v: %+v", m.SnapshotAt, m.Stores)
	}
	if rows, _ := progress.Progress(); rows != 6 {
		t.Errorf("progress is %d rows of 6", rows)
	}
	report, err := verify.Archive(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil || report.TenantID != "acme" || report.ExportID != "exp_1" {
		t.Errorf("report is %+v, %v", report, err)
	}
}

func TestArchiveOfSomeKinds(t *testing.T) {
	app := &store{name: "app", at: noon, rows: map[string]int{"documents": 3, "usage": 1}, counts: connectors.Counts{"documents": 3, "usage": 1}}
	wanted := collect.Wanted{Since: noon, Kinds: []string{"audit", "documents"}}
	c, err := collect.Open(t.Context(), []connectors.Connector{app}, "exp_1", "acme", wanted)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := c.Archive(t.Context(), &bytes.Buffer{}, func(*archive.Writer) {})
	if err != nil {
		t.Fatal(err)
	}
	if !app.since.Equal(noon) || !m.Since.Equal(noon) {
		t.Errorf("asked since %v, told %v", app.since, m.Since)
	}
	if want := map[string]int64{"documents": 3, "audit": 0}; !maps.Equal(m.ActualCounts, want) || !maps.Equal(m.ExpectedCounts, want) {
		t.Errorf("counts are %v and %v, not %v", m.ExpectedCounts, m.ActualCounts, want)
	}
	if len(m.Files) != 3 || m.Files[1].Name != "documents/part-00001.ndjson" || m.Files[2].Name != "audit.ndjson" {
		t.Errorf("files are %+v", m.Files)
	}
}

func TestAStoreThatLosesOrAddsRows(t *testing.T) {
	for name, counted := range map[string]int64{"loses": 4, "adds": 2} {
		t.Run(name, func(t *testing.T) {
			app := &store{name: "app", rows: map[string]int{"documents": 3}, counts: connectors.Counts{"documents": counted}}
			c, err := collect.Open(t.Context(), []connectors.Connector{app}, "exp_1", "acme", collect.Wanted{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Archive(t.Context(), &bytes.Buffer{}, func(*archive.Writer) {})
			if !errors.Is(err, manifest.ErrIncomplete) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestAStoreThatIsDownLeavesNoSnapshotOpen(t *testing.T) {
	app, down := &store{name: "app"}, &store{name: "files", err: errors.New("down")}
	if _, err := collect.Open(t.Context(), []connectors.Connector{app, down}, "exp_1", "acme", collect.Wanted{}); !errors.Is(err, down.err) {
		t.Errorf("error is %v", err)
	}
	if app.open != 0 {
		t.Error("a snapshot was left open")
	}
}
